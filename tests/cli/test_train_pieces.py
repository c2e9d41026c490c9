"""`python -m spacy ctxemb train-pieces`"""

import bz2
import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from spacy_ctxemb.pieces.subwords import BytePairPieces, WordPieces

from ..pretraining import TEXT, write_text
from ..texts import encode
from .command import run, run_well


@pytest.fixture
def text_path(tmp_path):
    return write_text(tmp_path / "text.txt", [*TEXT, "", "Ärger in Paris"])


def train(text_path, output_path, *options):
    run_well("train-pieces", text_path, output_path, *options)
    return Tokenizer.from_file(str(output_path))


def test_the_vocabulary_fits_word_pieces(text_path, tmp_path):
    path = tmp_path / "new" / "pieces.json"
    tokenizer = train(text_path, path, "--vocab-size", "230")
    assert tokenizer.get_vocab_size() <= 230
    pieces = WordPieces(230)
    pieces.load(path.read_text(encoding="utf8"))
    ids = encode(pieces, ["ferry", "harbour"]).ids
    assert not pieces.is_lossy(ids).any()
    assert [tokenizer.id_to_token(i) for i in range(5)] == list(WordPieces.SPECIAL)


def test_the_size_is_an_upper_limit(text_path, tmp_path):
    small = train(text_path, tmp_path / "small.json", "--vocab-size", "200")
    large = train(text_path, tmp_path / "large.json")
    assert small.get_vocab_size() == 200 < large.get_vocab_size() < 8000


def test_byte_pairs(text_path, tmp_path):
    path = tmp_path / "pieces.json"
    tokenizer = train(text_path, path, "--kind", "bpe", "--vocab-size", "300")
    assert tokenizer.get_vocab_size() == 300
    pieces = BytePairPieces(300)
    pieces.load(path.read_text(encoding="utf8"))
    assert pieces.spell(encode(pieces, ["ferry"]).ids)[0].startswith("f")
    assert [tokenizer.id_to_token(i) for i in range(5)] == list(BytePairPieces.SPECIAL)


def test_byte_pairs_fold_nothing(text_path, tmp_path):
    path = tmp_path / "pieces.json"
    code, output = run("train-pieces", text_path, path, "--kind", "bpe", "--lowercase")
    assert code == 1 and not path.exists()
    assert "[E130] The pieces of kind bpe keep all text as it is" in output


def test_case_is_kept_unless_folded(text_path, tmp_path):
    folded = train(text_path, tmp_path / "folded.json", "--lowercase")
    kept = train(text_path, tmp_path / "kept.json")
    assert folded.encode("THE Ärger").tokens[:2] == ["[CLS]", "the"]
    assert folded.encode("Ärger").ids == folded.encode("arger").ids
    assert kept.encode("The").ids != kept.encode("the").ids
    assert kept.encode("Ärger").tokens[1].startswith("Ä")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_text_gives_the_same_bytes(kind, text_path, tmp_path):
    paths = [tmp_path / name for name in ("one.json", "two.json")]
    for path in paths:
        train(text_path, path, "--kind", kind)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n\n"])
def test_no_text(text, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf8")
    code, output = run("train-pieces", path, tmp_path / "pieces.json")
    assert code == 1
    assert "[E403] There is no text in" in output
    assert not (tmp_path / "pieces.json").exists()


def test_a_size_that_cannot_hold_the_alphabet(text_path, tmp_path):
    code, output = run("train-pieces", text_path, tmp_path / "pieces.json", "--vocab-size", "20")
    assert code == 1
    assert re.search(
        r"\[E126\] .* has \d+ pieces, .* allows 20\. Raise vocab_size \(--vocab", output
    )
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("name, message", [("nothing.txt", "E402"), (".", "E404")])
def test_a_path_without_text(name, message, tmp_path):
    code, output = run("train-pieces", tmp_path / name, tmp_path / "pieces.json")
    assert code == 1
    assert message in output


def test_text_of_several_kinds(text_path, tmp_path):
    """As one file has it, in whatever files it lies."""
    folder = tmp_path / "text"
    folder.mkdir()
    lines = text_path.read_text(encoding="utf8").splitlines()
    with bz2.open(folder / "a.txt.bz2", "wt", encoding="utf8") as file:
        file.write("\n".join(lines[:2]))
    records = [json.dumps({"body": line}) for line in lines[2:] if line]
    (folder / "b.jsonl").write_text("\n".join(records), encoding="utf8")
    train(text_path, tmp_path / "one.json")
    train(folder, tmp_path / "many.json", "--text-field", "body")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "many.json").read_bytes()


def test_an_interrupted_write_leaves_the_old_vocabulary(text_path, tmp_path, monkeypatch):
    path = tmp_path / "pieces.json"
    train(text_path, path)
    before = path.read_bytes()

    def fail(self, text, **settings):
        self.write_bytes(text[: len(text) // 2].encode())
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    code, shown = run("train-pieces", text_path, path, "--lowercase", "--force")
    assert code == 1 and "[E164]" in shown and "disk full" in shown
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"text.txt", "pieces.json"}


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
@pytest.mark.parametrize("size", [-5, 0])
def test_a_size_below_one(kind, size, text_path, tmp_path):
    options = ["--kind", kind, "--vocab-size", str(size)]
    code, output = run("train-pieces", text_path, tmp_path / "pieces.json", *options)
    assert code == 1 and f"allows {size}." in output


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_a_size_beyond_all_memory(kind, text_path, tmp_path):
    tokenizer = train(text_path, tmp_path / "pieces.json", "--kind", kind, "--vocab-size", "9" * 30)
    assert tokenizer.get_vocab_size() < 1000
