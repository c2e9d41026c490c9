"""How many values a pass through an encoder keeps, counted from its modules.

A rough count: what each product reads and writes, what norms and recurrences add, and attention
weights. It leaves out what is freed at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from ..encoders import Encoder, TransformerEncoder
from ..encoders.char_cnn import CHUNK_WORDS, CharacterCNN
from ..encoders.lstm import LSTM
from ..thinc_model.embedder_shim import EmbedderShim


class Kept(NamedTuple):
    """Values that stay until the backward pass.

    per_step: of each piece. per_pair: of each pair of steps of a window, by attention. per_word: of
    each different word, by a character CNN.
    """

    per_step: float
    per_pair: float
    per_word: float


def count_kept(shim: EmbedderShim, word_length: float) -> Kept:
    """In training. word_length: characters of a word, its boundaries included."""
    encoder = shim.embedder.encoder
    frozen = shim.layer_training.list_always_frozen(encoder)
    step = word = 0.0
    for module, n_uses in find_trained(encoder, frozen):
        if isinstance(module, CharacterCNN):
            word += count_characters(module, word_length)
        elif isinstance(module, LSTM):
            # Gates, cells and the input, and gradients of the gates; cells before the projection.
            step += n_uses * (9 * module.hidden_width + 3 * module.width)
        elif isinstance(module, nn.Linear) and not is_inside_cnn(encoder, module):
            step += n_uses * (module.in_features + module.out_features)
        elif isinstance(module, nn.LayerNorm):
            step += n_uses * 2 * module.normalized_shape[-1]
    # Each layer is kept, joined with those of other batches, and has a gradient.
    step += 3 * encoder.n_layers * encoder.width
    is_trained = len(frozen) < sum(1 for _ in encoder.named_parameters())
    pairs = 3.0 * count_heads(encoder) if is_trained else 0.0
    return Kept(step, pairs, word)


def find_trained(encoder: Encoder, frozen: set[str]) -> Iterator[tuple[nn.Module, float]]:
    """Modules that keep values, and how often each of them is run."""
    times = 1.0
    if isinstance(encoder, TransformerEncoder):
        times = encoder.n_blocks / len(encoder.blocks)
    for name, module in encoder.named_modules():
        own = {f"{name}.{n}" if name else n for n, _ in module.named_parameters()}
        if own and not own <= frozen:
            yield module, times if name.startswith("blocks.") else 1.0


def is_inside_cnn(encoder: Encoder, module: nn.Module) -> bool:
    """Whether a module sees different words in place of all steps."""
    return any(
        module is inner
        for cnn in encoder.modules()
        if isinstance(cnn, CharacterCNN)
        for inner in cnn.modules()
    )


def count_characters(cnn: CharacterCNN, word_length: float) -> float:
    """Values of one word: stretches of text, scores of all positions, highways."""
    total = 0.0
    n_filters = 0
    for convolution in cnn.convolutions:
        count, width, size = convolution.weight.shape  # type: ignore[misc] # a Conv1d
        positions = word_length + cnn.widest - size + 1
        total += positions * (width * size + count)
        n_filters += int(count)
    return total + n_filters * (3 + 6 * len(cnn.highways))


def count_heads(encoder: Encoder) -> int:
    """Attention heads of all blocks together."""
    config = getattr(encoder, "config", None)
    if config is not None:  # a model of transformers
        heads = getattr(config, "num_attention_heads", 0)
        return int(heads) * int(getattr(config, "num_hidden_layers", 1))
    per_block = [int(m.n_heads) for m in encoder.modules() if hasattr(m, "query_key_value")]  # type: ignore[arg-type] # an int
    n_blocks = encoder.n_layers - 1
    return per_block[0] * n_blocks if per_block else 0


def count_passing(encoder: Encoder, word_length: float) -> Kept:
    """In inference: what is held at once while one batch passes."""
    widest = word = 0.0
    for module in encoder.modules():
        if isinstance(module, CharacterCNN):
            word = count_characters(module, word_length)
        elif isinstance(module, nn.Linear) and not is_inside_cnn(encoder, module):
            widest = max(widest, module.in_features + 2 * module.out_features)
    step = widest + 2 * encoder.n_layers * encoder.width
    heads = count_heads(encoder) / max(encoder.n_layers - 1, 1)
    return Kept(step, 2.0 * heads, word)


#: Words that a character CNN reads at once in inference.
WORDS_AT_ONCE = CHUNK_WORDS
