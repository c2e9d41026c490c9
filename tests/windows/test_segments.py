"""A long document in segments has the vectors that it has as a whole."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.thinc_model import docs_to_outputs
from spacy_ctxemb.windows.pieces_to_windows import Spans
from spacy_ctxemb.windows.segments import find_bounds

from ..pipelines import MODELS, initialised
from ..texts import lay_pieces

WORDS = ["bank", "unbelievably", "of", "\n\n", "a", "otters-and-herons", " ", "river", "Ünïcodé"]

MIX = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2}


def encode(nlp: Language, words: list[str]) -> tuple[NDArray[Any], Counter[str]]:
    """The vectors, and what the encoder has counted."""
    pipe: Any = nlp.get_pipe("ctxemb")
    before = pipe.counts
    doc = Doc(nlp.vocab, words=words)
    for i in range(0, len(doc), 11):
        doc[i].is_sent_start = True
    vectors = pipe(doc).tensor
    return vectors, pipe.counts - before


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("size", [1, 40])
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_vectors(
    name: str, split: bool, size: int, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"window": 14, "stride": 9, "batch_pieces": 64}
    settings = {"mix": MIX, "pooling": pooling, "split_sentences": split, **sizes}
    nlp = initialised({**MODELS[name], **settings}, keep_pieces=True)
    words = WORDS * 13
    whole, n_whole = encode(nlp, words)
    monkeypatch.setattr(docs_to_outputs, "GROUP_TOKENS", size)
    parts, n_parts = encode(nlp, words)
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert n_parts == n_whole


@pytest.mark.parametrize("words", [[], [" "] * 50, ["a"] * 50, ["\n"] * 20 + ["a"] + ["\n"] * 20])
def test_blank_docs(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = initialised({**MODELS["transformer"], "mix": MIX, "split_sentences": False})
    whole, _ = encode(nlp, words) if words else (np.zeros((0, 16)), None)
    monkeypatch.setattr(docs_to_outputs, "GROUP_TOKENS", 5)
    pipe: Any = nlp.get_pipe("ctxemb")
    np.testing.assert_allclose(pipe(Doc(nlp.vocab, words=words)).tensor, whole, atol=1e-5)


def test_a_segment_ends_where_a_window_and_a_token_end() -> None:
    pieces = lay_pieces(np.arange(10), [1, 3, 1, 2, 3])  # tokens begin at 0, 1, 4, 5, 7
    first = np.array([0, 3, 4, 6, 7])
    spans = Spans(first, first + 1, first, first + 1, np.zeros(5, dtype=np.int64))
    assert find_bounds(pieces, spans, 1) == [0, 4, 7, 10]
    assert find_bounds(pieces, spans, 5) == [0, 7, 10]
    assert find_bounds(pieces, spans, 20) == [0, 10]
