"""What a long Doc costs: a fixed number of bytes for each of its tokens, and no more."""

import threading
import weakref
from collections import Counter
from typing import Any

import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from spacy_ctxemb.thinc_model import docs_to_outputs

from ..pipelines import BILM, TRANSFORMER, initialised

#: Of token vectors.
WIDTH = 64

#: Arrays of fp32 vectors, a row a piece or token, that are held at once: those of all pieces, and
#: those of all tokens.
N_ARRAYS = 2

#: Of both encoders.
N_LAYERS = 3

#: Of ids and places, for each piece.
BYTES_OF_PLACES = 400


class Peak(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive. peak: the most there were at a time.

    Threads may be inside together.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch's
        self.alive: Counter[int] = Counter()
        self.n_bytes = 0
        self.peak = 0
        self.lock = threading.RLock()  # which a tensor that is dropped meanwhile takes again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and not tensor.is_mkldnn:
                storage = tensor.untyped_storage()
                self.count(tensor, storage.data_ptr(), storage.nbytes())
        return result

    def count(self, tensor: torch.Tensor, place: int, n_bytes: int) -> None:
        with self.lock:
            if not self.alive[place]:
                self.n_bytes += n_bytes
                self.peak = max(self.peak, self.n_bytes)
            self.alive[place] += 1
        weakref.finalize(tensor, self.forget, place, n_bytes)

    def forget(self, place: int, n_bytes: int) -> None:
        with self.lock:
            self.alive[place] -= 1
            if not self.alive[place]:
                self.n_bytes -= n_bytes


def measure(nlp: Language, n_tokens: int) -> int:
    """The peak for a Doc of so many tokens, one piece each."""
    doc = Doc(nlp.vocab, words=["a"] * n_tokens)
    with Peak() as peak:
        nlp.get_pipe("ctxemb")(doc)
    assert doc.tensor.shape == (n_tokens, WIDTH)
    return peak.peak


@pytest.mark.parametrize("layer_norm", [None, "document"])
@pytest.mark.parametrize("model", [BILM, TRANSFORMER], ids=["bilm", "transformer"])
def test_a_token_more_takes_no_more_than_some_vectors(
    model: dict[str, Any], layer_norm: str | None
) -> None:
    """With layer_norm all layers of a Doc are held besides."""
    encoder = {**model["encoder"], "width": WIDTH}
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": layer_norm}
    sizes = {"window": 30, "stride": 20, "batch_pieces": 128}
    nlp = initialised({**model, "encoder": encoder, "mix": mix, **sizes}, pretrained=None)
    nlp("a")  # what is prepared once
    short, long = measure(nlp, 500), measure(nlp, 1500)
    a_token_more = (long - short) / 1000
    n_arrays = N_ARRAYS + (N_LAYERS if layer_norm else 0)
    assert WIDTH * 4 <= a_token_more <= n_arrays * WIDTH * 4 + BYTES_OF_PLACES


@pytest.mark.parametrize("model", [BILM, TRANSFORMER], ids=["bilm", "transformer"])
def test_the_pieces_of_a_long_doc_are_not_held_at_once(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a token more, its place alone is held besides its vector, which is an array of NumPy."""
    monkeypatch.setattr(docs_to_outputs, "GROUP_TOKENS", 100)
    encoder = {**model["encoder"], "width": WIDTH}
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2}
    sizes = {"window": 30, "stride": 20, "batch_pieces": 128}
    nlp = initialised({**model, "encoder": encoder, "mix": mix, **sizes}, pretrained=None)
    nlp("a")
    short, long = measure(nlp, 500), measure(nlp, 1500)
    assert (long - short) / 1000 < WIDTH * 4 / 2
