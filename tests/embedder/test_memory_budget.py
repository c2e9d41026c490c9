"""How much text goes through an encoder at once, from the memory that it may take."""

import gc
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.embedder import batch_threads
from spacy_ctxemb.embedder.memory_budget import parse_bytes
from spacy_ctxemb.thinc_model.embedder_shim import get_shim
from spacy_ctxemb.windows import pieces_to_windows

from ..pipelines import BILM, MODELS, TRANSFORMER, blank, initialised, vectors
from ..thinc_model.test_memory_of_long_docs import Peak

MIX = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2}


@pytest.mark.parametrize(
    "value, expected",
    [
        (1000, 1000),
        (np.int64(1000), 1000),
        ("1000", 1000),
        ("512 B", 512),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        (" 1.5 GiB ", 3 * 2**29),
        ("1kB", 1000),
        *((value, None) for value in (0, -1, True, 1.5, None, "", "GB", "-1 GB", "2 XB", "1e9")),
        *((value, None) for value in ("nan", "inf", "1,000", "2 GB 1", "٣ GB", "9" * 400)),
    ],
)
def test_bytes(value: object, expected: int | None) -> None:
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", [0, -1, "much", "1 furlong", ""])
def test_what_is_no_memory_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\[E016\] max_memory of 'ctxemb' is .*'2 GB'"):
        blank(max_memory=value)


def test_memory_for_less_than_a_window_is_refused_where_it_is_set() -> None:
    pipe: Any = blank(TRANSFORMER).get_pipe("ctxemb")
    with pytest.raises(ValueError, match=r"\[E017\] max_memory of 'ctxemb' is 1,000 bytes, less "):
        pipe.max_memory = "1 kB"
    assert pipe.max_memory is None


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_the_same(name: str) -> None:
    texts = ["one two three " * 40, "", "a bank"]
    nlp = initialised(MODELS[name])
    wide = vectors(nlp, texts)
    pipe: Any = nlp.get_pipe("ctxemb")
    pipe.max_memory = "2 MB"
    for a, b in zip(wide, vectors(nlp, texts), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_it_is_part_of_the_config_and_of_what_is_stored() -> None:
    nlp = initialised(TRANSFORMER, max_memory="1 MB")
    config = nlp.config.to_str()
    again = spacy.util.load_model_from_config(nlp.config)
    assert 'max_memory = "1 MB"' in config
    shim = get_shim(again.from_bytes(nlp.to_bytes()).get_pipe("ctxemb").model)  # type: ignore[attr-defined]
    assert shim.max_memory == 1_000_000


@pytest.mark.parametrize(
    "length, keep, precision",
    [(2, "tensor", "fp32"), (25, "layers", "fp32"), (100, "tensor", "bf16")],
)
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("model", [BILM, TRANSFORMER], ids=["bilm", "transformer"])
def test_tensors_stay_within_it(
    model: dict[str, Any],
    n_threads: int,
    length: int,
    keep: str,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And use a good part of it: batch_pieces is too large to be what bounds them."""
    monkeypatch.setattr(pieces_to_windows, "LEAST_AT_ONCE", 1)
    sizes = {"window": 30, "stride": 20, "batch_pieces": 10**6, "precision": precision}
    encoder = {**model["encoder"], "word_cache": 0} if model is BILM else model["encoder"]
    nlp = initialised({**model, "encoder": encoder, "mix": MIX, **sizes}, keep=keep)
    nlp("a")  # what is prepared once
    docs = [Doc(nlp.vocab, words=["a", "b"] * (length // 2)) for _ in range(1200 // length)]
    limit = 300_000
    pipe: Any = nlp.get_pipe("ctxemb")
    pipe.max_memory = limit
    torch.set_num_threads(n_threads)
    peak, n_seen = Peak(), 0

    def run_and_look(function: Any, item: Any) -> Any:
        nonlocal n_seen
        n_seen += 1
        with torch.inference_mode(), peak:
            return function(item)

    monkeypatch.setattr(batch_threads, "run_without_gradients", run_and_look)
    with peak:
        pipe.predict(docs)
    assert limit / 8 < peak.peak < limit
    assert (n_seen > 0) == (n_threads > 1 and model is TRANSFORMER)


def test_a_limit_lowers_what_is_held() -> None:
    def measure(nlp: Language) -> int:
        gc.collect()
        with Peak() as peak:
            nlp.get_pipe("ctxemb").predict(docs)  # type: ignore[attr-defined]
        return peak.peak

    nlp = initialised({**TRANSFORMER, "mix": MIX})
    nlp("a")
    docs = [Doc(nlp.vocab, words=["a", "b"] * 10) for _ in range(400)]
    without = measure(nlp)
    nlp.get_pipe("ctxemb").max_memory = "200 kB"  # type: ignore[attr-defined]
    assert measure(nlp) < without / 2
