"""What is computed from weights once."""

import threading
import time

import torch
from torch import nn

from spacy_ctxemb.encoders.derived_weights import Derived


def test_threads_that_begin_together_compute_once() -> None:
    built: list[int] = []

    def build(module: nn.Linear) -> torch.Tensor:
        built.append(1)
        time.sleep(0.05)  # so that the others come meanwhile
        return module.weight.sum()

    module, derived, found = nn.Linear(2, 2), Derived(build), []
    begin = threading.Barrier(4)

    def work() -> None:
        begin.wait(timeout=60)
        found.append(derived.get(module))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(built) == 1
    assert all(value is found[0] for value in found)


def test_changed_weights_are_seen() -> None:
    module, derived = nn.Linear(2, 2), Derived(lambda module: module.weight.sum().item())
    before = derived.get(module)
    with torch.no_grad():
        module.weight += 1.0
    assert abs(derived.get(module) - before - 4.0) < 1e-5
