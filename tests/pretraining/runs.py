"""Tiny runs of `ctxemb pretrain`."""

import random
from pathlib import Path
from typing import Any

import torch
from spacy.training import Example
from spacy.util import load_config, load_model_from_config
from thinc.api import Config, fix_random_seed

from spacy_ctxemb.pieces.subwords import WordPieces
from spacy_ctxemb.pretraining.build_pipeline_and_task import (
    build_data,
    build_pipeline,
    build_task,
    get_shim,
)
from spacy_ctxemb.pretraining.check_resume_fits import describe_run
from spacy_ctxemb.pretraining.distributed import Processes
from spacy_ctxemb.pretraining.pretrain_section import read_settings
from spacy_ctxemb.pretraining.save_and_resume import RunCheckpoints
from spacy_ctxemb.pretraining.spacy_pretrain_objectives import get_pretrained_shim
from spacy_ctxemb.pretraining.training_loop import Trainer

from ..pipelines import blank
from . import CONFIGS, ENCODER, TEXT, TINY_ENCODERS, VOCAB_SIZE

TINY: dict[str, Any] = {
    **TINY_ENCODERS["bilm"],
    "components.ctxemb.model.pieces.max_characters": 12,
    f"{ENCODER}.max_characters": 12,
    "pretrain.max_steps": 6,
    "pretrain.eval_every": 3,
    "pretrain.checkpoint_every": 2,
    "pretrain.n_workers": 1,
    "pretrain.neighbours": [],
    "pretrain.objective.n_rows": 4,
    "pretrain.objective.n_steps": 5,
    "pretrain.objective.min_count": 1,
    "pretrain.objective.n_samples": 10,
    "pretrain.learn_rate.warmup_steps": 2,
}

ONE_PROCESS = Processes(0, 1, torch.device("cpu"))


def write_documents(folder: Path, *, n_documents: int = 12) -> Path:
    """A sentence a line, a blank line between documents."""
    rng = random.Random(0)
    documents = ["\n".join(rng.sample(TEXT, rng.randint(2, 6))) for _ in range(n_documents)]
    path = folder / "text.txt"
    path.write_text("\n\n".join(documents) + "\n", encoding="utf8")
    return path


def tiny_run(text: Path, **changes: Any) -> Config:
    """The config of a run that takes a second. changes: with __ for a dot."""
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    paths = {"paths.train": str(text), "paths.held_out": str(text)}
    return load_config(CONFIGS / "pretrain_elmo.cfg", overrides=TINY | paths | overrides)


def tiny_masked_lm_run(text: Path, **changes: Any) -> Config:
    """The same for masked language modelling. Its pieces are written beside the text."""
    pieces = WordPieces(VOCAB_SIZE)
    pieces.train([TEXT])
    path = text.with_name("pieces.json")
    path.write_text(pieces.tokenizer.to_str(), encoding="utf8")
    overrides = {
        **TINY_ENCODERS["mlm"],
        f"{ENCODER}.max_length": 32,
        "paths.train": str(text),
        "paths.held_out": str(text),
        "paths.pieces": str(path),
        "pretrain.neighbours": [],
        "pretrain.max_steps": 1,
        "pretrain.objective.batch_size": 4,
    }
    overrides |= {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(CONFIGS / "pretrain_bert.cfg", overrides=overrides)


def build_trainer(config: Config, output: Path) -> Trainer:
    """A trainer in this process, at its beginning."""
    settings = read_settings(config.interpolate())
    nlp = build_pipeline(config, settings)
    data = build_data(nlp, settings, output, ONE_PROCESS)
    task = build_task(nlp, settings, data)
    checkpoints = RunCheckpoints(
        output / "checkpoints",
        ONE_PROCESS,
        describe_run(config, data.store, get_shim(nlp, settings).pieces, task.objective),
        n_shards=settings.accumulate,
        keep=settings.keep_checkpoints,
    )
    return Trainer(task, settings, ONE_PROCESS, checkpoints)


def read_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Every tensor that training changes: weights and the optimizer's."""
    found = {f"model.{n}": v.clone() for n, v in trainer.module.state_dict().items()}
    for i, state in trainer.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{i}.{n}": v.clone() for n, v in state.items()}
    return found


def read_weights(output: Path) -> dict[str, torch.Tensor]:
    """The tensors of a run's last checkpoint, which the pipeline has too."""

    config = load_config(output / "config.cfg", interpolate=True)
    config.pop("pretrain")
    nlp = load_model_from_config(config, auto_fill=True)
    model = nlp.get_pipe("ctxemb").model
    model.from_bytes((output / "model-last.bin").read_bytes())
    return dict(get_pretrained_shim(model).embedder.encoder.state_dict())


def write_teacher(folder: Path, model: dict[str, Any], **settings: Any) -> Path:
    """A pipeline to learn from, with random weights; its pieces are learned from TEXT."""
    nlp = blank(model, **settings)
    fix_random_seed(1)
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {}) for text in TEXT])
    nlp.to_disk(folder)
    return folder


def tiny_distil_run(text: Path, teacher: Path, **changes: Any) -> Config:
    """A run that learns from a teacher. changes: with __ for a dot."""
    overrides = {
        **TINY_ENCODERS["mlm"],
        f"{ENCODER}.max_length": 32,
        "paths.text": str(text),
        "paths.teacher": str(teacher),
        "pretrain.precision": "fp32",
        "pretrain.n_workers": 1,
        "pretrain.neighbours": [],
        "pretrain.max_steps": 6,
        "pretrain.eval_every": 6,
        "pretrain.checkpoint_every": 3,
        "pretrain.objective.batch_size": 4,
        "pretrain.learn_rate.warmup_steps": 2,
    }
    overrides |= {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(CONFIGS / "pretrain_distil.cfg", overrides=overrides)
