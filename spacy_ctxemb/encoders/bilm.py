"""The bidirectional language model of ELMo, as an encoder.

Source: Peters et al. 2018, "Deep contextualized word representations", sections 3.1 and 3.4.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from ..errors import Errors
from ..pieces.characters import CharacterPieces
from .base import Encoder, assign_layers
from .bilm_hidden_state import BiLMState
from .char_cnn import CharacterCNN, needs_projection
from .derived_weights import Derived
from .kernels.lstm_inference import State
from .lstm import LSTM, Packing, pack_by_time
from .word_cache import WordCache, find_distinct

FORWARD, BACKWARD = 0, 1

#: (width, count) of a character CNN of 256 filters, an eighth of ELMo's.
FILTERS = ((1, 16), (2, 16), (3, 32), (4, 48), (5, 64), (6, 80))

#: The least values of some settings.
LEAST = {"n_lstm_layers": 1, "word_cache": 0, "cell_clip": 0, "projection_clip": 0}

#: The rate on the input of each LSTM layer, until `set_dropout` sets another one.
DROPOUT = 0.1


class BiLM(Encoder):
    """Character CNN, then two independent stacks of projected LSTMs, one a direction.

    Layer 0 is the token vector twice, [x, x]; layer l is [forward, backward] of LSTM layer l.
    The directions never meet, so the forward half of a layer knows nothing of later tokens.

    width: D, both directions together; even. 256 to 1024.
    hidden_width: width of an LSTM's cell. Usually 4 to 8 times D / 2.
    n_lstm_layers: LSTM layers a direction; the encoder returns one layer more. 1 to 3.
    filters, character_width, activation, n_highways: see CharacterCNN.
    max_characters: C, the characters of a token, word boundaries included. ELMo: 50.
    cell_clip, projection_clip: bounds of cell and projected values; None or 0 for no bound.
        ELMo: 3.
    skip_connections: add a layer's input to its output, from the second LSTM layer on.
    project_filters, project_hidden: whether the CNN's values and the cells are projected to
        D / 2; None for where their widths differ from it.
    word_cache: words whose context-free vectors are kept for later batches, in inference; takes
        2 * D * word_cache bytes, and about 300 a word for its characters. 0 to 100,000.
    stateful: begin where the last call stopped, as the original programs do; see `forward`.
    warm_start: a text, one sentence a line, tokens between spaces. Every sequence begins with the
        state after its last sentence; without a text, with zeros. Words of tokens_to_add are
        spelt like others.

        encoder = BiLM(width=64, hidden_width=128, n_lstm_layers=1)
        encoder.reset_parameters()
        layers = encoder(ids, mask)  # ids: (B, T, C), e.g. of CharacterPieces.encode_sequence
    """

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    max_padding: ClassVar[float] = 1.0
    max_length = None

    def __init__(
        self,
        *,
        width: int = 256,
        hidden_width: int = 512,
        n_lstm_layers: int = 2,
        filters: Sequence[Sequence[int]] = FILTERS,
        character_width: int = 16,
        max_characters: int = 50,
        activation: str = "relu",
        n_highways: int = 1,
        cell_clip: float | None = 3.0,
        projection_clip: float | None = 3.0,
        skip_connections: bool = True,
        project_filters: bool | None = None,
        project_hidden: bool | None = None,
        word_cache: int = 20000,
        stateful: bool = False,
        warm_start: str | None = None,
    ) -> None:
        super().__init__(locals())
        project_hidden = check_sizes(self.settings)
        self.n_ids = CharacterPieces.n_ids
        self.n_characters = max_characters
        self.width = width
        self.n_layers = n_lstm_layers + 1
        self.skip_connections = skip_connections
        self.stateful = stateful
        self.token_encoder = CharacterCNN(
            n_characters=self.n_ids,
            character_width=character_width,
            filters=filters,
            activation=activation,
            n_highways=n_highways,
            width=width // 2,
            project=project_filters,
        )
        self.directions = nn.ModuleList(
            nn.ModuleList(
                LSTM(
                    width // 2,
                    hidden_width,
                    is_projected=project_hidden,
                    cell_clip=cell_clip or None,
                    projection_clip=projection_clip or None,
                )
                for _ in range(n_lstm_layers)
            )
            for _ in (FORWARD, BACKWARD)
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.word_cache = word_cache
        pieces = CharacterPieces(max_characters)
        sentences = [line.split() for line in (warm_start or "").splitlines() if line.strip()]
        self.warm_start = [torch.from_numpy(pieces.encode_sequence(words)) for words in sentences]
        self._words = Derived(build_word_cache)
        self._start = Derived(find_start)
        self._carried: BiLMState | None = None

    def forward(
        self, ids: Tensor, mask: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """ids: (B, T, C); mask: (B, T). Returns L tensors (N, D).

        places: (B,), where `stateful`, which of the carried states each window goes on from, and
            replaces; those of other places are kept, and new ones begin at the start. None for
            0, 1, ... B - 1. Source: AllenNLP's `_EncoderBase`.
        """
        packing = pack_by_time(mask)
        if places is None:
            places = torch.arange(len(ids))
        places = places.to(ids.device)[packing.windows]
        start = self._start.get(self)
        if self.stateful:
            known = start.take(places[:0]) if self._carried is None else self._carried
            known = known.to(ids.device).extend(start, int(places.max()) + 1)
            initial = known.take(places)
        else:
            initial = start.take(torch.zeros_like(places))
        layers, last = self.run(self.encode_tokens(ids[mask]), packing, initial, self.dropout)
        if self.stateful:
            self._carried = known.put(places, last)
        return layers

    def encode_tokens(self, ids: Tensor) -> Tensor:
        """Context-free vectors; each distinct token is encoded once. (N, C) to (N, D / 2)"""
        distinct, keys, inverse = find_distinct(ids)
        if torch.is_grad_enabled() or not self.word_cache:
            vectors = self.token_encoder(distinct)
        else:
            vectors = self._words.get(self).look_up(distinct, keys, self.token_encoder)
        return vectors[inverse.to(vectors.device)]

    def run(
        self,
        x: Tensor,
        packing: Packing,
        initial: BiLMState,
        dropout: Callable[[Tensor], Tensor],
    ) -> tuple[tuple[Tensor, ...], BiLMState]:
        """Both stacks over token vectors. x: (N, D / 2), window by window.

        Returns L tensors (N, D), and the last state of each sequence, the longest first.
        """
        layers = [x.new_empty(len(x), self.width) for _ in range(self.n_layers)]
        states: list[list[State]] = []
        for direction in (FORWARD, BACKWARD):
            order = packing.order[direction]
            columns = slice(direction * x.size(1), (direction + 1) * x.size(1))
            outputs, last = self.run_direction(direction, x[order], packing.sizes, initial, dropout)
            for layer, y in zip(layers, outputs, strict=True):
                layer[order, columns] = y
            states.append(last)
        return tuple(layers), BiLMState.collect(states)

    def run_direction(
        self,
        direction: int,
        x: Tensor,
        sizes: Sequence[int],
        initial: BiLMState,
        dropout: Callable[[Tensor], Tensor],
        continues: Tensor | None = None,
    ) -> tuple[list[Tensor], list[State]]:
        """One stack over token vectors. x: (N, D / 2), packed by time in the order of reading.

        continues: see LSTM.forward.
        Returns L tensors (N, D / 2), and the last state of each LSTM layer.
        """
        outputs, states = [x], []
        stacks = cast(Sequence[Iterable[LSTM]], self.directions)
        for i, lstm in enumerate(stacks[direction]):
            dropped = dropout(outputs[-1])
            start = State(initial.h[direction, i], initial.c[direction, i])
            h, last = lstm(dropped, sizes, start, continues)
            outputs.append(h + dropped if self.skip_connections and i else h)
            states.append(last)
        return outputs, states

    @property
    def values_a_step(self) -> int:
        """Gates are computed for some hundred steps at a time, or for one step of each window,
        and a window has three steps at least. Ids of characters are there three times."""
        gates, characters = 4 * self.settings["hidden_width"], 3 * self.settings["max_characters"]
        return (self.n_layers + 3) * self.width + characters + gates

    def reset_state(self) -> None:
        self._carried = None

    def parameter_layers(self) -> dict[str, int]:
        stacks = cast(Iterable[Iterable[LSTM]], self.directions)
        return assign_layers(self, [[self.token_encoder], *zip(*stacks, strict=True)])

    def set_precision(self, precision: str) -> None:
        super().set_precision(precision)
        self.weights_changed()
        for module in self.modules():
            if isinstance(module, LSTM):
                module.set_dtype(torch.bfloat16 if precision == "bf16" else None)

    def reset_parameters(self) -> None:
        self.token_encoder.reset_parameters()
        for module in self.modules():
            if isinstance(module, LSTM):
                module.reset_parameters()


def check_sizes(settings: dict[str, Any]) -> bool:
    """Whether cells are projected.

    Raises E105 for a value below its least, E101 for an odd width or a hidden_width of 0, E102 for
    a filter longer than a word, E106 if cells need a projection and are to have none.
    """
    for name, least in LEAST.items():
        if settings[name] is not None and settings[name] < least:
            raise ValueError(Errors.E105.format(name=name, value=settings[name], least=least))
    width, hidden_width = settings["width"], settings["hidden_width"]
    if width % 2 or hidden_width < 1:
        raise ValueError(Errors.E101.format(width=width, hidden_width=hidden_width))
    longest, room = max(size for size, _ in settings["filters"]), settings["max_characters"]
    if longest > room:
        raise ValueError(Errors.E102.format(size=longest, max_characters=room))
    return needs_projection(
        "project_hidden", settings["project_hidden"], "hidden_width", hidden_width, width // 2
    )


def build_word_cache(encoder: BiLM) -> WordCache:
    weight = encoder.token_encoder.embedding.weight
    return WordCache(weight.new_empty(encoder.word_cache, encoder.width // 2))


@torch.no_grad()
def find_start(encoder: BiLM) -> BiLMState:
    """The state in which sequences begin: zero, or after one warm-up sentence after the other."""
    stacks = cast(Iterable[Iterable[LSTM]], encoder.directions)
    state = BiLMState.collect([[lstm.zero_state(1) for lstm in lstms] for lstms in stacks])
    for sentence in encoder.warm_start:
        ids = sentence.to(state.h.device)
        packing = pack_by_time(torch.ones(1, len(ids), dtype=torch.bool, device=ids.device))
        _, state = encoder.run(encoder.token_encoder(ids), packing, state, nn.Identity())
    return state
