"""Fixtures of all runs."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def no_plots() -> Iterator[None]:
    """They would take a third of the time of a tiny run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("spacy_ctxemb.pretraining.run_from_config.plot_log", lambda output: None)
        yield
