"""Pieces and windows of a corpus, against what an encoder counts when it runs."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.doctor.check_pieces import PieceCounts, check_pieces, count_covered, count_pieces
from spacy_ctxemb.doctor.findings import Level
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import BILM, TRANSFORMER, blank, initialised
from .configs import messages, warnings

TEXTS = ["Ada Lovelace lives in Oslo.", "", "a \n b", "Ж" * 60, " ".join(["Oslo"] * 70), "x" * 50]


def count(model: dict[str, Any], texts: list[str] = TEXTS) -> tuple[PieceCounts, Any, list[Any]]:
    nlp = initialised(model)
    shim = get_shim(nlp.get_pipe("ctxemb").model)  # type: ignore[attr-defined] # a PipeCallable
    docs = [nlp.make_doc(text) for text in texts]
    return count_pieces(shim, docs), shim, docs


@pytest.mark.parametrize(
    "settings", [{}, {"window": 6, "stride": 4}, {"window": 30, "stride": 20, "batch_pieces": 40}]
)
def test_the_encoder_counts_the_same(model: dict[str, Any], settings: dict[str, int]) -> None:
    found, _, docs = count({**model, **settings})
    nlp = initialised({**model, **settings})
    list(nlp.pipe([doc.text for doc in docs]))
    expected = nlp.get_pipe("ctxemb").counts  # type: ignore[attr-defined] # a PipeCallable
    assert {
        "documents": found.documents,
        "tokens": found.tokens + found.white_space,
        "tokens_without_pieces": found.tokens_without_pieces.total() + found.white_space,
        "pieces": found.pieces,
        "lossy_pieces": found.lossy_pieces.total(),
        "windows": found.windows,
    } == expected


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    found = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=8))
    return [(start, start + size) for start, size in found]


@given(spans(), spans())
def test_covered_characters(pieces: list[tuple[int, int]], tokens: list[tuple[int, int]]) -> None:
    offsets, found = (np.array(x, dtype=np.int64).reshape(-1, 2) for x in (pieces, tokens))
    covered = {i for start, end in pieces for i in range(start, end)}
    expected = [sum(i in covered for i in range(start, end)) for start, end in tokens]
    assert count_covered(offsets, found[:, 0], found[:, 1]).tolist() == expected


def test_words_that_are_cut() -> None:
    counts, shim, _ = count(BILM)
    assert counts.lossy_pieces == {"Ж" * 60: 1, "x" * 50: 1}
    (found,) = warnings(check_pieces(counts, shim, "train"))
    assert found.startswith(
        "train: words that fill the room of 48 bytes, and may be cut: 2 of 80 (2.5 %)"
    )


def test_text_that_a_vocabulary_does_not_know() -> None:
    counts, shim, _ = count(TRANSFORMER, ["Ada жук lives.", "жук"])
    assert counts.lossy_pieces == {"жук": 2}
    found = warnings(check_pieces(counts, shim, "dev"))
    assert any("dev: unknown pieces: 2 of " in line and "'жук' (2)" in line for line in found)


def test_text_that_a_tokenizer_drops() -> None:
    """WordPiece's normaliser takes control characters away."""
    counts, shim, _ = count(TRANSFORMER, ["Ada \x07 lives", "\x07Oslo"])
    assert counts.tokens_without_pieces == {"\x07": 1}
    assert counts.tokens_with_gaps == {"\x07Oslo": 1}
    found = warnings(check_pieces(counts, shim, "train"))
    assert any("with vectors of zeros: 1 of 4 (25.0 %)" in line for line in found)
    assert any(
        "lie in no piece: 1 of 4 (25.0 %), most often '\\x07Oslo' (1)" in line for line in found
    )


def test_windows_and_the_longest_documents() -> None:
    counts, shim, _ = count({**BILM, "window": 20, "stride": 15}, TEXTS)
    assert (counts.split_sequences, counts.sequences, counts.windows) == (1, 5, 9)
    (line,) = messages(check_pieces(counts, shim, "train"), Level.ok)
    assert line.endswith(" in 9 windows; the longest document has 70 pieces")
    message = "train: 1 of 5 sentences or documents are longer than a window of 20 pieces."
    assert message in warnings(check_pieces(counts, shim, "train"))


def test_nothing_to_read() -> None:
    nlp = blank(BILM)
    shim = get_shim(nlp.get_pipe("ctxemb").model)  # type: ignore[attr-defined] # a PipeCallable
    docs = [nlp.make_doc(" "), nlp.make_doc("")]
    counts = count_pieces(shim, docs)
    assert counts.lossy_pieces == Counter() and counts.white_space == 1
    assert warnings(check_pieces(counts, shim, "dev")) == ["dev: no text has any pieces."]
