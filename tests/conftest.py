"""Settings of all tests."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from .pipelines import MODELS

# The same examples on every machine and in every run, however slow the machine is.
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, which wait for each other on a busy machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each encoder, as a config has it."""
    return MODELS[request.param]
