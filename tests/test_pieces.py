"""Pieces against ids worked out by hand, and against the `tokenizers` library itself."""

import json
import pickle
import re
import string

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tokenizers import Tokenizer, models

from spacy_ctxemb import pieces as pieces_module
from spacy_ctxemb.pieces import CharacterPieces, Pieces, WordPieces, pieces_from_json

from .strategies import any_words_W, ascii_words, texts, words_W

WORDS = ["the", "cats", "sat", "on", "Mats", "and", "chatted", "that", "thé", "日本"] * 3

# Ids of ELMo after the shift by 1: begin and end of sentence, begin and end of word, padding.
BOS, EOS, BOW, EOW, PAD = 257, 258, 259, 260, 261


@pytest.fixture(scope="module")
def word_pieces() -> WordPieces:
    pieces = WordPieces(200)
    pieces.train([WORDS])
    return pieces


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
    ids, lengths = CharacterPieces(50).encode([word])
    row = [BOW, *characters, EOW]
    assert ids.tolist() == [row + [PAD] * (50 - len(row))]
    assert lengths.tolist() == [1]


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
    (row,) = CharacterPieces(50).encode([word]).ids.tolist()
    assert row == [BOW, *kept, EOW]


def test_character_boundaries_are_the_sentence_rows() -> None:
    begin, end = CharacterPieces(6).boundaries
    assert begin.tolist() == [BOW, BOS, EOW, PAD, PAD, PAD]
    assert end.tolist() == [BOW, EOS, EOW, PAD, PAD, PAD]


@given(words_W)
def test_characters_spell_the_first_bytes_of_each_word(words: list[str]) -> None:
    words = [word for word in words if not word.isspace()]
    ids, lengths = CharacterPieces(9).encode(words)
    assert ids.shape == (len(words), 9) and ids.dtype == np.int32
    assert lengths.tolist() == [1] * len(words)
    spelt = [bytes(i - 1 for i in row if i <= 256) for row in ids.tolist()]
    assert spelt == [word.encode()[:7] for word in words]


def test_character_rows_that_are_full_count_as_lossy() -> None:
    pieces = CharacterPieces(5)
    assert pieces.is_lossy(pieces.encode(["ab", "abc", "abcd"]).ids).tolist() == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("max_characters", [2, 0])
def test_too_few_characters_are_refused(max_characters: int) -> None:
    with pytest.raises(ValueError, match=rf"\[E006\] max_characters of {max_characters} leaves"):
        CharacterPieces(max_characters)


def build_pieces(kind: str) -> Pieces:
    if kind == "characters":
        return CharacterPieces(12)
    pieces = WordPieces(200)
    pieces.train([WORDS])
    return pieces


@pytest.mark.parametrize("kind", ["characters", "wordpieces"])
class TestAllPieces:
    def test_white_space_has_no_pieces(self, kind: str) -> None:
        pieces = build_pieces(kind)
        words = ["a", " ", "\n\n", "b", "\t", "\u00a0", "\u3000"]
        ids, lengths = pieces.encode(words)
        assert lengths.tolist() == [1, 0, 0, 1, 0, 0, 0]
        assert_array_equal(ids, pieces.encode(["a", "b"]).ids)

    def test_no_words_have_no_pieces(self, kind: str) -> None:
        pieces = build_pieces(kind)
        for words in ([], [" "]):
            ids, lengths = pieces.encode(words)
            assert ids.shape == ((0,) if pieces.n_characters is None else (0, 12))
            assert len(lengths) == len(words)

    @given(calls=st.lists(any_words_W, max_size=4))
    def test_the_cache_changes_nothing(self, kind: str, calls: list[list[str]]) -> None:
        cached = build_pieces(kind)
        alone = pickle.loads(pickle.dumps(cached))
        for words in [*calls, *calls]:
            ids, lengths = cached.encode(words)
            parts = []
            for word in words:
                alone._cache = {}
                parts.append(alone.encode([word]).ids)
            assert lengths.tolist() == [len(part) for part in parts]
            assert_array_equal(ids, np.concatenate(parts) if parts else alone.blank)

    def test_a_full_cache_is_emptied(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pieces_module, "CACHE_SIZE", 2)
        pieces, unlimited = build_pieces(kind), build_pieces(kind)
        for words in [["a", "b", "c", "d"], ["b", "e", "b"], ["a"], ["f", "g", "a"]]:
            assert_array_equal(pieces.encode(words).ids, unlimited.encode(words).ids)
            assert len(pieces._cache) <= 4

    def test_callers_may_change_what_they_get(self, kind: str) -> None:
        pieces = build_pieces(kind)
        expected = pieces.encode(["cats"]).ids.copy()
        pieces.encode(["cats"]).ids[:] = 0
        assert_array_equal(pieces.encode(["cats"]).ids, expected)

    def test_ids_are_below_n_ids(self, kind: str) -> None:
        pieces = build_pieces(kind)
        ids = pieces.encode([*WORDS, *string.printable, "\U0010ffff", ""]).ids
        assert 0 < ids.min() and ids.max() < pieces.n_ids

    @pytest.mark.parametrize("copy", ["json", "pickle"])
    def test_round_trip(self, kind: str, copy: str) -> None:
        pieces = build_pieces(kind)
        words = [*WORDS, "unseen", "日", "<S>", ""]
        expected = pieces.encode(words)
        stored = pickle.dumps(pieces)
        assert b"unseen" not in stored  # the cache is not stored
        if copy == "json":
            again = pieces_from_json(json.loads(json.dumps(pieces.to_json())))
        else:
            again = pickle.loads(stored)
        assert type(again) is type(pieces)
        assert (again.n_ids, again.n_characters) == (pieces.n_ids, pieces.n_characters)
        assert_array_equal(again.encode(words).ids, expected.ids)
        assert_array_equal(again.encode(words).lengths, expected.lengths)
        assert_array_equal(again.boundaries, pieces.boundaries)


@given(words=words_W)
def test_word_pieces_are_those_of_the_library(word_pieces: WordPieces, words: list[str]) -> None:
    encoding = word_pieces.tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
    expected: list[list[int]] = [[] for _ in words]
    for i, word in zip(encoding.ids, encoding.word_ids, strict=True):
        expected[word].append(i)
    unknown = word_pieces.tokenizer.token_to_id("[UNK]")
    expected = [
        part or ([] if word.isspace() else [unknown])
        for word, part in zip(words, expected, strict=True)
    ]
    ids, lengths = word_pieces.encode(words)
    assert ids.tolist() == [i for part in expected for i in part]
    assert lengths.tolist() == [len(part) for part in expected]


@given(words=any_words_W)
def test_every_word_has_a_piece(word_pieces: WordPieces, words: list[str]) -> None:
    _, lengths = word_pieces.encode(words)
    assert [n > 0 for n in lengths] == [not word.isspace() for word in words]


@pytest.mark.parametrize("word", ["", "\u200b", "\x00", "\ud800", "\u0301"])
def test_words_that_normalise_to_nothing_are_unknown(word_pieces: WordPieces, word: str) -> None:
    ids, lengths = word_pieces.encode(["cats", word])
    assert ids[-1] == word_pieces.tokenizer.token_to_id("[UNK]")
    assert lengths[-1] == 1
    assert word_pieces.is_lossy(ids).tolist()[-1]


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
    ids = pieces.encode([word]).ids
    assert not pieces.is_lossy(ids).any()
    # "#" is also a character of words, so drop the mark of continuation only where there is one.
    spelt = [pieces.tokenizer.id_to_token(i) for i in ids.tolist()]
    starts = pieces.starts_word()[ids]
    letters = [p if start else p[2:] for p, start in zip(spelt, starts, strict=True)]
    assert "".join(letters) == (word.lower() if lowercase else word)


def test_case_and_accents_fold_only_when_asked(smallest: dict[bool, WordPieces]) -> None:
    folded = smallest[True].encode(["Cafe", "café", "CAFE"])
    assert len(set(map(tuple, folded.ids.reshape(3, -1).tolist()))) == 1
    kept = smallest[False].encode(["Cafe", "cafe"])
    first, second = np.split(kept.ids, [kept.lengths[0]])
    assert first.tolist() != second.tolist()


def test_frequent_words_become_one_piece(word_pieces: WordPieces) -> None:
    ids, lengths = word_pieces.encode(["cats", "unseen"])
    assert lengths[0] == 1 < lengths[1]
    assert word_pieces.tokenizer.id_to_token(int(ids[0])) == "cats"
    assert word_pieces.starts_word()[ids].tolist() == [True, True] + [False] * (len(ids) - 2)


def test_special_pieces_have_the_lowest_ids(word_pieces: WordPieces) -> None:
    token_to_id = word_pieces.tokenizer.token_to_id
    assert [token_to_id(piece) for piece in WordPieces.SPECIAL] == [0, 1, 2, 3, 4]
    assert word_pieces.n_special == 5
    assert word_pieces.mask_id == token_to_id("[MASK]")
    assert [int(i) for i in word_pieces.boundaries] == [token_to_id("[CLS]"), token_to_id("[SEP]")]
    assert word_pieces.n_trained == word_pieces.tokenizer.get_vocab_size() <= 200


def vocabulary_json(pieces: list[str]) -> str:
    """A tokenizer file with these pieces, in this order."""
    model = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    return str(Tokenizer(model).to_str())


def test_loading_forgets_the_old_vocabulary() -> None:
    pieces = WordPieces(10)
    pieces.load(vocabulary_json([*WordPieces.SPECIAL, "cat", "dog"]))
    assert pieces.encode(["cat", "dog"]).ids.tolist() == [5, 6]
    pieces.load(vocabulary_json([*WordPieces.SPECIAL, "dog", "cat"]))
    assert pieces.encode(["cat", "dog"]).ids.tolist() == [6, 5]


def test_special_ids_follow_the_loaded_vocabulary() -> None:
    """BERT's own vocabulary has its special pieces behind a hundred unused ones."""
    unused = [f"[unused{i}]" for i in range(4)]
    pieces = WordPieces(20)
    pieces.load(vocabulary_json(["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat"]))
    assert pieces.encode(["cat", "dog"]).ids.tolist() == [9, 5]
    special = [pieces.tokenizer.token_to_id(piece) for piece in WordPieces.SPECIAL]
    # No id below n_special is ever a target; all others are.
    assert max(special) < pieces.n_special <= 9


def test_loading_leaves_out_padding_and_truncation() -> None:
    """Published tokenizer files often ask for both; a word must have its own pieces only."""
    trained = WordPieces(200)
    trained.train([WORDS])
    expected = trained.encode(["a", "unseen", "cats"])
    tokenizer = Tokenizer.from_str(trained.tokenizer.to_str())
    tokenizer.enable_padding()
    tokenizer.enable_truncation(2)
    pieces = WordPieces(200)
    pieces.load(tokenizer.to_str())
    found = pieces.encode(["a", "unseen", "cats"])
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.ids.tolist() == expected.ids.tolist()


def test_training_respects_vocab_size_whatever_the_alphabet() -> None:
    pieces = WordPieces(250)
    pieces.train([["".join(chr(0x4E00 + i) for i in range(300))], WORDS])
    assert pieces.n_trained <= 250
    assert not pieces.is_lossy(pieces.encode(["cats"]).ids).any()


def test_no_vocabulary_yet() -> None:
    pieces = WordPieces(200)
    assert not pieces.is_trained
    with pytest.raises(RuntimeError, match=r"\[E007\] WordPieces have no vocabulary yet"):
        pieces.encode(["cat"])
    again = pieces_from_json(json.loads(json.dumps(pieces.to_json())))
    assert isinstance(again, WordPieces)
    assert not again.is_trained and again.n_ids == 200


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"model": {"type": "WordPiece"}}'])
def test_broken_json_names_its_source(broken: str) -> None:
    pieces = WordPieces(200)
    with pytest.raises(ValueError, match=r"\[E008\] here\.json is not a tokenizer in the JSON"):
        pieces.load(broken, source="here.json")
    assert not pieces.is_trained


def test_missing_special_pieces_are_named() -> None:
    message = re.escape("[E009] The vocabulary of here.json lacks the pieces ['[SEP]', '[MASK]']")
    with pytest.raises(ValueError, match=message):
        WordPieces(200).load(vocabulary_json(["[PAD]", "[UNK]", "[CLS]"]), source="here.json")


def test_a_vocabulary_larger_than_the_table_is_refused() -> None:
    message = r"\[E010\] .* here\.json has 8 pieces, .* config allows 7\. Raise vocab_size to 8"
    stored = vocabulary_json([*WordPieces.SPECIAL, "a", "b", "c"])
    pieces = WordPieces(7)
    with pytest.raises(ValueError, match=message):
        pieces.load(stored, source="here.json")
    assert not pieces.is_trained
    WordPieces(8).load(stored)


def test_a_table_too_small_for_the_alphabet_is_refused() -> None:
    """5 special pieces, 32 of punctuation, and 62 letters and digits, each of them twice."""
    with pytest.raises(ValueError, match=r"\[E010\] .* has 161 pieces, .* config allows 160\."):
        WordPieces(160).train([["cats"]])
    pieces = WordPieces(161)
    pieces.train([["cats"]])
    assert pieces.n_trained == 161


@given(text=texts)
def test_lone_surrogates_do_not_hinder_training(text: str) -> None:
    pieces = WordPieces(400)
    pieces.train([["\ud800", f"cats\udfff{text}"]])
    assert not pieces.is_lossy(pieces.encode(["\ud83dcats"]).ids).any()
