"""Settings of all tests."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import catalogue
import pytest
import torch
from hypothesis import settings
from spacy.lang.en import English

from .pipelines import MODELS

# The same examples on every machine and in every run, however slow the machine is.
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("reproducible")

# Each pipeline of English learns 1,347 spellings that its tokenizer splits, "can't", "CAN’T" and
# "a.m." among them: most of the time that a tiny pipeline takes. Here it learns 342 of them.
English.Defaults.tokenizer_exceptions = {
    text: tokens
    for text, tokens in English.Defaults.tokenizer_exceptions.items()
    if text.islower() and text.replace("'", "").isalpha()
}


@lru_cache
def find_entry_points(group: str) -> list[Any]:
    """The entry points of all installed packages, which spaCy wants 50 times a pipeline."""
    return list(catalogue.AVAILABLE_ENTRY_POINTS.select(group=group))


catalogue.Registry._get_entry_points = lambda registry: find_entry_points(
    registry.entry_point_namespace
)


# Tiny tensors gain nothing from threads, which wait for each other on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A test may have set another number."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each encoder, as a config has it."""
    return MODELS[request.param]
