"""Training a biLM by the likelihoods of the next and of the previous word.

Source: Peters et al. 2018, "Deep contextualized word representations", section 3.1, and the
program of the paper, bilm-tf.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch

from ....encoders import BiLM, Encoder
from ....encoders.bilm_hidden_state import BiLMState
from ....encoders.lstm import LSTM
from ....errors import Errors
from ....objectives import BiLMObjective
from ....objectives.base import NO_TARGET, Losses, Sums, add_losses, wrong_encoder
from ....objectives.bilm_loss import N_SPECIAL
from ....pieces.base import Pieces
from ....pieces.characters import CharacterPieces
from ...text.shuffle import Queue
from ..base import Batch, Carried, Data, StepOutput, Task, to_device, validate_least
from .batches import (
    DIRECTIONS,
    BiLMStream,
    BiLMText,
    DirectionStream,
    choose_vocabulary,
    lay_rows,
    make_units,
)

#: Rows in which held-out text is read. Each begins at zero, so few are better than many.
N_HELD_OUT_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class PretrainBiLM:
    """`spacy-ctxemb.PretrainBiLM.v1`: the likelihoods of the next and of the previous word.

    n_rows: texts that a micro-batch reads beside each other. 32 to 256; ELMo: 128.
    n_steps: words of each that it reads, beyond which no gradient goes. 20 to 40; ELMo: 20.
    vocab_size: words to predict, at most; others are <UNK>. ELMo: 793,471.
    min_count: how often the text has a word to predict, at least. 2 to 5.
    n_samples: words that a micro-batch's targets are told from in training; null for the whole
        vocabulary. 1024 to 8192; ELMo: 8192.
    max_sentences: sentences of a document that are read as one, at most; how many is drawn for
        each. ELMo: 1; more for pipelines that see texts without sentence boundaries.
    carries_state: whether a sentence begins with the state in which the one before it ended, as
        in ELMo, or at zero, as in a pipeline. A model that has never begun at zero may do so
        badly: its cells come to rely on what is never taken from them.

    Raises E401 for a setting that is too low.

    Example:
        build_task = PretrainBiLM(n_rows=64, n_samples=None)
        build_task.validate(encoder, pieces)
        task = build_task(encoder, pieces, Data(store, held_out, seed=0))
    """

    other_pieces: ClassVar[dict[str, Pieces]] = {}

    n_rows: int = 128
    n_steps: int = 20
    vocab_size: int = 50000
    min_count: int = 3
    n_samples: int | None = 4096
    max_sentences: int = 1
    carries_state: bool = False

    def __post_init__(self) -> None:
        validate_least(self, n_rows=1, n_steps=1, vocab_size=N_SPECIAL + 1, min_count=1)
        validate_least(self, n_samples=1, max_sentences=1)

    def validate(self, encoder: Encoder, pieces: Pieces) -> tuple[BiLM, CharacterPieces]:
        """Return both with their types. Raises E430 unless they are a BiLM and its pieces."""
        if not isinstance(encoder, BiLM) or not isinstance(pieces, CharacterPieces):
            raise wrong_encoder(type(self).__name__, "BiLM", encoder)
        return encoder, pieces

    def __call__(self, encoder: Encoder, pieces: Pieces, data: Data) -> "BiLMTask":
        """Build the task. Raises E430 as `validate` does, E414 if no word is frequent enough."""
        encoder, pieces = self.validate(encoder, pieces)
        vocabulary = choose_vocabulary(data.store, size=self.vocab_size, min_count=self.min_count)
        if len(vocabulary) == N_SPECIAL:
            raise ValueError(Errors.E414.format(min_count=self.min_count))
        n = self.n_samples
        sampled = n if n is not None and n < len(vocabulary) else None
        return BiLMTask(
            encoder, BiLMObjective(encoder, vocabulary, n_samples=sampled), self, pieces, data
        )


class BiLMTask(Task):
    """Continuous streams in both directions, with carried states."""

    loss_weights = {"forward": 0.5, "backward": 0.5}

    def __init__(
        self,
        encoder: BiLM,
        objective: BiLMObjective,
        settings: PretrainBiLM,
        pieces: CharacterPieces,
        data: Data,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective: BiLMObjective = objective
        self.settings = settings
        self.text, self.held_out = (
            BiLMText(store, pieces, objective.vocabulary) for store in (data.store, data.held_out)
        )
        self.seed = data.seed
        self.units = make_units(data.store, max_sentences=settings.max_sentences, seed=data.seed)

    def open_stream(self, shard: int, n_shards: int) -> BiLMStream:
        directions = [
            DirectionStream(
                self.text.store,
                self.units,
                Queue(len(self.units), seed=2 * self.seed + i, shard=shard, n_shards=n_shards),
                n_rows=self.settings.n_rows,
                is_backward=name == "backward",
            )
            for name, i in DIRECTIONS.items()
        ]
        return BiLMStream(self.text, directions, self.settings.n_steps)

    def start(self) -> Carried:
        return self._start_rows(self.settings.n_rows)

    def _start_rows(self, n_rows: int) -> Carried:
        stacks = cast(Iterable[Iterable[LSTM]], self.encoder.directions)
        zeros = [[lstm.zero_state(n_rows) for lstm in lstms] for lstms in stacks]
        return BiLMState.collect(zeros)._asdict()

    def count_words(self, batch: Batch) -> int:
        return batch["targets"].size(1)

    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """batch: see `BiLMText.make_batch`. carried: h and c of each row, see BiLMState."""
        initial = BiLMState(**carried)
        n_rows = initial.h.size(2)
        sizes = [n_rows] * (batch["words"].size(1) // n_rows)
        vectors = self.encoder.token_encoder(batch["characters"])  # (n, D / 2)
        carries_state = self.settings.carries_state
        continues = None if carries_state else 1.0 - batch["begins"].to(vectors.dtype)
        states, tops, predicted = [], [], []
        for direction in DIRECTIONS.values():
            layers, last = self.encoder.run_direction(
                direction,
                vectors[batch["words"][direction]],  # (T * B, D / 2)
                sizes,
                initial,
                self.encoder.dropout,
                None if continues is None else continues[direction],
            )
            states.append(last)
            targets = batch["targets"][direction]
            has_target = targets != NO_TARGET
            tops.append(self.encoder.dropout(layers[-1])[has_target])
            predicted.append(targets[has_target])
        nll = dict(zip(DIRECTIONS, self.objective.nll(tops, predicted), strict=True))
        n_targets = {name: len(ids) for name, ids in zip(DIRECTIONS, predicted, strict=True)}
        return StepOutput(Losses(nll, n_targets), BiLMState.collect(states)._asdict())

    @torch.no_grad()
    def evaluate(self, rank: int, n_ranks: int) -> Sums:
        """Full softmax, states as in training; each row reads a part of the text in order."""
        rows = range(rank, N_HELD_OUT_ROWS, n_ranks)
        read, predicted = lay_rows(self.held_out.store, rows, N_HELD_OUT_ROWS)  # (2, T, B)
        sums: Sums = dict.fromkeys(DIRECTIONS, (0.0, 0.0))
        carried = self._start_rows(len(rows))
        device = next(self.parameters()).device
        for start in range(0, read.shape[1], self.settings.n_steps):
            steps = slice(start, start + self.settings.n_steps)
            batch = self.held_out.make_batch(read[:, steps], predicted[:, steps])
            losses, carried = self(to_device(batch, device), carried)
            add_losses(sums, losses)
        return sums
