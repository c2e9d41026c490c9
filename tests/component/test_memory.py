"""A long Doc takes no more memory than docs/troubleshooting.md says."""

import gc
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from ..pipelines import initialised

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")

#: Bytes of a piece besides its vectors: ids and places.
PLACES = 400

#: What allocators keep of what they have had, as a factor.
KEPT = 5


def read_peak() -> int:
    """Bytes that this process has held at most since the peak was forgotten."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure(nlp: Language, n_tokens: int) -> int:
    """The bytes by which a Doc lets the process grow at most."""
    doc = Doc(nlp.vocab, words=["river", "bank"] * (n_tokens // 2))
    gc.collect()
    REFS.write_text("5")  # forgets the peak
    before = read_peak()
    nlp.get_pipe("ctxemb")(doc)
    return read_peak() - before


@pytest.mark.parametrize("n", [25_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_a_long_doc(n: int, model: dict[str, Any]) -> None:
    try:
        REFS.write_text("5")
    except OSError:
        pytest.skip("this system does not let a peak be forgotten")
    nlp = initialised(model)
    shim = nlp.get_pipe("ctxemb").model.shims[0]
    width = shim.embedder.encoder.width + shim.embedder.width
    short, long = (measure(nlp, n_tokens) for n_tokens in (5_000, n))
    assert long - short < KEPT * (n - 5_000) * (width * 4 + PLACES)
