"""A child that is forked while other threads of its parent use a pipeline can use it too."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from spacy_ctxemb.encoders.word_cache import WordCache
from spacy_ctxemb.pretrained import load_weights
from spacy_ctxemb.thinc_model import embedder_shim
from spacy_ctxemb.thinc_model.embedder_shim import find_shims
from spacy_ctxemb.torch_state import in_ordinary_torch

from .pipelines import initialised

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

#: After which a child counts as hanging.
SECONDS = 20.0


def run_in_child(function: Callable[[], bool]) -> bool:
    """What a function returns in a forked process; False where it hangs or raises."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@contextmanager
def running(function: Callable[[], object]) -> Iterator[None]:
    """Inside, another thread calls a function again and again."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            function()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def can_embed(nlp: Language, expected: np.ndarray) -> bool:
    return bool(np.allclose(nlp("a river bank").tensor, expected, atol=1e-5))


def test_a_child_of_the_first_use_has_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked while a thread of the parent reads the weights of the package."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb")
    expected = nlp("a river bank").tensor
    again = spacy.blank("en")
    again.add_pipe("ctxemb")
    reads, load = threading.Event(), load_weights

    def load_slowly(name: str) -> dict[str, torch.Tensor]:
        reads.set()
        time.sleep(0.3)
        return load(name)

    monkeypatch.setattr(embedder_shim, "load_pretrained", load_slowly)
    # It reads and no more: what PyTorch itself locks while it computes is not in our hands.
    (shim,) = find_shims(again.get_pipe("ctxemb").model)
    thread = threading.Thread(target=shim.materialise)
    thread.start()
    assert reads.wait(SECONDS)
    assert run_in_child(lambda: can_embed(again, expected))
    thread.join()


def test_a_child_of_a_busy_parent_can_use_the_pipeline() -> None:
    """Forked while a thread of the parent changes PyTorch's state and back."""
    nlp = initialised()
    expected = nlp("a river bank").tensor

    @in_ordinary_torch
    def change_state() -> None:
        time.sleep(0.001)

    with running(change_state):
        assert all(run_in_child(lambda: can_embed(nlp, expected)) for _ in range(5))


def test_no_child_has_a_word_without_its_vector() -> None:
    """A cache of words is whole in the child, whatever a thread of the parent was doing to it."""
    cache = WordCache(torch.full((50, 1), torch.nan))
    begin = iter(range(0, 10**9, 40))

    def encode(words: torch.Tensor) -> torch.Tensor:
        return words.float()

    def use() -> bool:
        start = next(begin)
        words = torch.arange(start, start + 40)[:, None]
        found = cache.look_up(words, [str(i).encode() for i in words.tolist()], encode)
        return torch.equal(found, words.float())

    def is_whole() -> bool:
        return (
            all(int(key[1:-1]) == cache.table[place].item() for key, place in cache.places.items())
            and use()
        )

    with running(use):
        assert all(run_in_child(is_whole) for _ in range(20))
