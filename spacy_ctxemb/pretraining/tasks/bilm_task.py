"""Training a biLM by the likelihoods of the next and of the previous word.

Source: Peters et al. 2018, "Deep contextualized word representations", section 3.1, and the
program of the paper, bilm-tf.
"""

from collections.abc import Iterable
from typing import ClassVar, cast

import numpy as np
import torch
from torch import nn

from ...encoders import BiLM
from ...encoders.bilm_state import BiLMState
from ...encoders.lstm import LSTM
from ...objectives import BiLMObjective
from ...objectives.objective import NO_TARGET, Losses
from ..text.shuffle import Queue
from ..text.word_streams import BACKWARD, FORWARD, DirectionStream, lay_rows, make_units
from .bilm_batches import BiLMText
from .task import Batch, Carried, StepOutput, Stream, StreamState, Task

DIRECTIONS = {"forward": FORWARD, "backward": BACKWARD}

#: Rows in which held-out text is read. Each begins at zero, so few are better than many.
N_HELD_OUT_ROWS = 32


class BiLMTask(Task):
    """Continuous streams in both directions, with carried states.

    encoder, objective: to train.
    text, held_out: to learn from, and to evaluate on.
    n_rows: rows of a micro-batch. 128 in the paper.
    n_steps: words that a row reads in a step, beyond which no gradient goes. 20 in the paper.
    max_sentences: sentences of a document that are read as one, at most; how many is drawn for
        each. 1 in the paper; more for pipelines that see texts without sentence boundaries.
    carries_state: whether a sentence begins with the state in which the one before it ended, as in
        the paper, or at zero, as in a pipeline. A model that has never begun at zero may do so
        badly: its cells come to rely on what is never taken from them.
    """

    loss_weights: ClassVar[dict[str, float]] = {"forward": 0.5, "backward": 0.5}
    module: "BiLMModule"

    def __init__(
        self,
        encoder: BiLM,
        objective: BiLMObjective,
        *,
        text: BiLMText,
        held_out: BiLMText,
        n_rows: int,
        n_steps: int,
        max_sentences: int,
        carries_state: bool,
        seed: int,
    ) -> None:
        self.module = BiLMModule(encoder, objective, carries_state=carries_state)
        self.objective = objective
        self.text = text
        self.held_out = held_out
        self.n_rows = n_rows
        self.n_steps = n_steps
        self.seed = seed
        self.units = make_units(text.store, max_sentences=max_sentences, seed=seed)

    def open_stream(self, shard: int, n_shards: int) -> "BiLMStream":
        directions = [
            DirectionStream(
                self.text,
                self.units,
                Queue(len(self.units), seed=2 * self.seed + i, shard=shard, n_shards=n_shards),
                n_rows=self.n_rows,
                is_backward=i == BACKWARD,
            )
            for i in DIRECTIONS.values()
        ]
        return BiLMStream(self.text, directions, self.n_steps)

    def start(self) -> Carried:
        return self.module.start(self.n_rows)

    def count_words(self, batch: Batch) -> int:
        return batch["targets"].size(1)

    @torch.no_grad()
    def evaluate(self, rank: int, n_ranks: int) -> dict[str, tuple[float, float]]:
        """Full softmax, states as in training; each row reads a part of the text in order."""
        rows = range(rank, N_HELD_OUT_ROWS, n_ranks)
        read, predicted = lay_rows(self.held_out, rows, N_HELD_OUT_ROWS)  # (2, T, B)
        sums = dict.fromkeys(DIRECTIONS, (0.0, 0.0))
        carried = self.module.start(len(rows))
        device = next(self.module.parameters()).device
        for start in range(0, read.shape[1], self.n_steps):
            steps = slice(start, start + self.n_steps)
            batch = self.held_out.make_batch(read[:, steps], predicted[:, steps])
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            losses, carried = self.module(batch, carried)
            for name, nll in losses.nll.items():
                total, n = sums[name]
                sums[name] = total + float(nll), n + losses.n_targets[name]
        return sums


class BiLMStream(Stream):
    """Both directions of one shard."""

    def __init__(self, text: BiLMText, directions: list[DirectionStream], n_steps: int) -> None:
        self.text = text
        self.directions = directions
        self.n_steps = n_steps

    def next_batch(self, step: int) -> Batch:
        steps = [direction.next_steps(self.n_steps) for direction in self.directions]
        read, predicted = (np.stack(types) for types in zip(*steps, strict=True))
        return self.text.make_batch(read, predicted)

    def state(self) -> StreamState:
        return {
            f"{name}.{key}": value
            for name, i in DIRECTIONS.items()
            for key, value in self.directions[i].state().items()
        }

    def load_state(self, state: StreamState) -> None:
        for name, i in DIRECTIONS.items():
            self.directions[i].load_state(
                {
                    key.removeprefix(f"{name}."): value
                    for key, value in state.items()
                    if key.startswith(f"{name}.")
                }
            )


class BiLMModule(nn.Module):
    """The likelihoods of what two streams predict."""

    def __init__(self, encoder: BiLM, objective: BiLMObjective, *, carries_state: bool) -> None:
        super().__init__()
        self.carries_state = carries_state
        self.encoder = encoder
        self.objective = objective

    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """batch: see `BiLMText.make_batch`. carried: h and c of each row, see BiLMState."""
        initial = BiLMState(**carried)
        n_rows = initial.h.size(2)
        sizes = [n_rows] * (batch["words"].size(1) // n_rows)
        vectors = self.encoder.token_encoder(batch["characters"])  # (n, D / 2)
        continues = None if self.carries_state else 1.0 - batch["begins"].to(vectors.dtype)
        states, tops, predicted = [], [], []
        for direction in DIRECTIONS.values():
            x = vectors[batch["words"][direction]]  # (T * B, D / 2)
            layers, last = self.encoder.run_direction(
                direction,
                x,
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

    def start(self, n_rows: int) -> Carried:
        """The state of rows that have read nothing."""
        stacks = cast(Iterable[Iterable[LSTM]], self.encoder.directions)
        zeros = [[lstm.zero_state(n_rows) for lstm in lstms] for lstms in stacks]
        return BiLMState.collect(zeros)._asdict()
