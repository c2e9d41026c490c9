"""Rates that follow the number of steps. Series: tests/finetuning/test_gradual_unfreezing.py."""

from itertools import islice

import pytest
from thinc.api import warmup_linear as thinc_warmup_linear

from spacy_ctxemb.schedules import warmup_linear


def take(n: int, **settings: int | float | str) -> list[float]:
    return list(islice(warmup_linear(initial_rate=0.1, **settings), n))  # type: ignore[arg-type]


def test_rates_are_those_of_thinc() -> None:
    expected = list(islice(thinc_warmup_linear(0.1, 20, 200), 300))
    assert take(300, total_steps=200, warmup_share=0.1) == pytest.approx(expected)


@pytest.mark.parametrize("total_steps", [0, "${training.max_steps}"])
def test_without_an_end_the_largest_rate_stays(total_steps: int | str) -> None:
    rates = take(1000, total_steps=total_steps)
    assert rates[0] == 0.0 and rates[25] == pytest.approx(0.05)
    assert set(rates[50:]) == {0.1}


def test_few_steps_have_no_warm_up() -> None:
    assert take(3, total_steps=2) == pytest.approx([0.1, 0.05, 0.0])
