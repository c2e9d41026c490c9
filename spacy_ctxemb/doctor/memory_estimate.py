"""How much memory an encoder needs, above what Python and its libraries take.

Training: weights, their gradients, two moments of Adam and averages, 4 bytes each; and what the
passes of one batch keep (activations.py), of at most `batch_pieces` padded pieces, since others are
computed again, and of the largest pass besides. Prediction: weights, the copies of them that
products are made with, one pass, and vectors of the documents that are under way. Components on top
are not counted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..listeners.layer_mix_listener import LayerMixListener
from ..thinc_model.embed_docs import GROUP_TOKENS
from ..thinc_model.embedder_shim import EmbedderShim
from .activations import WORDS_AT_ONCE, Kept, count_kept, count_passing

FLOAT = 4
MEGABYTE = 2**20

#: What PyTorch's and oneDNN's own buffers take with the first passes, in bytes.
BUFFERS = 30 * MEGABYTE

#: The scores of attention that inference holds at once, at most.
MAX_SCORES = 1 << 22


class Load(NamedTuple):
    """What passes through an encoder at once. words: different ones. length: pieces of a window.
    word_length: characters of a word."""

    pieces: int
    tokens: int
    words: int
    length: int
    word_length: float


class Estimate(NamedTuple):
    """In bytes. parameters: weights and what training keeps of each. passes: what the passes of one
    batch hold. outputs: vectors of documents."""

    parameters: float
    passes: float
    outputs: float

    @property
    def megabytes(self) -> float:
        return (self.parameters + self.passes + self.outputs + BUFFERS) / MEGABYTE


def estimate_update(
    shim: EmbedderShim, load: Load, *, averages: bool = True, micro_batches: int = 1
) -> Estimate:
    """Of one update. load: of the largest batch. micro_batches: parts it is divided into."""
    n_all = sum(p.numel() for p in shim.embedder.parameters())
    frozen = shim.layer_training.list_always_frozen(shim.embedder.encoder)
    encoder = shim.embedder.encoder
    n_frozen = sum(p.numel() for name, p in encoder.named_parameters() if name in frozen)
    n_kept = 4 if averages else 3
    parameters = FLOAT * (n_all + n_kept * (n_all - n_frozen))
    budget = shim.windowing.windowing.batch_pieces
    pieces = load.pieces / micro_batches
    steps = min(pieces, 2 * budget)  # what is computed again counts once more
    share = steps / max(load.pieces, 1)
    kept = count_kept(shim, load.word_length)
    passes = FLOAT * weigh(kept, steps, load.length, share * load.words)
    # Of all steps one vector is kept, or all layers where a mix needs whole documents: those of
    # each batch, joined, in order, and their gradient.
    n_layers = encoder.n_layers if shim.embedder.mix.whole_documents else 1
    outputs = FLOAT * pieces * encoder.width * (4 * n_layers + 2)
    return Estimate(parameters, passes, outputs)


def estimate_prediction(
    shim: EmbedderShim, load: Load, *, n_tokens: int, with_layers: bool
) -> Estimate:
    """Of prediction. n_tokens: of the documents of one batch of the pipeline."""
    embedder, encoder = shim.embedder, shim.embedder.encoder
    n_all = sum(p.numel() for p in embedder.parameters())
    ratio = load.pieces / max(load.tokens, 1)
    group = min(n_tokens, GROUP_TOKENS) if not embedder.wants_whole_calls else n_tokens
    steps = min(shim.windowing.windowing.batch_pieces, group * ratio)
    passing = count_passing(encoder, load.word_length)
    pairs = min(passing.per_pair * steps * load.length, 2.0 * MAX_SCORES)
    words = min(WORDS_AT_ONCE, load.words)
    passes = FLOAT * (passing.per_step * steps + pairs + passing.per_word * words)
    whole = embedder.mix.whole_documents or with_layers
    n_layers = encoder.n_layers if whole else 1
    outputs = FLOAT * group * ratio * encoder.width * (n_layers + 1)
    per_token = embedder.width + (encoder.n_layers * encoder.width if with_layers else 0)
    cache = getattr(encoder, "word_cache", 0) * encoder.width / 2
    outputs += FLOAT * (n_tokens * per_token + cache)
    return Estimate(2.0 * FLOAT * n_all, passes, outputs)


def weigh(kept: Kept, steps: float, length: float, words: float) -> float:
    """Values of so many steps in windows of a length, and of so many different words."""
    return kept.per_step * steps + kept.per_pair * steps * length + kept.per_word * words


def has_layer_listeners(listeners: Sequence[Any]) -> bool:
    """Whether all layers travel with the documents."""
    return any(isinstance(listener, LayerMixListener) for listener in listeners)
