"""Vocabularies in [initialize.components.ctxemb.pieces_loader]."""

import json
import re

import pytest
import spacy
from spacy.util import registry
from thinc.api import Config

from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..docs.pages import read_excerpt
from ..pipelines import BILM, NER_DATA, TRANSFORMER, blank, examples
from ..pretraining import TEXT, write_text
from ..tokenizers import build_byte_level

VOCAB_SIZE = 300
PIECES = {
    kind: {"@architectures": f"spacy-ctxemb.{kind}.v1", "vocab_size": VOCAB_SIZE}
    for kind in ("WordPieces", "BytePairPieces", "SubwordPieces")
}


def build(kind):
    """A Transformer with pieces of this kind."""
    encoder = {**TRANSFORMER["encoder"], "vocab_size": VOCAB_SIZE}
    return blank({**TRANSFORMER, "encoder": encoder, "pieces": PIECES[kind]})


def initialize(nlp, loader=None, path=None):
    """With a loader in the config, as users write it."""
    if loader is not None:
        section = {"@misc": f"spacy-ctxemb.{loader}.v1", "path": str(path)}
        nlp.config["initialize"]["components"]["ctxemb"] = {"pieces_loader": section}
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return get_shim(nlp.get_pipe("ctxemb").model).pieces


@pytest.mark.parametrize("kind", PIECES)
def test_a_tokenizer_file(kind, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(build_byte_level(("a", "t")).to_str(), encoding="utf8")
    nlp = build(kind)
    pieces = initialize(nlp, "TokenizerFile", path)
    assert pieces.to_json()["tokenizer"] == json.loads(path.read_text(encoding="utf8"))
    doc = nlp("We sat in Lima.")
    assert doc.tensor.any(axis=1).all()
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert (again(doc.text).tensor == doc.tensor).all()


@pytest.mark.parametrize("kind", ["WordPieces", "BytePairPieces"])
def test_pieces_learned_from_a_text(kind, tmp_path):
    path = write_text(tmp_path / "text.txt", [*TEXT, "", *["zyzzyva"] * 9])
    pieces = initialize(build(kind), "TrainPieces", path)
    assert any("zyz" in piece for piece in pieces.tokenizer.get_vocab())


@pytest.mark.parametrize("kind", ["WordPieces", "BytePairPieces"])
def test_pieces_learned_from_the_examples(kind):
    nlp = build(kind)
    pieces = initialize(nlp)
    learned = {piece.strip("Ġ#") for piece in pieces.tokenizer.get_vocab()}
    assert {"Li", "Lim", "Lima", "Os", "Oslo"} & learned
    assert nlp("Ada").has_vector


def test_without_a_loader_subword_pieces_have_no_vocabulary():
    nlp = build("SubwordPieces")
    assert not initialize(nlp).is_trained
    with pytest.raises(RuntimeError, match=r"\[E123\] SubwordPieces have no vocabulary yet"):
        nlp("text")


@pytest.mark.parametrize("loader, code", [("TokenizerFile", "E132"), ("TrainPieces", "E403")])
def test_no_file(loader, code, tmp_path):
    path = tmp_path / "nothing"
    with pytest.raises(ValueError, match=rf"\[{code}\] .* (at|in) {re.escape(str(path))}"):
        initialize(build("WordPieces"), loader, path)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
        (b'{"model": {"type": "WordPie', "Unterminated string"),
        (b"PK\3\4\xff\xfe", "'utf-8' codec can't decode"),
    ],
)
@pytest.mark.parametrize("loader", ["TokenizerFile", "TrainPieces"])
def test_a_damaged_file(loader, content, reason, tmp_path):
    if loader == "TrainPieces":
        content, reason = b"text\n\xff", "'utf-8' codec can't decode"
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"\[E163\] {re.escape(str(path))} cannot .*: {reason}"):
        initialize(build("WordPieces"), loader, path)


def test_no_text(tmp_path):
    path = write_text(tmp_path / "text.txt", ["", " "])
    with pytest.raises(ValueError, match=r"\[E403\] There is no text in"):
        initialize(build("WordPieces"), "TrainPieces", path)


@pytest.mark.parametrize(
    "kind, loader, options",
    [
        ("SubwordPieces", "TrainPieces", "WordPieces or BytePairPieces"),
        ("CharacterPieces", "TrainPieces", "WordPieces or BytePairPieces"),
        ("CharacterPieces", "TokenizerFile", "SubwordPieces, WordPieces or BytePairPieces"),
    ],
)
def test_pieces_that_take_no_such_vocabulary(kind, loader, options, tmp_path):
    nlp = blank(BILM) if kind == "CharacterPieces" else build(kind)
    message = (
        rf"\[E129\] spacy-ctxemb\.{loader}\.v1 is to give \[components\.ctxemb\.model\.pieces\]"
        rf" a vocabulary, but these are {kind}\. .* use {options} there"
    )
    with pytest.raises(ValueError, match=message):
        initialize(nlp, loader, write_text(tmp_path / "text.txt", TEXT))


@pytest.mark.parametrize("loader", ["TrainPieces", "TokenizerFile"])
def test_building_it_reads_nothing(loader):
    assert callable(registry.misc.get(f"spacy-ctxemb.{loader}.v1")(path="nothing"))


def test_the_excerpt_of_the_docs_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = build_byte_level(("a", "t")).to_str()
    (tmp_path / "pieces.json").write_text(stored, encoding="utf8")
    nlp = build("SubwordPieces")
    above = "[initialize]\n[initialize.components]\n"
    initialization = Config().from_str(above + read_excerpt("a vocabulary"))["initialize"][
        "components"
    ]["ctxemb"]
    nlp.config["initialize"]["components"]["ctxemb"] = initialization
    assert initialize(nlp).to_json()["tokenizer"] == json.loads(stored)
