"""What is run to fine-tune one BERT with two programs: their configs and commands."""

import json
from pathlib import Path
from typing import Any

from .accuracy_cells import STEP_LOG
from .accuracy_data import DataSet
from .accuracy_runs import Command, Job, run_once

#: A pipeline whose encoder comes from another one, by its path.
CONFIG = Path("tests/benchmarks/configs/source.cfg")
#: Where the pipelines and configs lie that are made for this.
CONFIGS = Path("training/benchmark/peers")
ENCODER = CONFIGS / "encoder"
HEAD_WEIGHTS = Path("tests/benchmarks/head_weights.py")
OURS, THEIRS = "spacy-ctxemb", "spacy-transformers"

#: How the head is trained that both begin with: steps, words of a batch, rate.
HEAD = {"ner": (600, 200, 0.003), "textcat": (300, 800, 0.01)}

#: What both have, so that nothing else differs.
ALIKE = {
    "training.optimizer.use_averages": "false",
    "training.optimizer.L2": "0.0",
    "training.optimizer.grad_clip": "0.0",
    "training.patience": "0",
    "training.logger.@loggers": "benchmark.StepLog.v1",
}

TRANSFORMER = """[components.transformer]
factory = "transformer"
max_batch_items = 4096

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = ${paths.encoder}
mixed_precision = false

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[components.transformer.model.tokenizer_config]
use_fast = true

"""
LISTENER = """@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"

[components.{task}.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

"""


def find_head(data_set: DataSet, seed: int) -> Path:
    return CONFIGS / data_set.name / f"head-seed{seed}"


def train_head(data_set: DataSet, seed: int, documents: int) -> None:
    """On the frozen encoder, which both programs have."""
    folder, task = find_head(data_set, seed), data_set.task
    steps, batch, rate = HEAD[task]
    settings = {
        **list_settings(data_set, folder, seed),
        "paths.encoder": ENCODER,
        "nlp.pipeline": json.dumps(["ctxemb", task]),
        "corpora.train.limit": documents,
        "training.max_steps": steps,
        "training.eval_frequency": steps,
        "training.batcher.size": batch,
        "training.optimizer.learn_rate.initial_rate": rate,
        "training.optimizer.learn_rate.warmup_steps": steps // 10,
        "training.frozen_components": '["ctxemb"]',
        "training.annotating_components": '["ctxemb"]',
        "training.before_to_disk": call_head("SaveHead", data_set, seed),
    }
    inputs = [CONFIG, HEAD_WEIGHTS, data_set.corpus / "benchmark.json", ENCODER]
    run_once([spell_training(CONFIG, folder, settings)], inputs, folder)


def call_head(name: str, data_set: DataSet, seed: int) -> str:
    """One of the callbacks of head_weights.py."""
    path = str(find_head(data_set, seed) / "head.npz")
    callback = {"@callbacks": f"benchmark.{name}.v1", "component": data_set.task, "path": path}
    return json.dumps(callback)


def list_settings(data_set: DataSet, folder: Path, seed: int) -> dict[str, Any]:
    """What every training has."""
    return {
        "paths.train": data_set.corpus / "train.spacy",
        "paths.dev": data_set.corpus / "dev.spacy",
        "paths.log": folder / "steps.jsonl",
        "nlp.lang": data_set.lang,
        "system.seed": seed,
        **ALIKE,
    }


def spell_training(config: Path, folder: Path, settings: dict[str, Any]) -> Command:
    """`spacy train`"""
    overrides = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    code = ["--code", str(HEAD_WEIGHTS)]
    return ["train", str(config), "--output", str(folder), *code, *overrides]


def make_job(program: str, data_set: DataSet, checkpoint: Path, settings: dict[str, Any]) -> Job:
    """settings: of the config, the same for both programs."""
    folder = CONFIGS / data_set.name / f"{program}-seed{settings['system.seed']}"
    config, encoder, component = CONFIG, ENCODER, "ctxemb"
    if program == THEIRS:
        config, encoder = write_config(config, data_set.task), checkpoint
        component = "transformer"
    seed, pipeline = settings["system.seed"], json.dumps([component, data_set.task])
    own = {"paths.encoder": encoder, "nlp.pipeline": pipeline}
    settings = {**list_settings(data_set, folder, seed), **own, **settings}
    inputs = [config, STEP_LOG, HEAD_WEIGHTS, data_set.corpus / "benchmark.json", encoder]
    if data_set.task == "ner":
        settings["initialize.after_init"] = call_head("LoadHead", data_set, seed)
        inputs.append(find_head(data_set, seed) / "benchmark.json")
    test, scores = data_set.corpus / "test.spacy", folder / "test.json"
    return Job(
        folder,
        {
            "train": spell_training(config, folder, settings),
            "evaluate": [
                "evaluate",
                str(folder / "model-best"),
                str(test),
                "--output",
                str(scores),
            ],
        },
        data_set.score,
        inputs,
        {"data_set": data_set.name, "program": program, "seed": seed},
    )


def write_config(config: Path, task: str) -> Path:
    """One of our configs with their encoder and listener in the place of ours."""
    text = config.read_text(encoding="utf8")
    text = replace_section(text, "components.ctxemb", TRANSFORMER)
    name = f"components.{task}.model.tok2vec"
    text = replace_section(text, name, f"[{name}]\n{LISTENER.format(task=task)}")
    path = CONFIGS / f"{task}_spacy_transformers.cfg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf8")
    return path


def replace_section(text: str, name: str, section: str) -> str:
    """A config with another text from one heading to the next."""
    start = text.index(f"[{name}]\n")
    return text[:start] + section + text[text.index("\n[", start) + 1 :]
