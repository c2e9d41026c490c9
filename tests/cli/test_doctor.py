"""`python -m spacy ctxemb doctor`"""

from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly

from ..doctor.configs import TEXTS, build_config, classifier, embedder, write_pipeline, write_texts
from ..pipelines import BILM, TRANSFORMER, initialised, inline_model, textcat_config
from ..stacks import stack
from .command import run, run_well


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_texts(tmp_path / "train.spacy", TEXTS)
    write_texts(tmp_path / "dev.spacy", ["Otters swim.", "A loan."])
    return tmp_path


def write(folder: Path, components: dict[str, Any] | None = None, **settings: Any) -> Path:
    corpora = {name: f"${{paths.{name}}}" for name in ("train", "dev")}
    paths = {"train": None, "dev": str(folder / "dev.spacy")}
    config = build_config(components, corpora=corpora, paths=paths, **settings)
    config.to_disk(folder / "config.cfg")
    return folder / "config.cfg"


def test_a_report(folder: Path) -> None:
    arguments = ["--paths.train", folder / "train.spacy", "--json", folder / "new" / "out.json"]
    output = run_well("doctor", write(folder), *arguments)
    topics = ["Components", "Weights", "Data", "Labels", "Training"]
    for topic in (*topics, "Pieces of ctxemb", "Memory", "Summary"):
        assert f" {topic} =" in output
    assert "'textcat' reads the vectors of 'ctxemb', width 16" in output
    assert "0 error" in output
    report = srsly.read_json(folder / "new" / "out.json")
    levels = [one["level"] for one in report["findings"]]
    assert report["counts"] == {level: levels.count(level) for level in ("ok", "warning", "error")}
    assert report["figures"]["encoders"]["ctxemb"]["train"]["documents"] == 24
    memory = report["figures"]["memory"]
    assert memory["update"] >= memory["prediction"] > 0
    assert report["figures"]["steps"]["per_epoch"] >= 1


def test_errors_are_all_named(folder: Path) -> None:
    """A wrong path, a wrong width and frozen weights that are not there, in one run."""
    other = {**classifier(), "factory": "textcat_multilabel"}
    components = {"ctxemb": embedder(), "textcat": classifier(width=10), "other": other}
    config = write(folder, components, training={"frozen_components": ["ctxemb"]})
    code, output = run("doctor", config, "--json", folder / "out.json")
    assert code == 1
    assert "[E020] The listener of 'textcat' has width 10" in output
    assert "which they read, does not annotate" in output
    assert "nothing gives it weights" in output
    assert "corpora.train cannot be read" in output
    assert srsly.read_json(folder / "out.json")["counts"]["error"] == 4


def test_a_limit(folder: Path) -> None:
    arguments = ["--paths.train", folder / "train.spacy", "--limit", "5", "--no-measure"]
    output = run_well("doctor", write(folder), *arguments)
    assert "train: 5 documents, the first of about 24" in output


def test_several_encoders(folder: Path) -> None:
    """Each is examined: here one that is shared, and one inside a component."""
    own = textcat_config(inline_model(TRANSFORMER), exclusive=False)
    components = {
        "ctxemb": embedder(),
        "textcat": classifier(),
        "own": {"factory": "textcat_multilabel", **own},
    }
    arguments = ["--paths.train", folder / "train.spacy"]
    output = run_well("doctor", write(folder, components), *arguments, "--no-measure")
    assert "Pieces of ctxemb" in output and "Pieces of own" in output
    assert "A vocabulary is learned from the training texts" in output
    assert " Memory " not in output


def test_the_vocabulary_of_a_pipeline(folder: Path) -> None:
    source = write_pipeline(folder / "pipeline", TRANSFORMER)
    nlp = spacy.load(folder / "pipeline")
    n_pieces = nlp.get_pipe("ctxemb").model.shims[0].pieces.n_trained  # type: ignore[attr-defined]
    config = write(folder, {"ctxemb": source, "textcat": classifier(upstream="ctxemb")})
    output = run_well("doctor", config, "--no-measure", "--paths.train", folder / "train.spacy")
    assert f"The vocabulary has {n_pieces} pieces" in output


def test_a_vocabulary_that_is_not_there(folder: Path) -> None:
    pieces = {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": 200}
    components = {"ctxemb": embedder(**{**TRANSFORMER, "pieces": pieces}), "textcat": classifier()}
    code, output = run("doctor", write(folder, components), "--paths.train", folder / "train.spacy")
    assert code == 1 and "[E123] SubwordPieces have no vocabulary yet." in output
    loader = {"@misc": "spacy-ctxemb.TokenizerFile.v1", "path": "nothing.json"}
    initialize = {"components": {"ctxemb": {"pieces_loader": loader}}}
    config = write(folder, components, initialize=initialize)
    code, output = run("doctor", config, "--paths.train", folder / "train.spacy")
    assert "fail before its first step: [E132] There is no vocabulary at nothing" in output


def test_a_callback_brings_the_vocabulary(folder: Path) -> None:
    nlp = initialised(TRANSFORMER)
    pieces = nlp.get_pipe("ctxemb").model.shims[0].pieces  # type: ignore[attr-defined]
    (folder / "pieces.json").write_text(pieces.tokenizer.to_str(), encoding="utf8")
    callback = {"@callbacks": "spacy-ctxemb.LoadPieces.v1", "path": str(folder / "pieces.json")}
    components = {"ctxemb": embedder(**TRANSFORMER), "textcat": classifier()}
    config = write(folder, components, initialize={"before_init": callback})
    output = run_well("doctor", config, "--no-measure", "--paths.train", folder / "train.spacy")
    assert f"The vocabulary has {pieces.n_trained} pieces" in output


def test_the_vocabulary_of_a_member(folder: Path) -> None:
    """Loaders of a Stack's members are run, and its encoders have their names."""
    shim = initialised(TRANSFORMER).get_pipe("ctxemb").model.shims[0]  # type: ignore[attr-defined]
    path = folder / "pieces.json"
    path.write_text(shim.pieces.tokenizer.to_str(), encoding="utf8")
    pieces = {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": 200}
    bert = inline_model({**TRANSFORMER, "pieces": pieces, "training_precision": "bf16"})
    model = stack({"bert": bert, "elmo": inline_model(BILM)}, combine="mix")
    components = {"ctxemb": {"factory": "ctxemb", "model": model}, "textcat": classifier()}

    def read(path: Path) -> tuple[int, str]:
        loader = {"@misc": "spacy-ctxemb.TokenizerFile.v1", "path": str(path)}
        loaders = {"member_loaders": {"bert": {"pieces_loader": loader}}}
        config = write(folder, components, initialize={"components": {"ctxemb": loaders}})
        arguments = ["doctor", config, "--no-measure", "--paths.train", folder / "train.spacy"]
        code, output = run(*arguments)
        return code, " ".join(output.split())

    code, output = read(path)
    assert code == 0
    assert "Pieces of ctxemb.bert" in output and "Pieces of ctxemb.elmo" in output
    assert f"The vocabulary has {shim.pieces.n_trained} pieces" in output
    code, output = read(folder / "nothing.json")
    assert code == 1 and "Training would fail before its first step: [E132]" in output


def test_nothing_to_examine(folder: Path) -> None:
    config = write(folder, {"sentencizer": {"factory": "sentencizer"}})
    code, output = run("doctor", config)
    assert code == 1
    assert "[E508] None of the components ['sentencizer'] of" in output


NO_COMPONENTS = '[nlp]\nlang = "xx"\npipeline = []\n[components]\n'


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the sections ['nlp', 'components'] are missing"),
        ("[nlp", "no section headers"),
        (NO_COMPONENTS.replace("[]", '"ner"'), "pipeline Input should be a valid list"),
        (
            f'{NO_COMPONENTS}[training]\nmax_steps = "x"',
            "max_steps Input should be a valid integer",
        ),
        (f"{NO_COMPONENTS}[initialize]\nbefore_init = 3", "before_init Input should be callable"),
    ],
)
def test_a_config_that_is_not_valid(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text(text)
    code, output = run("doctor", tmp_path / "config.cfg")
    assert code == 1 and output.count("[E520] The config is not valid: ") == 1
    assert message in output and "`python -m spacy debug config` shows" in output


def test_a_config_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_bytes(b"\xff\xfe")
    code, output = run("doctor", tmp_path / "config.cfg")
    assert code == 1 and "[E163]" in output and "config.cfg cannot be read as a config: " in output


def test_sentences_are_those_that_training_sees(folder: Path) -> None:
    components = {
        "sentencizer": {"factory": "sentencizer"},
        "ctxemb": embedder(),
        "textcat": classifier(),
    }
    config = write(folder, components, training={"annotating_components": ["sentencizer"]})
    arguments = ["--paths.train", folder / "train.spacy", "--json", folder / "out.json"]
    run_well("doctor", config, "--no-measure", *arguments)
    figures = srsly.read_json(folder / "out.json")["figures"]["encoders"]["ctxemb"]["train"]
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    assert figures["sequences"] == sum(len(list(nlp(text).sents)) for text in TEXTS)
