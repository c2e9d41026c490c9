"""Every config of the project is complete once filled, and trains."""

from pathlib import Path

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
from .pretraining import CONFIGS, write_text

CORPUS = Path(__file__).parent / "corpus"
#: For `ctxemb pretrain`; tests/pretraining has their tests.
AT_SCALE = {"pretrain_bert", "pretrain_elmo", "pretrain_english"}
NAMES = sorted({path.stem for path in CONFIGS.glob("*.cfg")} - AT_SCALE)
TRAINING = [name for name in NAMES if not name.startswith("pretrain_")]
PRETRAINING = [name for name in NAMES if name.startswith("pretrain_")]

#: The paths of pipelines in configs.
SOURCES = ("paths.encoder", "paths.pipeline")
#: The width that *_source.cfg listen to, MiniLM's.
SOURCE_WIDTH = 384

#: Smaller than in the configs, where what is learned does not matter.
SMALL = {
    "bilm": {"components.ctxemb.model.encoder.hidden_width": 128},
    "transformer": {"components.ctxemb.model.encoder.n_blocks": 1},
    "source": {},
    "further": {},
    "mlm": {"components.ctxemb.model.encoder.n_blocks": 1},
    "hashembedcnn": {},
    "stack": {"components.ctxemb.model.members.bilm.encoder.hidden_width": 128},
}


def small(name):
    return SMALL[name.split("_")[1]]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The corpora in spaCy's format, plain text, and a vocabulary."""
    directory = tmp_path_factory.mktemp("corpus")
    for task in ("ner", "textcat"):
        (directory / task).mkdir()
    for part in ("train", "dev"):
        convert(
            CORPUS / "ner" / f"{part}.conll",
            directory / "ner",
            converter="ner",
            n_sents=1,
            file_type="spacy",
            lang="en",
            silent=True,
        )
    run_well("convert-textcat", CORPUS / "textcat", directory / "textcat")
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


def paths(name, data):
    """The paths that a config wants, as overrides."""
    if name in PRETRAINING:
        found = {"raw_text": data / "text.txt", "pieces": data / "pieces.json"}
    else:
        task = data / name.split("_")[0]
        found = {"train": task / "train.spacy", "dev": task / "dev.spacy"}
        found |= {kind: data / kind for kind in ("encoder", "pipeline")}
    wanted = load_config(CONFIGS / f"{name}.cfg")["paths"]
    return {f"paths.{key}": str(path) for key, path in found.items() if key in wanted}


def fill(name, directory, data):
    path, base = directory / f"{name}.cfg", CONFIGS / f"{name}.cfg"
    sources = {key: value for key, value in paths(name, data).items() if key in SOURCES}
    if sources:  # which are loaded for that
        base = directory / "base.cfg"
        load_config(CONFIGS / f"{name}.cfg", overrides=sources).to_disk(base)
    fill_config(path, base, pretraining=name in PRETRAINING, silent=True)
    return path


def test_there_is_a_config_for_each_task_and_encoder():
    encoders = ("hashembedcnn", "bilm", "transformer", "source", "further")
    expected = {f"{task}_{encoder}" for task in ("ner", "textcat") for encoder in encoders}
    assert set(NAMES) == {*expected, "ner_stack", "pretrain_bilm", "pretrain_mlm"}


@pytest.mark.parametrize("name", NAMES)
def test_a_filled_config_is_valid(name, data, tmp_path, capsys):
    path = fill(name, tmp_path, data)
    # Of a config of pretraining, too, spaCy checks the section [training], which it fills in.
    corpora = {f"paths.{part}": str(data / "ner" / f"{part}.spacy") for part in ("train", "dev")}
    debug_config(path, overrides={**corpora, **paths(name, data)})
    assert "Config is valid" in capsys.readouterr().out
    again = tmp_path / "again.cfg"
    fill_config(again, path, pretraining=name in PRETRAINING, silent=True)
    assert again.read_text(encoding="utf8") == path.read_text(encoding="utf8")


@pytest.mark.parametrize("name", TRAINING)
def test_two_steps_of_training(name, data, tmp_path):
    overrides = {
        **paths(name, data),
        **small(name),
        "paths.log": str(tmp_path / "log.jsonl"),
        "corpora.dev.limit": 20,
        "training.max_steps": 2,
        "training.eval_frequency": 2,
    }
    train(CONFIGS / f"{name}.cfg", tmp_path / "out", overrides=overrides)
    assert (tmp_path / "out" / "model-best" / "meta.json").exists()
    assert [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")] == [0, 2]


@pytest.mark.parametrize("name", PRETRAINING)
def test_two_steps_of_pretraining(name, data, tmp_path):
    overrides = {
        **paths(name, data),
        **small(name),
        "pretraining.max_epochs": 1,
        "pretraining.batcher.size": 400,
    }
    config = load_config(fill(name, tmp_path, data), overrides=overrides).interpolate()
    pretrain(config, tmp_path)
    (row, _) = srsly.read_jsonl(tmp_path / "log.jsonl")
    assert 500 < row["nr_word"] < 800
    assert (tmp_path / "model-last.bin").exists()


@pytest.mark.parametrize("name", [n for n in TRAINING if "bilm" in n or "transformer" in n])
def test_the_listener_has_the_width_of_the_encoder(name):
    components = load_config(CONFIGS / f"{name}.cfg").interpolate()["components"]
    model = components["ctxemb"]["model"]
    members = model["members"].values() if "members" in model else [model]
    width = sum(x["encoder"]["width"] if "encoder" in x else x["width"] for x in members)
    (listener,) = (
        pipe["model"]["tok2vec"] for pipe in components.values() if "tok2vec" in pipe["model"]
    )
    assert listener["@architectures"] == "spacy.Tok2VecListener.v1"
    assert listener["width"] == width
    assert listener["upstream"] == "ctxemb"


@pytest.mark.parametrize("encoder, pretraining", [("bilm", "bilm"), ("transformer", "mlm")])
@pytest.mark.parametrize("task", ["ner", "textcat"])
def test_training_loads_what_pretraining_writes(task, encoder, pretraining):
    """`init_tok2vec` wants equal models."""
    configs = [
        load_config(CONFIGS / f"{name}.cfg").interpolate()["components"]["ctxemb"]
        for name in (f"{task}_{encoder}", f"pretrain_{pretraining}")
    ]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("task", ["ner", "textcat"])
def test_further_training_begins_with_what_was_trained(task, data):
    name = f"{task}_further"
    overrides = {**paths(name, data), "training.optimizer.learn_rate.initial_rate": 1e-4}
    nlp = init_nlp(load_config(CONFIGS / f"{name}.cfg", overrides=overrides))
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


def test_the_member_of_a_stack_loads_it_too():
    stack, alone = (
        load_config(CONFIGS / f"{n}.cfg").interpolate() for n in ("ner_stack", "ner_bilm")
    )
    layer = stack["pretraining"]["layer"]
    model = alone["components"]["ctxemb"]["model"]
    assert stack["components"]["ctxemb"]["model"]["members"][layer] == model
