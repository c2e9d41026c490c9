"""Words that several kinds of pieces share."""

from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.pieces.base import Pieces, TextPieces
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pieces.subwords import BytePairPieces, SubwordPieces, WordPieces
from spacy_ctxemb.pretraining.tasks.distillation.cut_texts import count_words
from spacy_ctxemb.pretraining.text.raw_text import TextCorpus
from spacy_ctxemb.pretraining.text.shared_words import share_words
from spacy_ctxemb.pretraining.text.token_store import TokenStore, build_token_store

from ...tokenizers import build_sentence_piece, build_word_piece


def make_pieces(spans: list[tuple[int, int]], document_lengths: list[int]) -> TextPieces:
    """Pieces of which only places count. spans: the first piece of each token, and how many."""
    starts, lengths = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    P = sum(document_lengths)
    nothing = np.zeros((P, 2), dtype=np.int64)
    return TextPieces(
        np.arange(P, dtype=np.int32), nothing, starts, lengths, np.array(document_lengths)
    )


def list_words(word_starts: np.ndarray, kept: np.ndarray) -> list[list[int]]:
    """The pieces of each word."""
    return [
        part.tolist() for part in np.split(np.flatnonzero(kept), np.flatnonzero(word_starts)[1:])
    ]


def test_tokens_that_share_a_piece_are_one_word() -> None:
    """As "cannot" is, whose second token has no piece of its own."""
    one = make_pieces([(0, 1), (1, 1), (1, 1), (2, 1)], [3])
    other = make_pieces([(0, 2), (2, 1), (3, 2), (5, 1)], [6])
    n_tokens, sentences = np.array([4]), np.array([0, 3])
    first, second = share_words([one, other], n_tokens, sentences)
    assert list_words(first.word_starts, first.kept) == [[0], [1], [2]]
    assert list_words(second.word_starts, second.kept) == [[0, 1], [2, 3, 4], [5]]
    assert first.sentence_lengths.tolist() == [2, 1]
    assert second.sentence_lengths.tolist() == [5, 1]


def test_tokens_without_pieces_are_of_the_word_before() -> None:
    """And pieces without tokens; at the beginning of a document, of its first word."""
    one = make_pieces([(0, 0), (0, 1), (1, 1), (2, 0), (4, 1)], [5])
    other = make_pieces([(0, 1), (1, 1), (2, 0), (2, 1), (3, 1)], [4])
    first, second = share_words([one, other], np.array([5]), np.array([0]))
    assert list_words(first.word_starts, first.kept) == [[0, 1, 2, 3], [4]]
    assert list_words(second.word_starts, second.kept) == [[0, 1, 2], [3]]


def test_documents_without_shared_words_are_left_out() -> None:
    one = make_pieces([(0, 1), (1, 0), (1, 1)], [1, 0, 1])
    other = make_pieces([(0, 1), (1, 2), (3, 1)], [1, 2, 1])
    first, second = share_words([one, other], np.array([1, 1, 1]), np.array([0, 1, 2]))
    assert second.kept.tolist() == [True, False, False, True]
    assert first.sentence_lengths.tolist() == second.sentence_lengths.tolist() == [1, 0, 1]


@st.composite
def draw_pieces(draw: st.DrawFn, n_tokens: list[int]) -> TextPieces:
    """Pieces of documents: of each token some, none, or the last one of the token before too."""
    spans, document_lengths, P = [], [], 0
    for n in n_tokens:
        first = P
        for _ in range(n):
            P += draw(st.integers(0, 1))  # a piece of no token
            shares = P > first and draw(st.booleans())
            start = P - shares
            length = draw(st.integers(0, 3))
            spans.append((start, length))
            P = max(P, start + length)
        document_lengths.append(P - first)
    return make_pieces(spans, document_lengths)


@given(data=st.data())
def test_word_k_is_word_k(data: st.DataObject) -> None:
    n_tokens = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    kinds = [data.draw(draw_pieces(n_tokens)) for _ in range(2)]
    begins = np.cumsum(n_tokens) - n_tokens
    others = data.draw(st.sets(st.integers(0, sum(n_tokens) - 1)))
    sentences = np.array(sorted({*begins.tolist(), *others}))
    owner = np.repeat(np.arange(len(n_tokens)), n_tokens)
    found = share_words(kinds, np.array(n_tokens), sentences)
    alike = []
    for pieces, (kept, word_starts, lengths) in zip(kinds, found, strict=True):
        assert lengths.sum() == kept.sum() == len(word_starts)
        ends = np.cumsum(lengths)
        # A sentence that has pieces begins with a word.
        assert word_starts[(ends - lengths)[lengths > 0]].all()
        alike.append(
            [int(word_starts[e - n : e].sum()) for e, n in zip(ends, lengths, strict=True)]
        )
        words = list_words(word_starts, kept) if kept.any() else []
        # No piece of a token is in two words, but for one that an earlier token shares.
        in_word = {piece: k for k, word in enumerate(words) for piece in word}
        for token, (start, n) in enumerate(zip(pieces.starts, pieces.lengths, strict=True)):
            assert len({in_word.get(piece) for piece in range(start, start + n)}) <= 1, token
        documents = np.repeat(np.arange(len(n_tokens)), pieces.document_lengths)
        assert all(len({documents[piece] for piece in word}) == 1 for word in words)
    assert alike[0] == alike[1]
    # Where nothing is shared or lost, each token is a word.
    if all((p.lengths > 0).all() and not overlaps(p) for p in kinds):
        assert sum(alike[0]) == len(owner)


def overlaps(pieces: TextPieces) -> bool:
    return bool((pieces.starts[1:] < (pieces.starts + pieces.lengths)[:-1]).any())


TEXT = """
We cannot swim , \u200b she said.   Gotta go!
\u200b
Über 1.000 Fische!

A heron can't swim,  can it? \U0001f600
She took a loan from the bank.

\u200b\u200b
"""


def build_kinds() -> dict[str, Pieces]:
    """Pieces of four kinds, none of which cuts all words as another."""
    lines = TEXT.strip().splitlines()
    words, pairs = WordPieces(200), BytePairPieces(300)
    words.train([lines])
    pairs.train([lines])
    lower, sentence = SubwordPieces(60), SubwordPieces(60)
    lower.load(build_word_piece([*"abcdefghiklmnorstuvwy", "cannot", "##n", "##t"]).to_str())
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzAUWSG.,!?'", "not▁swim"]
    sentence.load(build_sentence_piece(*letters).to_str())
    return {
        "characters": CharacterPieces(12),
        "words": words,
        "pairs": pairs,
        "lower": lower,
        "sentence": sentence,
    }


@pytest.mark.parametrize("other", ["characters", "pairs", "lower", "sentence"])
def test_stores_have_the_same_words(tmp_path: Path, other: str) -> None:
    nlp = spacy.blank("en")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf8")
    corpus = TextCorpus(str(tmp_path / "text.txt"))
    kinds = build_kinds()
    pair = {name: kinds[name] for name in ("words", other)}
    stores: dict[str, TokenStore] = {}
    for name, pieces in pair.items():
        others = [p for key, p in pair.items() if key != name]
        stores[name] = build_token_store(corpus, nlp, pieces, tmp_path / name, shared_with=others)
    first, second = stores.values()
    np.testing.assert_array_equal(count_words(first), count_words(second))
    assert (count_words(first) > 0).all()
    np.testing.assert_array_equal(first.document_ends, second.document_ends)
    assert first.word_starts.sum() > 20
    # The first words of the last sentence are the same ones.
    spelt = pair["words"].spell(first.ids[first.sentence_ends[-2] :])
    assert spelt[0][0] == "S"


def test_other_stores_stay_as_they_are(tmp_path: Path) -> None:
    """A text that is stored in one kind of pieces is not tokenised anew."""
    nlp = spacy.blank("en")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf8")
    corpus = TextCorpus(str(tmp_path / "text.txt"))
    alone = build_token_store(corpus, nlp, CharacterPieces(12), tmp_path / "a")
    shared = build_token_store(
        corpus, nlp, CharacterPieces(12), tmp_path / "b", shared_with=[build_kinds()["lower"]]
    )
    assert alone.word_starts.all() and not shared.word_starts.all()
