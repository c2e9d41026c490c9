"""Every config of the project is complete once filled, and trains."""

import numpy as np
import pytest
import spacy
import srsly
from spacy.cli.convert import convert
from spacy.cli.debug_config import debug_config
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.training.initialize import init_nlp
from spacy.training.pretrain import pretrain
from spacy.util import load_config
from thinc.api import Adam

from spacy_ctxemb.factory import DEFAULT_MODEL
from spacy_ctxemb.pieces.subwords import WordPieces

from .cli.command import run_well
from .pipelines import (
    BILM,
    NER_DATA,
    TEXTCAT_DATA,
    TEXTS,
    WIDTH,
    blank,
    examples,
    listener,
    ner_config,
    textcat_config,
)
from .pretraining import CONFIGS, TRAINING_CONFIGS, write_text
from .small_corpus import CORPUS, copy_corpus

#: Examples of each part of a corpus.
N_EXAMPLES = 60

#: For `ctxemb pretrain`; tests/pretraining has their tests.
AT_SCALE = {"pretrain_bert", "pretrain_distil", "pretrain_elmo"}
PATHS = {
    path.stem: path
    for folder in (CONFIGS, TRAINING_CONFIGS)
    for path in sorted(folder.glob("*.cfg"))
    if path.stem not in AT_SCALE
}
PRETRAINING = [name for name in PATHS if name.startswith("pretrain_")]
#: With a head for each of these tasks.
TASKS = ("ner", "textcat")
TRAINING = [
    (name, task)
    for name in PATHS
    for task in TASKS
    if name not in PRETRAINING and ("further" not in name or name.startswith(task))
]
NAMES = [*TRAINING, *((name, "ner") for name in PRETRAINING)]

#: The paths of pipelines in configs.
SOURCES = ("paths.encoder", "paths.pipeline")
#: The width that source.cfg listens to, MiniLM's.
SOURCE_WIDTH = 384

#: Smaller than in the configs, where what is learned does not matter.
SMALL = {
    "bilm": {"components.ctxemb.model.encoder.hidden_width": 128},
    "pretrain_bilm": {"components.ctxemb.model.encoder.hidden_width": 128},
    "transformer": {"components.ctxemb.model.encoder.n_blocks": 1},
    "pretrain_mlm": {"components.ctxemb.model.encoder.n_blocks": 1},
}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Small corpora in spaCy's format, plain text, and a vocabulary."""
    directory = tmp_path_factory.mktemp("corpus")
    copy_corpus(directory / "corpus", N_EXAMPLES)
    for task in TASKS:
        (directory / task).mkdir()
    for part in ("train", "dev"):
        convert(
            directory / "corpus" / "ner" / f"{part}.conll",
            directory / "ner",
            converter="ner",
            n_sents=1,
            file_type="spacy",
            lang="en",
            silent=True,
        )
    run_well("convert-textcat", directory / "corpus" / "textcat", directory / "textcat")
    lines = [row["text"] for row in srsly.read_jsonl(CORPUS / "textcat" / "train.jsonl")]
    write_text(directory / "text.txt", lines[:40])
    pieces = WordPieces(1000)
    pieces.train([lines])
    (directory / "pieces.json").write_text(pieces.tokenizer.to_str(), encoding="utf8")
    encoder = spacy.blank("en")
    encoder.add_pipe("ctxemb", config={"model": {**BILM, "width": SOURCE_WIDTH}})
    encoder.initialize()
    encoder.to_disk(directory / "encoder")
    build_trained().to_disk(directory / "pipeline")
    return directory


def build_trained():
    """A pipeline with NER, with a mix of its own, and a text classifier."""
    nlp = blank(BILM)
    mix = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": WIDTH}
    nlp.add_pipe("ner", config=ner_config({**mix, "upstream": "ctxemb", "layer_norm": "document"}))
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(examples(nlp, data), sgd=optimizer)
    return nlp


def settings(name, task, data):
    """The paths and the pipeline that a config wants, as overrides."""
    config = load_config(PATHS[name])
    corpus = data / task
    found = {
        "raw_text": data / "text.txt",
        "pieces": data / "pieces.json",
        "train": corpus / "train.spacy",
        "dev": corpus / "dev.spacy",
        **{kind: data / kind for kind in ("encoder", "pipeline")},
    }
    overrides = {f"paths.{k}": str(path) for k, path in found.items() if k in config["paths"]}
    other = {*TASKS} - {task}
    pipeline = [pipe for pipe in config["nlp"]["pipeline"] if pipe not in other]
    return {**overrides, "nlp.pipeline": pipeline}


def fill(name, task, directory, data):
    path, base = directory / f"{name}.cfg", directory / "base.cfg"
    wanted = {"nlp.pipeline", *SOURCES}  # pipelines that are loaded for that
    overrides = {k: v for k, v in settings(name, task, data).items() if k in wanted}
    load_config(PATHS[name], overrides=overrides).to_disk(base)
    fill_config(path, base, pretraining=name in PRETRAINING, silent=True)
    return path


def test_the_configs_are_these():
    further = {"ner_further", "textcat_further"}
    training = {"hashembedcnn", "frozen", "finetuned", "minilm", *further}
    assert {path.stem for path in CONFIGS.glob("*.cfg")} == {*training, *PRETRAINING, *AT_SCALE}
    assert {"pretrain_bilm", "pretrain_mlm"} == {*PRETRAINING}


@pytest.mark.parametrize("name, task", NAMES)
def test_a_filled_config_is_valid(name, task, data, tmp_path, capsys):
    path = fill(name, task, tmp_path, data)
    # Of a config of pretraining, too, spaCy checks the section [training], which it fills in.
    corpora = {f"paths.{part}": str(data / "ner" / f"{part}.spacy") for part in ("train", "dev")}
    debug_config(path, overrides={**corpora, **settings(name, task, data)})
    assert "Config is valid" in capsys.readouterr().out
    again = tmp_path / "again.cfg"
    fill_config(again, path, pretraining=name in PRETRAINING, silent=True)
    assert again.read_text(encoding="utf8") == path.read_text(encoding="utf8")


@pytest.mark.parametrize("name, task", TRAINING)
def test_two_steps_of_training(name, task, data, tmp_path):
    overrides = {
        **settings(name, task, data),
        **SMALL.get(name, {}),
        "paths.log": str(tmp_path / "log.jsonl"),
        "corpora.dev.limit": 20,
        "training.max_steps": 2,
        "training.eval_frequency": 2,
    }
    train(PATHS[name], tmp_path / "out", overrides=overrides)
    assert (tmp_path / "out" / "model-best" / "meta.json").exists()
    assert [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")] == [0, 2]


@pytest.mark.parametrize("name", PRETRAINING)
def test_two_steps_of_pretraining(name, data, tmp_path):
    overrides = {
        **settings(name, "ner", data),
        **SMALL[name],
        "pretraining.max_epochs": 1,
        "pretraining.batcher.size": 400,
    }
    config = load_config(fill(name, "ner", tmp_path, data), overrides=overrides).interpolate()
    pretrain(config, tmp_path)
    (row, _) = srsly.read_jsonl(tmp_path / "log.jsonl")
    assert 500 < row["nr_word"] < 800
    assert (tmp_path / "model-last.bin").exists()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bilm", "transformer", "frozen", "minilm"])
def test_the_listener_has_the_width_of_the_encoder(name, task):
    components = load_config(PATHS[name]).interpolate()["components"]
    encoder = {**DEFAULT_MODEL, **components["ctxemb"].get("model", {})}["encoder"]
    width = 384 if name == "minilm" else encoder["width"]
    tok2vec = components[task]["model"]["tok2vec"]
    listener = tok2vec.get("embed", tok2vec)
    kinds = {"spacy.Tok2VecListener.v1", "spacy-ctxemb.LayerMixListener.v1"}
    assert listener["@architectures"] in kinds
    assert listener["width"] == tok2vec.get("encode", listener)["width"] == width
    assert listener["upstream"] == "ctxemb"


@pytest.mark.parametrize("encoder, pretraining", [("bilm", "bilm"), ("transformer", "mlm")])
def test_training_loads_what_pretraining_writes(encoder, pretraining):
    """`init_tok2vec` wants equal models."""
    configs = [
        load_config(PATHS[name]).interpolate()["components"]["ctxemb"]
        for name in (encoder, f"pretrain_{pretraining}")
    ]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("task", TASKS)
def test_further_training_begins_with_what_was_trained(task, data):
    name = f"{task}_further"
    overrides = settings(name, task, data)
    overrides["training.optimizer.learn_rate.initial_rate"] = 1e-4
    nlp = init_nlp(load_config(PATHS[name], overrides=overrides))
    trained = spacy.load(data / "pipeline")
    for found, expected in zip(nlp.pipe(TEXTS), trained.pipe(TEXTS), strict=True):
        np.testing.assert_array_equal(found.tensor, expected.tensor)
        if task == "ner":
            assert [(e.start, e.end) for e in found.ents] == [
                (e.start, e.end) for e in expected.ents
            ]
        else:
            assert found.cats == expected.cats
    for name in ("ctxemb", task):
        assert nlp.get_pipe(name).model.to_bytes() == trained.get_pipe(name).model.to_bytes()
