"""Subword pieces: special pieces by their roles, vocabularies loaded and learned."""

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, processors

from spacy_ctxemb.pieces.pieces_from_json import pieces_from_json
from spacy_ctxemb.pieces.subwords import BytePairPieces, SubwordPieces, WordPieces

from ..strategies import ascii_words, texts, words_W
from ..texts import encode, join_words, read_tokens
from ..tokenizers import build_byte_level, build_word_piece

WORDS = ["the cats sat on", "Mats and chatted that", "thé 日本"] * 3


@pytest.fixture(scope="module")
def word_pieces() -> WordPieces:
    pieces = WordPieces(200)
    pieces.train([WORDS])
    return pieces


@pytest.fixture(scope="module")
def byte_pairs() -> BytePairPieces:
    pieces = BytePairPieces(300)
    pieces.train([WORDS])
    return pieces


@pytest.fixture(scope="module")
def smallest() -> dict[bool, WordPieces]:
    trained = {lowercase: WordPieces(170, lowercase=lowercase) for lowercase in (True, False)}
    for pieces in trained.values():
        pieces.train([["only"], ["three", "words"]])
    return trained


@pytest.mark.parametrize("lowercase", [True, False])
@given(word=ascii_words)
def test_three_words_teach_to_spell_any_ascii_word(
    smallest: dict[bool, WordPieces], lowercase: bool, word: str
) -> None:
    assume(not any(piece in word for piece in WordPieces.SPECIAL))
    pieces = smallest[lowercase]
    encoded = encode(pieces, [word])
    assert not pieces.is_lossy(encoded.ids).any()
    spelt = pieces.spell(encoded.ids)
    normal = word.lower() if lowercase else word
    for piece, (start, end) in zip(spelt, encoded.offsets.tolist(), strict=True):
        assert normal[start:end] in (piece, piece.removeprefix("##"))
    assert encoded.offsets[:, 0].tolist() == [0, *encoded.offsets[:-1, 1]]
    assert encoded.lengths.tolist() == [len(spelt)] and encoded.offsets[-1, 1] == len(word)


def test_case_and_accents_fold_only_when_asked(smallest: dict[bool, WordPieces]) -> None:
    folded, kept = (
        read_tokens(smallest[lowercase], encode(smallest[lowercase], ["Cafe", "cafe", "café"]))
        for lowercase in (True, False)
    )
    assert folded[0] == folded[1] == folded[2]
    assert kept[0] != kept[1] != kept[2]


def test_frequent_words_become_one_piece(word_pieces: WordPieces) -> None:
    cats, unseen = read_tokens(word_pieces, encode(word_pieces, ["cats", "unseen"]))
    assert cats == ["cats"]
    assert len(unseen) > 1 and all(piece.startswith("##") for piece in unseen[1:])


def test_bytes_keep_the_space_before_a_word(byte_pairs: BytePairPieces) -> None:
    tokens = read_tokens(byte_pairs, encode(byte_pairs, ["cats", "chatted", "sat"]))
    assert tokens[0][0][0] == "c"
    assert tokens[1:] == [["Ġchatted"], ["Ġsat"]]


@given(text=texts)
def test_bytes_spell_any_text(byte_pairs: BytePairPieces, text: str) -> None:
    ids = byte_pairs.encode(join_words([text])).ids
    assert not byte_pairs.is_lossy(ids).any()
    assume(not any(piece in text for piece in BytePairPieces.SPECIAL))
    assert byte_pairs.tokenizer.decode(ids.tolist()) == text


@pytest.mark.parametrize(
    "kind, mask, begin, end", [(WordPieces, 4, 2, 3), (BytePairPieces, 4, 0, 2)]
)
def test_special_pieces_have_the_lowest_ids(
    kind: type[WordPieces] | type[BytePairPieces], mask: int, begin: int, end: int
) -> None:
    pieces = kind(300)
    pieces.train([WORDS])
    assert pieces.spell(np.arange(5, dtype=np.int32)) == list(kind.SPECIAL)
    assert pieces.special_ids == [0, 1, 2, 3, 4]
    assert pieces.mask_id == mask
    assert [int(i) for i in pieces.boundaries] == [begin, end]
    assert pieces.n_trained == pieces.tokenizer.get_vocab_size() <= 300
    whole = pieces.tokenizer.encode("cats", "sat").ids
    assert (whole[0], whole[-1]) == (begin, end) and whole[1:-1].count(end) in (1, 2)


@pytest.mark.parametrize("kind", [WordPieces, BytePairPieces])
def test_saved_tokenizers_work_in_transformers(
    kind: type[WordPieces] | type[BytePairPieces], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    pieces = kind(300)
    pieces.train([WORDS])
    path = tmp_path / "tokenizer.json"
    path.write_text(pieces.tokenizer.to_str(), encoding="utf8")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    begin, end = (int(i) for i in pieces.boundaries)
    ids = encode(pieces, ["the", "cats", "sat"]).ids.tolist()
    assert theirs("the cats sat")["input_ids"] == [begin, *ids, end]
    assert theirs.decode(ids) == "the cats sat"


def test_loading_forgets_the_old_vocabulary() -> None:
    pieces = SubwordPieces(10)
    for names in (["cat", "dog"], ["dog", "cat"]):
        pieces.load(build_word_piece(names).to_str())
        assert pieces.spell(encode(pieces, ["cat", "dog"]).ids) == ["cat", "dog"]
        assert encode(pieces, names).ids.tolist() == [5, 6]


def test_roles_follow_the_loaded_vocabulary() -> None:
    """BERT's own vocabulary has its special pieces behind a hundred unused ones."""
    names = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = SubwordPieces(20)
    pieces.load(build_word_piece(["cat"], special=names).to_str())
    ids = encode(pieces, ["cat", "dog"]).ids
    assert ids.tolist() == [7, 3]
    assert pieces.is_lossy(ids).tolist() == [False, True]
    assert pieces.special_ids == [0, 3, 4, 5, 6]
    assert [int(i) for i in pieces.boundaries] == [4, 5]
    assert (pieces.mask_id, pieces.n_trained) == (6, 8)


def test_padding_may_have_any_id() -> None:
    """RoBERTa's begin of a text has id 0."""
    pieces = SubwordPieces(300)
    pieces.load(build_byte_level().to_str())
    assert [int(i) for i in pieces.boundaries] == [0, 2]
    assert pieces.mask_id == 4
    assert pieces.special_ids == [0, 1, 2, 3, 4]


def test_the_post_processor_names_the_boundaries() -> None:
    tokenizer = build_word_piece(["<a>", "<b>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<a> $A <b>", special_tokens=[("<a>", 5), ("<b>", 6)]
    )
    pieces = SubwordPieces(10)
    pieces.load(tokenizer.to_str())
    assert [int(i) for i in pieces.boundaries] == [5, 6]
    assert pieces.special_ids == [0, 1, 2, 3, 4, 5, 6]


def test_added_special_pieces_are_special() -> None:
    tokenizer = build_word_piece(["cat"])
    tokenizer.add_special_tokens(["[ENTITY]"])
    tokenizer.add_tokens(["dog"])
    pieces = SubwordPieces(10)
    pieces.load(tokenizer.to_str())
    assert pieces.special_ids == [0, 1, 2, 3, 4, 6]
    assert pieces.n_trained == 8


def test_a_tokenizer_without_boundaries_is_given_those_it_has_names_for() -> None:
    """GPT-2's post-processor trims offsets, but adds nothing."""
    tokenizer = build_byte_level(("Ġ", "b"))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    pieces = SubwordPieces(300)
    pieces.load(tokenizer.to_str())
    assert [int(i) for i in pieces.boundaries] == [0, 2]
    assert pieces.encode(join_words(["a", "b"])).offsets.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "single, found",
    [(None, r"\['a'\]"), ("$A [SEP]", r"\['a', '\[SEP\]'\]"), ("[SEP] [SEP] $A", ".*")],
)
def test_a_tokenizer_without_begin_or_end_is_refused(single: str | None, found: str) -> None:
    tokenizer = build_word_piece(["a"], special=["[PAD]", "[UNK]", "[SEP]"])
    if single is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[("[SEP]", 2)]
        )
    message = rf"\[E128\] The tokenizer of here\.json makes {found} of the text 'a'"
    with pytest.raises(ValueError, match=message):
        SubwordPieces(200).load(tokenizer.to_str(), source="here.json")


def test_a_mask_is_needed_only_where_it_is_used() -> None:
    pieces = SubwordPieces(10)
    pieces.load(build_word_piece(["cat"], special=["[UNK]", "[CLS]", "[SEP]"]).to_str())
    assert encode(pieces, ["cat"]).ids.tolist() == [3]
    with pytest.raises(ValueError, match=r"\[E127\] .* vocabulary has neither"):
        _ = pieces.mask_id


def test_a_vocabulary_without_unknown_pieces_is_never_lossy() -> None:
    vocabulary = {"[CLS]": 0, "[SEP]": 1, "a": 2}
    pieces = SubwordPieces(10)
    pieces.load(str(Tokenizer(models.BPE(vocabulary, [])).to_str()))
    ids = encode(pieces, ["a", "z"]).ids
    assert ids.tolist() == [2] and not pieces.is_lossy(ids).any()


def test_loading_leaves_out_padding_and_truncation(word_pieces: WordPieces) -> None:
    """Published tokenizer files often ask for both; a text must have its own pieces only."""
    words = ["a", "unseen", "cats"]
    tokenizer = Tokenizer.from_str(word_pieces.tokenizer.to_str())
    tokenizer.enable_padding()
    tokenizer.enable_truncation(2)
    pieces = WordPieces(200)
    pieces.load(tokenizer.to_str())
    assert encode(pieces, words).ids.tolist() == encode(word_pieces, words).ids.tolist()


def test_nothing_is_left_to_chance() -> None:
    tokenizer = build_byte_level(("a", "b"))
    expected = encode(load_pieces(tokenizer), ["ab" * 20]).ids.tolist()
    tokenizer.model.dropout = 0.5
    pieces = load_pieces(tokenizer)
    for _ in range(3):
        assert encode(pieces, ["ab" * 20]).ids.tolist() == expected


def load_pieces(tokenizer: Tokenizer) -> SubwordPieces:
    pieces = SubwordPieces(300)
    pieces.load(tokenizer.to_str())
    return pieces


@pytest.mark.parametrize("n, is_read", [(1, True), (5, False)])
def test_a_normalizer_that_lets_text_grow(n: int, is_read: bool, word_pieces: WordPieces) -> None:
    tokenizer = Tokenizer.from_str(word_pieces.tokenizer.to_str())
    grow = [normalizers.Replace("a", 50 * "a") for _ in range(n)]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *grow])
    message = r"\[E124\] the tokenizer is not .*: its normalizer makes up to 312500000 characters"
    with nullcontext() if is_read else pytest.raises(ValueError, match=message):
        WordPieces(200).load(tokenizer.to_str())


@pytest.mark.parametrize("length, is_read", [(1000, True), (1001, False)])
def test_pieces_of_any_length_are_not_read(length: int, is_read: bool) -> None:
    """A vocabulary of Unigram with a piece of a million characters ends the process when freed."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("é" * length, -1.0), ("a", -2.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    message = r"\[E124\] here is not .*: it has pieces of more than 1,000 characters"
    with nullcontext() if is_read else pytest.raises(ValueError, match=message):
        SubwordPieces(200).load(tokenizer.to_str(), source="here")


@pytest.mark.parametrize("prefix, is_read", [("##", True), ("", True), ("@@", False)])
def test_a_prefix_that_no_piece_has(prefix: str, is_read: bool, word_pieces: WordPieces) -> None:
    tokenizer = Tokenizer.from_str(word_pieces.tokenizer.to_str())
    tokenizer.model.continuing_subword_prefix = prefix
    message = r"\[E124\] here is not .*: no piece begins with its continuing_subword_prefix '@@'"
    with nullcontext() if is_read else pytest.raises(ValueError, match=message):
        SubwordPieces(200).load(tokenizer.to_str(), source="here")


def test_training_respects_vocab_size_whatever_the_alphabet() -> None:
    pieces = WordPieces(250)
    pieces.train([["".join(chr(0x4E00 + i) for i in range(300))], WORDS])
    assert pieces.n_trained <= 250
    assert not pieces.is_lossy(encode(pieces, ["cats"]).ids).any()


def test_no_vocabulary_yet() -> None:
    pieces = WordPieces(200)
    assert not pieces.is_trained
    with pytest.raises(RuntimeError, match=r"\[E123\] WordPieces have no vocabulary yet"):
        encode(pieces, ["cat"])
    with pytest.raises(RuntimeError, match=r"\[E123\] SubwordPieces have no vocabulary yet"):
        _ = SubwordPieces(200).boundaries
    again = pieces_from_json(json.loads(json.dumps(pieces.to_json())))
    assert isinstance(again, WordPieces)
    assert not again.is_trained and again.n_ids == 200


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"model": {"type": "WordPiece"}}'])
def test_broken_json_names_its_source(broken: str) -> None:
    pieces = WordPieces(200)
    with pytest.raises(ValueError, match=r"\[E124\] here\.json is not a tokenizer in the JSON"):
        pieces.load(broken, source="here.json")
    assert not pieces.is_trained


def test_a_missing_unknown_piece_is_named() -> None:
    tokenizer = build_word_piece(["cat"], special=["[CLS]", "[SEP]"])
    message = re.escape("[E125] The vocabulary of here.json lacks the pieces ['[UNK]']")
    with pytest.raises(ValueError, match=message):
        SubwordPieces(200).load(tokenizer.to_str(), source="here.json")


def test_a_vocabulary_larger_than_the_table_is_refused() -> None:
    message = r"\[E126\] .* here\.json has 8 pieces, .* allows 7\. Raise vocab_size .* to 8"
    stored = build_word_piece(["a", "b", "c"]).to_str()
    pieces = SubwordPieces(7)
    with pytest.raises(ValueError, match=message):
        pieces.load(stored, source="here.json")
    assert not pieces.is_trained
    SubwordPieces(8).load(stored)


def test_bytes_need_room_for_all_of_them() -> None:
    with pytest.raises(ValueError, match=r"\[E126\] .* has 261 pieces, .* allows 260\."):
        BytePairPieces(260).train([["cats"]])
    pieces = BytePairPieces(261)
    pieces.train([["cats"]])
    assert pieces.n_trained == 261


def test_a_table_too_small_for_the_alphabet_is_refused() -> None:
    """5 special pieces, 32 of punctuation, and 62 letters and digits, each of them twice."""
    with pytest.raises(ValueError, match=r"\[E126\] .* has 161 pieces, .* allows 160\."):
        WordPieces(160).train([["cats"]])
    pieces = WordPieces(161)
    pieces.train([["cats"]])
    assert pieces.n_trained == 161


@pytest.mark.parametrize("kind", [WordPieces, BytePairPieces])
def test_lone_surrogates_do_not_hinder_training(
    kind: type[WordPieces] | type[BytePairPieces],
) -> None:
    pieces = kind(400)
    pieces.train([["\ud800", "cats\udfffsat"]])
    assert not pieces.is_lossy(encode(pieces, ["catssat"]).ids).any()


@given(documents=st.lists(words_W, max_size=3))
def test_ids_and_offsets_are_those_of_the_library(
    word_pieces: WordPieces, documents: list[list[str]]
) -> None:
    texts = join_words(*documents)
    encoded = word_pieces.encode(texts)
    theirs = [word_pieces.tokenizer.encode(t, add_special_tokens=False) for t in texts.texts]
    assert encoded.ids.tolist() == [i for encoding in theirs for i in encoding.ids]
    assert encoded.offsets.tolist() == [
        [start + begin, end + begin]
        for encoding, begin in zip(theirs, texts.offsets.tolist(), strict=True)
        for start, end in encoding.offsets
    ]


def run_alone(code: str) -> None:
    """Run a program that must say nothing, in a process without the switch."""
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_forked_process_neither_warns_nor_waits() -> None:
    code = (
        "import os\n"
        "from tokenizers import Tokenizer\n"
        "from spacy_ctxemb.pieces.subwords import SubwordPieces\n"
        f"pieces = SubwordPieces(400)\npieces.load({build_byte_level().to_str()!r})\n"
        "run = lambda: pieces.tokenizer.encode_batch(['some text'] * 1000)[0].ids\n"
        "expected = run()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    is_set = os.environ.get('TOKENIZERS_PARALLELISM') == 'false'\n"
        "    os._exit(not is_set or run() != expected)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert 'TOKENIZERS_PARALLELISM' not in os.environ\n"
    )
    run_alone(code)


def test_threads_that_fork_at_the_same_time_leave_the_switch_as_it_was() -> None:
    code = (
        "import os, threading, time\n"
        "os.register_at_fork(before=lambda: time.sleep(0.05))\n"
        "import spacy_ctxemb.pieces.subwords\n"
        "def work():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os._exit(os.environ.get('TOKENIZERS_PARALLELISM') != 'false')\n"
        "    ends.append(os.waitpid(child, 0)[1])\n"
        "ends = []\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert ends == [0, 0, 0] and 'TOKENIZERS_PARALLELISM' not in os.environ\n"
    )
    run_alone(code)
