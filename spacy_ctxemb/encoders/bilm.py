"""The bidirectional language model of ELMo, as an encoder.

Source: Peters et al. 2018, "Deep contextualized word representations", sections 3.1 and 3.4;
projected LSTMs after Sak et al. 2014, "Long Short-Term Memory Recurrent Neural Network
Architectures for Large Scale Acoustic Modeling", section 2.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..errors import Errors
from .char_cnn import CharacterCNN
from .encoder import Encoder

FORWARD, BACKWARD = 0, 1


class BiLM(Encoder):
    """Character CNN, then two independent stacks of projected LSTMs, one a direction.

    Layer 0 is the token vector twice, [x, x]; layer l is [forward, backward] of LSTM layer l.
    The directions never meet, so the forward half of a layer knows nothing of later tokens.

    width: D, both directions together; even. 256 to 1024.
    hidden_width: width of an LSTM's cell. Usually 4 to 8 times D / 2.
    project_hidden: whether LSTMs project their output to D / 2; None for where widths differ.
    n_lstm_layers: LSTM layers a direction; the encoder returns one layer more. 1 to 3.
    n_characters, character_width, filters, activation, n_highways: see CharacterCNN.
    project_filters: its `project`.
    max_characters: C, the characters of a token, word boundaries included. ELMo: 50.
    cell_clip, projection_clip: bounds of cell and projected values; None for no bound. ELMo: 3.
    skip_connections: add a layer's input to its output, from the second LSTM layer on.
    dropout: rate on the input of each LSTM layer, in training. 0.1.
    """

    max_padding: ClassVar[float] = 1.0
    max_length = None

    def __init__(
        self,
        *,
        width: int,
        hidden_width: int,
        n_lstm_layers: int,
        filters: Sequence[tuple[int, int]],
        n_characters: int = 262,
        character_width: int = 16,
        max_characters: int = 50,
        activation: str = "relu",
        n_highways: int = 1,
        project_filters: bool | None = None,
        project_hidden: bool | None = None,
        cell_clip: float | None = 3.0,
        projection_clip: float | None = 3.0,
        skip_connections: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % 2 or hidden_width < 1:
            raise ValueError(Errors.E002.format(width=width, hidden_width=hidden_width))
        if project_hidden is None:
            project_hidden = hidden_width != width // 2
        if not project_hidden and hidden_width != width // 2:
            raise ValueError(
                Errors.E066.format(
                    setting="project_hidden",
                    name="hidden_width",
                    found=hidden_width,
                    width=width // 2,
                )
            )
        longest = max(size for size, _ in filters)
        if longest > max_characters:
            raise ValueError(Errors.E003.format(size=longest, max_characters=max_characters))
        self.n_ids = n_characters
        self.n_characters = max_characters
        self.width = width
        self.n_layers = n_lstm_layers + 1
        self.skip_connections = skip_connections
        self.token_encoder = CharacterCNN(
            n_characters=n_characters,
            character_width=character_width,
            filters=filters,
            activation=activation,
            n_highways=n_highways,
            width=width // 2,
            project=project_filters,
        )
        self.layers = nn.ModuleList(
            BiLSTM(width // 2, hidden_width, cell_clip, projection_clip, project_hidden)
            for _ in range(n_lstm_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """ids: (B, T, C); mask: (B, T). Returns L tensors (B, T, D), zero at padded steps."""
        B, T, _ = ids.shape
        packing = pack(mask)
        # Words repeat: each distinct one goes through the convolutions once a batch.
        words, inverse = torch.unique(ids[mask], dim=0, return_inverse=True)
        vectors = self.token_encoder(words)[inverse]  # (N, D / 2), in the order of mask
        x = vectors.new_zeros(B * T, self.width // 2)
        x = x.index_copy(0, mask.reshape(-1).nonzero().squeeze(1), vectors)
        y = torch.stack([x[packing.rows[FORWARD]], x[packing.rows[BACKWARD]]])  # (2, N, D / 2)
        outputs = [torch.cat([x, x], dim=-1).view(B, T, -1)]
        for i, layer in enumerate(self.layers):
            dropped = self.dropout(y)
            h = layer(dropped, packing.sizes)
            y = h + dropped if self.skip_connections and i else h
            outputs.append(unpack(y, packing).view(B, T, -1))
        return tuple(outputs)

    def reset_parameters(self) -> None:
        self.token_encoder.reset_parameters()
        for layer in cast(Iterable[BiLSTM], self.layers):
            layer.reset_parameters()


class BiLSTM(nn.Module):
    """One layer of both directions: two independent LSTMs with projection, run side by side.

    Gates stand in the order input, candidate, forget, output. To the forget gate 1 is added at
    run time: `bias` is what the published ELMo files hold.
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        cell_clip: float | None,
        projection_clip: float | None,
        project: bool,
    ) -> None:
        super().__init__()
        self.width = width
        self.hidden_width = hidden_width
        self.cell_clip = cell_clip
        self.projection_clip = projection_clip
        self.weight_input = nn.Parameter(torch.empty(2, width, 4 * hidden_width))
        self.weight_hidden = nn.Parameter(torch.empty(2, width, 4 * hidden_width))
        self.bias = nn.Parameter(torch.empty(2, 1, 4 * hidden_width))
        self.projection: nn.Parameter | None = None
        if project:
            self.projection = nn.Parameter(torch.empty(2, hidden_width, width))

    def forward(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Run both directions over packed sequences, from a zero state.

        x: (2, N, width), packed by time (see `pack`).
        sizes: sequences still active at each step, not increasing; they add up to N.
        Returns (2, N, width).
        """
        inputs = torch.baddbmm(self.bias, x, self.weight_input)  # (2, N, 4 * hidden_width)
        h = x.new_zeros(2, sizes[0] if sizes else 0, self.width)
        c = x.new_zeros(2, sizes[0] if sizes else 0, self.hidden_width)
        steps = []
        for z in inputs.split(list(sizes), dim=1):
            h, c = self.step(z, h[:, : z.size(1)], c[:, : z.size(1)])
            steps.append(h)
        return torch.cat(steps, dim=1) if steps else x

    def step(self, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One step of n active sequences.

        z: (2, n, 4 * hidden_width), the input's part of the gates; h: (2, n, width);
        c: (2, n, hidden_width). Returns the new h and c.
        """
        z = torch.baddbmm(z, h, self.weight_hidden)
        i, j, f, o = z.chunk(4, dim=-1)
        c = torch.sigmoid(f + 1.0) * c + torch.sigmoid(i) * torch.tanh(j)
        if self.cell_clip is not None:
            c = c.clamp(-self.cell_clip, self.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.projection is not None:
            h = torch.bmm(h, self.projection)
            if self.projection_clip is not None:
                h = h.clamp(-self.projection_clip, self.projection_clip)
        return h, c

    def reset_parameters(self) -> None:
        """Glorot uniform over the joint kernel [input; hidden], as in the original training."""
        bound = (6.0 / (2 * self.width + 4 * self.hidden_width)) ** 0.5
        nn.init.uniform_(self.weight_input, -bound, bound)
        nn.init.uniform_(self.weight_hidden, -bound, bound)
        if self.projection is not None:
            bound = (6.0 / (self.width + self.hidden_width)) ** 0.5
            nn.init.uniform_(self.projection, -bound, bound)
        nn.init.zeros_(self.bias)


class Packing(NamedTuple):
    """How the N real steps of a batch are ordered by time, the longest window first.

    rows: (2, N), the place b * T + t of each packed step, for either direction.
    sizes: windows still active at each step.
    shape: (B, T).
    """

    rows: Tensor
    sizes: list[int]
    shape: tuple[int, int]


def pack(mask: Tensor) -> Packing:
    """Order real steps by time, so that no step of the recurrence sees padding."""
    B, T = mask.shape
    lengths, order = mask.sum(dim=1).sort(descending=True, stable=True)  # (B,)
    active = torch.arange(T, device=mask.device)[:, None] < lengths  # (T, B)
    step, rank = active.nonzero(as_tuple=True)  # (N,) each
    start = order[rank] * T
    rows = torch.stack([start + step, start + lengths[rank] - 1 - step])
    sizes = [size for size in active.sum(dim=1).tolist() if size]
    return Packing(rows, sizes, (B, T))


def unpack(y: Tensor, packing: Packing) -> Tensor:
    """Put packed outputs back in place. y: (2, N, D / 2). Returns (B * T, D)."""
    B, T = packing.shape
    blank = y.new_zeros(B * T, y.size(-1))
    halves = [blank.index_copy(0, packing.rows[d], y[d]) for d in (FORWARD, BACKWARD)]
    return torch.cat(halves, dim=-1)
