"""The biLM of ELMo as plain NumPy loops over sentences, layers, directions and steps.

Written from the description of the published models, for one sentence at a time and from a
fresh state. Weights have the names, layout and gate order (input, candidate, forget, output) of
the published HDF5 files; the forget gate's bias of 1 is not in them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = dict[str, NDArray[Any]]


class Options(NamedTuple):
    """Sizes and switches. width: of one direction. None to project where widths differ."""

    filters: tuple[tuple[int, int], ...] = ((1, 4), (2, 5), (3, 6))
    character_width: int = 3
    max_characters: int = 8
    activation: str = "relu"
    n_highways: int = 1
    width: int = 5
    hidden_width: int = 7
    n_layers: int = 2
    cell_clip: float | None = 3.0
    projection_clip: float | None = 3.0
    skip_connections: bool = True
    project_filters: bool | None = None
    project_hidden: bool | None = None

    @property
    def n_filters(self) -> int:
        return sum(count for _, count in self.filters)


def run_sentence(ids: NDArray[Any], weights: Weights, options: Options) -> list[Floats]:
    """All layers, (T, 2 * width) each, of the rows of character ids of one sentence: (T, C)."""
    x = np.array([encode_token(row, weights, options) for row in ids])  # (T, width)
    forward = run_direction(x, weights, options, 0)
    backward = run_direction(x[::-1], weights, options, 1)
    pairs = [(x, x)] + [(f, b[::-1]) for f, b in zip(forward, backward, strict=True)]
    return [np.concatenate(pair, axis=1) for pair in pairs]


def encode_token(row: NDArray[Any], weights: Weights, options: Options) -> Floats:
    """The context-free vector of one row of characters."""
    table = np.concatenate([np.zeros((1, options.character_width)), weights["char_embed"]])
    x = table[row]  # (C, character_width)
    values: list[float] = []
    for i, (size, count) in enumerate(options.filters):
        kernel, bias = weights[f"CNN/W_cnn_{i}"][0], weights[f"CNN/b_cnn_{i}"]
        for o in range(count):
            scores = [
                np.sum(x[start : start + size] * kernel[:, :, o]) + bias[o]
                for start in range(len(row) - size + 1)
            ]
            values.append(max(scores))
    h = np.tanh(values) if options.activation == "tanh" else np.maximum(values, 0.0)
    for k in range(options.n_highways):
        name = f"CNN_high_{k}"
        gate = sigmoid(h @ weights[f"{name}/W_carry"] + weights[f"{name}/b_carry"])
        new = np.maximum(h @ weights[f"{name}/W_transform"] + weights[f"{name}/b_transform"], 0.0)
        h = gate * new + (1 - gate) * h
    if "CNN_proj/W_proj" not in weights:
        return h
    return h @ weights["CNN_proj/W_proj"] + weights["CNN_proj/b_proj"]


def run_direction(x: Floats, weights: Weights, options: Options, direction: int) -> list[Floats]:
    """The output of each layer, (T, width), over the steps in the order given."""
    outputs: list[Floats] = []
    for layer in range(options.n_layers):
        name = cell_name(direction, layer)
        h, c = np.zeros(options.width), np.zeros(options.hidden_width)
        steps = []
        for x_t in x:
            h, c = step(x_t, h, c, {key: weights.get(f"{name}/{key}") for key in CELL}, options)
            steps.append(h)
        y = np.array(steps)
        if layer > 0 and options.skip_connections:
            y = y + x
        outputs.append(y)
        x = y
    return outputs


CELL = ("W_0", "B", "W_P_0")


def cell_name(direction: int, layer: int) -> str:
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def step(
    x: Floats, h: Floats, c: Floats, cell: dict[str, Any], options: Options
) -> tuple[Floats, Floats]:
    z = np.concatenate([x, h]) @ cell["W_0"] + cell["B"]
    i, j, f, o = np.split(z, 4)
    c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
    if options.cell_clip is not None:
        c = np.clip(c, -options.cell_clip, options.cell_clip)
    m = sigmoid(o) * np.tanh(c)
    if cell["W_P_0"] is None:
        return m, c
    h = m @ cell["W_P_0"]
    if options.projection_clip is not None:
        h = np.clip(h, -options.projection_clip, options.projection_clip)
    return h, c


def sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))
