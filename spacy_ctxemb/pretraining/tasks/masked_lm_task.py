"""Training a Transformer to predict hidden pieces, and perhaps whether texts follow each other.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1; masks are drawn anew whenever a text is read, as in Liu et al. 2019,
"RoBERTa", section 4.1.
"""

from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...encoders import Encoder, TransformerEncoder
from ...encoders.transformer import check_segments
from ...errors import Errors
from ...objectives import MaskedLMObjective
from ...objectives.next_sentence_loss import IS_NEXT, IS_OTHER
from ...objectives.objective import Losses
from ...pieces.base import Ids
from ..text.sentence_pairs import SentencePairs
from ..text.sequences import Sequences
from ..text.shuffle import Queue
from ..text.token_store import TokenStore
from .masked_lm_batches import MaskedLMText
from .task import Batch, Carried, StepOutput, Stream, StreamState, Task, draw

#: The seed of masks in evaluation, always the same.
EVALUATION = 0x3A5C

#: Pieces of the shortest sequences that may be asked for, boundaries included.
LEAST = 8


class MaskedLMTask(Task):
    """Sequences of neighbouring sentences or, where the objective has a head for them, pairs.

    encoder, objective: to train.
    boundaries: the pieces before and after a text.
    store, held_out: text to learn from, and to evaluate on.
    batch_size: sequences of a micro-batch.
    max_pieces: of a sequence, boundaries included.
    """

    loss_weights: ClassVar[dict[str, float]] = {"masked": 1.0, "next_sentence": 1.0}

    module: "MaskedLMModule"

    def __init__(
        self,
        encoder: Encoder,
        objective: MaskedLMObjective,
        *,
        boundaries: tuple[Ids, Ids],
        store: TokenStore,
        held_out: TokenStore,
        batch_size: int,
        max_pieces: int,
        seed: int,
    ) -> None:
        check_sizes(encoder, objective, batch_size=batch_size, max_pieces=max_pieces)
        examples = Sequences if objective.next_sentence is None else SentencePairs
        self.module = MaskedLMModule(encoder, objective)
        self.objective = objective
        self.text, self.held_out = (
            MaskedLMText(s, examples(s, max_pieces=max_pieces), objective.corruption, boundaries)
            for s in (store, held_out)
        )
        self.batch_size = batch_size
        self.seed = seed

    def open_stream(self, shard: int, n_shards: int) -> "MaskedLMStream":
        n = len(self.text.examples)
        queue = Queue(n, seed=self.seed, shard=shard, n_shards=n_shards)
        return MaskedLMStream(self.text, queue, batch_size=self.batch_size)

    def start(self) -> Carried:
        return {}

    def count_words(self, batch: Batch) -> int:
        return int(batch["mask"].sum())

    @torch.no_grad()
    def evaluate(self, rank: int, n_ranks: int) -> dict[str, tuple[float, float]]:
        """Of hidden pieces, nats and how many are found; of pairs, how many are told rightly."""
        device = next(self.module.parameters()).device
        names = ["masked", "masked_accuracy"]
        if self.objective.next_sentence is not None:
            names.append("next_sentence_accuracy")
        # All names, also in a process that has no batch: all of them add up the same.
        sums = dict.fromkeys(names, (0.0, 0.0))
        firsts = range(0, len(self.held_out.examples), self.batch_size)
        for i in range(rank, len(firsts), n_ranks):
            last = min(firsts[i] + self.batch_size, len(self.held_out.examples))
            batch = self.held_out.make_batch(range(firsts[i], last), draw(EVALUATION, i, 0))
            scores = self.module.score({k: tensor.to(device) for k, tensor in batch.items()})
            for name, (logits, targets) in scores.items():
                found = {f"{name}_accuracy": (logits.argmax(dim=-1) == targets).sum()}
                if name == "masked":
                    found[name] = F.cross_entropy(logits, targets, reduction="sum")
                for key, value in found.items():
                    total, n = sums[key]
                    sums[key] = total + float(value), n + len(targets)
        return sums


class MaskedLMStream(Stream):
    """The micro-batches of one shard."""

    def __init__(self, text: MaskedLMText, queue: Queue, *, batch_size: int) -> None:
        self.text = text
        self.queue = queue
        self.batch_size = batch_size

    def next_batch(self, step: int) -> Batch:
        rng = draw(self.queue.seed, step, self.queue.shard)
        return self.text.make_batch([self.queue.take() for _ in range(self.batch_size)], rng)

    def state(self) -> StreamState:
        return {"position": np.array(self.queue.position)}

    def load_state(self, state: StreamState) -> None:
        self.queue.position = int(state["position"].item())


class MaskedLMModule(nn.Module):
    """The likelihoods of hidden pieces and, of pairs, of whether they are neighbours."""

    def __init__(self, encoder: Encoder, objective: MaskedLMObjective) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective

    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """batch: see `MaskedLMText.make_batch`. Nothing is carried."""
        scores = self.score(batch)
        nll = {
            name: F.cross_entropy(logits, targets, reduction="sum")
            for name, (logits, targets) in scores.items()
        }
        n_targets = {name: len(targets) for name, (_, targets) in scores.items()}
        return StepOutput(Losses(nll, n_targets), {})

    def score(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """By name, the scores of all classes, and the right ones: (n, n_classes), (n,)."""
        segments = {"segments": batch["segments"]} if "segments" in batch else {}
        layers = self.encoder(batch["ids"], batch["mask"], **segments)
        scores = {"masked": self.objective.score(layers, batch["targets"], batch["mask"])}
        if self.objective.next_sentence is not None:
            logits = self.objective.next_sentence(layers[-1], batch["mask"])
            targets = torch.where(batch["is_next"], IS_NEXT, IS_OTHER)
            scores["next_sentence"] = logits.to(layers[-1].dtype), targets
        return scores


def check_sizes(
    encoder: Encoder, objective: MaskedLMObjective, *, batch_size: int, max_pieces: int
) -> None:
    """Refuse sequences that the encoder cannot read."""
    if batch_size < 1:
        raise ValueError(Errors.E171.format(name="batch_size", value=batch_size, least=1))
    max_length = encoder.max_length
    if max_pieces < LEAST or (max_length is not None and max_pieces > max_length):
        raise ValueError(
            Errors.E184.format(max_pieces=max_pieces, least=LEAST, max_length=max_length)
        )
    if objective.next_sentence is not None:
        check_segments(cast(TransformerEncoder, encoder).segment_embedding)
