"""Pieces of characters against ids worked out by hand, and what all kinds of pieces agree on."""

import json
import pickle
import string
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_ctxemb.pieces import characters as pieces_module
from spacy_ctxemb.pieces.base import Pieces
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pieces.pieces_from_json import pieces_from_json
from spacy_ctxemb.pieces.subwords import BytePairPieces, SubwordPieces, WordPieces

from ..strategies import any_words_W, words_W
from ..texts import encode, join_words, read_tokens

WORDS = ["the", "cats", "sat", "on", "Mats", "and", "chatted", "that", "thé", "日本"] * 3

# Ids of ELMo after the shift by 1: begin and end of sentence, begin and end of word, padding.
BOS, EOS, BOW, EOW, PAD = 257, 258, 259, 260, 261


@pytest.mark.parametrize(
    "word, characters",
    [
        ("cat", [100, 98, 117]),  # 63 61 74
        ("Cat", [68, 98, 117]),  # 43 61 74: case is kept
        ("é", [196, 170]),  # C3 A9
        ("e\u0301", [102, 205, 130]),  # 65 CC 81: nothing is composed
        ("日", [231, 152, 166]),  # E6 97 A5
        ("😀", [241, 160, 153, 129]),  # F0 9F 98 80
        ("\x00", [1]),  # byte 0 is not padding
        ("\ud83d", []),  # a lone surrogate has no encoding
        ("a\udc80b", [98, 99]),
        ("", []),
        ("<s>", [61, 116, 62 + 1]),  # only upper case is a boundary
        ("<S>", [BOS]),
        ("</S>", [EOS]),
    ],
)
def test_character_ids_are_bytes_shifted_by_one(word: str, characters: list[int]) -> None:
    ids = CharacterPieces(50).encode_words([word])
    row = [BOW, *characters, EOW]
    assert ids.tolist() == [row + [PAD] * (50 - len(row))]


@pytest.mark.parametrize(
    "word, kept",
    [
        ("x" * 48, [121] * 48),
        ("x" * 49, [121] * 48),
        ("日" * 17, [231, 152, 166] * 16),
        ("😀" * 13, [241, 160, 153, 129] * 12),
        ("a" + "日" * 16, [98] + [231, 152, 166] * 15 + [231, 152]),  # cut inside a character
    ],
)
def test_long_words_keep_48_bytes_and_their_end(word: str, kept: list[int]) -> None:
    (row,) = CharacterPieces(50).encode_words([word]).tolist()
    assert row == [BOW, *kept, EOW]


def test_character_boundaries_are_the_sentence_rows() -> None:
    begin, end = CharacterPieces(6).boundaries
    assert begin.tolist() == [BOW, BOS, EOW, PAD, PAD, PAD]
    assert end.tolist() == [BOW, EOS, EOW, PAD, PAD, PAD]


@given(words_W)
def test_characters_spell_the_first_bytes_of_each_word(words: list[str]) -> None:
    words = [word for word in words if not word.isspace()]
    ids = CharacterPieces(9).encode_words(words)
    assert ids.shape == (len(words), 9) and ids.dtype == np.int32
    spelt = [bytes(i - 1 for i in row if i <= 256) for row in ids.tolist()]
    assert spelt == [word.encode()[:7] for word in words]


def test_character_rows_that_are_full_count_as_lossy() -> None:
    pieces = CharacterPieces(5)
    assert pieces.is_lossy(pieces.encode_words(["ab", "abc", "abcd"])).tolist() == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("max_characters", [2, 0, 10**9])
def test_too_few_or_many_characters_are_refused(max_characters: int) -> None:
    with pytest.raises(ValueError, match=rf"\[E120\] max_characters is {max_characters}\. Use 3"):
        CharacterPieces(max_characters)


@given(words=any_words_W)
def test_the_cache_changes_nothing(words: list[str]) -> None:
    cached = CharacterPieces(12)
    for part in (words[:4], words, words[2:]):
        expected = [CharacterPieces(12).encode_words([word]) for word in part]
        blank = np.zeros((0, 12), dtype=np.int32)
        assert_array_equal(cached.encode_words(part), np.concatenate([blank, *expected]))


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "CACHE_SIZE", 2)
    pieces = CharacterPieces(12)
    for words in [["a", "b", "c", "d"], ["b", "e", "b"], ["a"], ["f", "g", "a"]]:
        expected = CharacterPieces(12).encode_words(words)
        assert_array_equal(pieces.encode_words(words), expected)
        assert len(pieces._cache) <= 4


def test_callers_may_change_what_they_get() -> None:
    pieces = CharacterPieces(12)
    expected = pieces.encode_words(["cats"]).copy()
    pieces.encode_words(["cats"])[:] = 0
    assert_array_equal(pieces.encode_words(["cats"]), expected)


def test_a_document_has_one_piece_a_word() -> None:
    pieces = CharacterPieces(12)
    encoded = pieces.encode(join_words(["a", " ", "", "bc"], [], [" "], ["", "d"]))
    assert_array_equal(encoded.ids, pieces.encode_words(["a", "", "bc", "", "d"]))
    # The texts "a   bc", "", " " and " d", end to end; each begins at 0, 7, 7 and 8.
    assert encoded.offsets.tolist() == [[0, 1], [4, 4], [5, 7], [8, 8], [9, 10]]
    assert encoded.starts.tolist() == [0, 1, 1, 2, 3, 3, 4]
    assert encoded.lengths.tolist() == [1, 0, 1, 1, 0, 1, 1]
    assert encoded.document_lengths.tolist() == [3, 0, 0, 2]


def test_a_piece_is_spelt_as_the_encoder_reads_it() -> None:
    pieces = CharacterPieces(6, tokens_to_add={"<num>": 7})
    words = ["cats", "catch", "ééé", "日本", "<num>", "</S>", ""]
    spelt = ["cats", "catc", "éé", "日", "<num>", "</S>", ""]
    assert pieces.spell(pieces.encode_words(words)) == spelt


def test_texts_know_their_words() -> None:
    documents = ["a", " ", "", "bc"], [], ["日本", "d"]
    assert join_words(*documents).words == [word for words in documents for word in words]


def build_pieces(kind: str) -> Pieces:
    if kind == "characters":
        return CharacterPieces(12)
    if kind == "words":
        pieces = WordPieces(200)
        pieces.train([WORDS])
        return pieces
    byte_pairs = BytePairPieces(290)
    byte_pairs.train([WORDS])
    if kind == "byte pairs":
        return byte_pairs
    subwords = SubwordPieces(400)
    subwords.load(byte_pairs.tokenizer.to_str())
    return subwords


@pytest.mark.parametrize("kind", ["characters", "words", "byte pairs", "subwords"])
class TestAllPieces:
    def test_white_space_has_no_pieces(self, kind: str) -> None:
        words = ["a", " ", "\n\n", "b", "\t", "\u00a0", "\u3000"]
        lengths = encode(build_pieces(kind), words).lengths
        assert lengths.tolist() == [1, 0, 0, 1, 0, 0, 0]

    def test_no_words_have_no_pieces(self, kind: str) -> None:
        pieces = build_pieces(kind)
        for documents in ([], [[]], [[], []]):
            encoded = pieces.encode(join_words(*documents))
            assert encoded.ids.shape == ((0,) if pieces.n_characters is None else (0, 12))
            assert encoded.offsets.shape == (0, 2)
            assert len(encoded.starts) == len(encoded.lengths) == 0
            assert encoded.document_lengths.tolist() == [0] * len(documents)

    @given(documents=st.lists(words_W, max_size=4))
    def test_documents_do_not_depend_on_each_other(
        self, kind: str, documents: list[list[str]]
    ) -> None:
        pieces = trained(kind)
        texts = join_words(*documents)
        together = pieces.encode(texts)
        alone = [encode(pieces, words) for words in documents]
        assert together.document_lengths.tolist() == [len(one.ids) for one in alone]
        assert read_tokens(pieces, together) == [
            token for one in alone for token in read_tokens(pieces, one)
        ]
        offsets = [
            one.offsets + begin for one, begin in zip(alone, texts.offsets.tolist(), strict=True)
        ]
        expected = np.concatenate([np.zeros((0, 2), dtype=np.int64), *offsets])
        assert_array_equal(together.offsets, expected)

    def test_ids_are_below_n_ids(self, kind: str) -> None:
        pieces = build_pieces(kind)
        ids = encode(pieces, [*WORDS, *string.printable, "\U0010ffff", ""]).ids
        assert 0 <= ids.min() and ids.max() < pieces.n_ids

    @pytest.mark.parametrize("copy", ["json", "pickle"])
    def test_round_trip(self, kind: str, copy: str) -> None:
        pieces = build_pieces(kind)
        words = [*WORDS, "unseen", "日", "<S>", ""]
        expected = encode(pieces, words)
        stored = pickle.dumps(pieces)
        assert b"unseen" not in stored  # the cache is not stored
        if copy == "json":
            again = pieces_from_json(json.loads(json.dumps(pieces.to_json())))
        else:
            again = pickle.loads(stored)
        assert type(again) is type(pieces)
        assert (again.n_ids, again.n_characters) == (pieces.n_ids, pieces.n_characters)
        for found, wanted in zip(encode(again, words), expected, strict=True):
            assert_array_equal(found, wanted)
        assert_array_equal(again.boundaries, pieces.boundaries)
        assert again.to_json() == pieces.to_json()


@cache
def trained(kind: str) -> Pieces:
    """One for many examples."""
    return build_pieces(kind)
