"""Spans are as long as SpanBERT's, and hide every word equally often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.objectives.masking import N_BEFORE, NO_SPAN, draw_spans

#: P(length), from the paper's own words: geometric with p = 0.2, at most 10 words.
LENGTHS = np.array([0.2 * 0.8**i for i in range(10)])
LENGTHS /= LENGTHS.sum()


@given(st.integers(0, 200), st.floats(0.001, 0.999), st.integers(0, 1000))
def test_spans_are_runs_of_words(n_words: int, share: float, seed: int) -> None:
    spans = draw_spans(n_words, share, np.random.default_rng(seed))
    assert spans.shape == (n_words,)
    assert ((spans >= NO_SPAN) & (spans < n_words + N_BEFORE)).all()
    for span in set(spans.tolist()) - {NO_SPAN}:
        words = np.flatnonzero(spans == span)
        assert len(words) <= 10 and len(words) == words[-1] - words[0] + 1


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_lengths_and_share_are_those_of_the_paper(share: float) -> None:
    spans = draw_spans(400_000, share, np.random.default_rng(0))
    assert (spans != NO_SPAN).mean() == pytest.approx(share, rel=0.02)
    _, sizes = np.unique(spans[spans != NO_SPAN], return_counts=True)
    found = np.bincount(sizes, minlength=11)[1:] / len(sizes)
    np.testing.assert_allclose(found, LENGTHS, atol=0.006)
    assert sizes.mean() == pytest.approx(3.8, abs=0.05)


def test_no_word_is_hidden_less_often_than_others() -> None:
    rng = np.random.default_rng(0)
    hidden = np.mean([draw_spans(30, 0.15, rng) != NO_SPAN for _ in range(8000)], axis=0)
    np.testing.assert_allclose(hidden, 0.15, atol=4.5 * (0.15 * 0.85 / 8000) ** 0.5)
