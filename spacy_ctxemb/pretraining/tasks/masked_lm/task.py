"""Training a Transformer to predict hidden pieces, and perhaps whether texts follow each other.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1; masks are drawn anew whenever a text is read, as in Liu et al. 2019,
"RoBERTa", section 4.1.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....encoders import Encoder, TransformerEncoder
from ....encoders.bert_transformer import check_segments
from ....errors import Errors
from ....objectives import MaskedLMObjective
from ....objectives.base import Losses, Sums, wrong_encoder
from ....objectives.masking import Masking
from ....objectives.next_sentence_loss import IS_NEXT, IS_OTHER
from ....pieces.base import Ids, Pieces
from ....pieces.subwords import SubwordPieces
from ...text.shuffle import Queue
from ..base import Batch, Carried, Data, StepOutput, Task, seed_batch, to_device, validate_least
from ..shuffled_task import ShuffledStream
from .batches import MaskedLMText
from .examples import Sequences
from .sentence_pairs import SentencePairs

#: The seed of masks in evaluation, always the same.
EVALUATION = 0x3A5C

#: Pieces of the shortest sequences that may be asked for, boundaries included.
LEAST = 8


@dataclass(frozen=True, kw_only=True)
class PretrainMaskedLM:
    """`spacy-ctxemb.PretrainMaskedLM.v1`: predict hidden pieces.

    batch_size: sequences of a micro-batch. 16 to 256.
    max_pieces: of a sequence, boundaries included. 128 to 512; at most the encoder's max_length.
    share, whole_words, spans: what is hidden, see Masking.
    next_sentence: learn from pairs of texts too whether one follows the other, see SentencePairs;
        else sequences are neighbouring sentences.

    Raises E401 for a setting that is too low.

    Example:
        build_task = PretrainMaskedLM(batch_size=64, whole_words=True)
        build_task.validate(encoder, pieces)
        task = build_task(encoder, pieces, Data(store, held_out, seed=0))
    """

    other_pieces: ClassVar[dict[str, Pieces]] = {}

    batch_size: int = 32
    max_pieces: int = 128
    share: float = 0.15
    whole_words: bool = False
    spans: bool = False
    next_sentence: bool = False

    def __post_init__(self) -> None:
        validate_least(self, batch_size=1, max_pieces=LEAST)

    def validate(self, encoder: Encoder, pieces: Pieces) -> None:
        """Raise E430 for another encoder or other pieces, E413 for sequences that the encoder
        cannot read, E110 if it cannot read pairs, and what Masking raises."""
        with torch.device("meta"):  # no memory, and no random numbers
            self.build_objective(encoder, pieces)
        max_length = encoder.max_length
        if max_length is not None and self.max_pieces > max_length:
            raise ValueError(
                Errors.E413.format(max_pieces=self.max_pieces, least=LEAST, max_length=max_length)
            )
        if self.next_sentence:
            check_segments(cast(TransformerEncoder, encoder).segment_embedding)

    def __call__(self, encoder: Encoder, pieces: Pieces, data: Data) -> "MaskedLMTask":
        """Build the task. Raises what `validate` raises, and E412 if the text has no pairs."""
        self.validate(encoder, pieces)
        objective = self.build_objective(encoder, pieces)
        return MaskedLMTask(encoder, objective, self, pieces.boundaries, data)

    def build_objective(self, encoder: Encoder, pieces: Pieces) -> MaskedLMObjective:
        name = type(self).__name__
        masking = make_masking(pieces, encoder, name, self.share, self.whole_words, self.spans)
        return MaskedLMObjective(encoder, masking, next_sentence=self.next_sentence)


def make_masking(
    pieces: Pieces, encoder: Encoder, name: str, share: float, whole_words: bool, spans: bool
) -> Masking:
    """Make the masking of some pieces. Raises E430 with the name of a config's objective for
    pieces that are no subwords, and what Masking raises."""
    if not isinstance(pieces, SubwordPieces):
        raise wrong_encoder(name, "Transformer", encoder)
    special = sorted(pieces.special_ids)
    return Masking(pieces.mask_id, special, pieces.n_trained, share, whole_words, spans)


class MaskedLMTask(Task):
    """Sequences of neighbouring sentences or, where the objective has a head for them, pairs.

    boundaries: the pieces before and after a text.
    """

    loss_weights = {"masked": 1.0, "next_sentence": 1.0}
    module: "MaskedLMModule"

    def __init__(
        self,
        encoder: Encoder,
        objective: MaskedLMObjective,
        settings: PretrainMaskedLM,
        boundaries: tuple[Ids, Ids],
        data: Data,
    ) -> None:
        examples = Sequences if objective.next_sentence is None else SentencePairs
        self.module = MaskedLMModule(encoder, objective)
        self.objective = objective
        self.text, self.held_out = (
            MaskedLMText(
                store,
                examples(store, max_pieces=settings.max_pieces),
                objective.masking,
                boundaries,
            )
            for store in (data.store, data.held_out)
        )
        self.batch_size = settings.batch_size
        self.seed = data.seed

    def open_stream(self, shard: int, n_shards: int) -> ShuffledStream:
        n = len(self.text.examples)
        queue = Queue(n, seed=self.seed, shard=shard, n_shards=n_shards)
        return ShuffledStream(self.text, queue, batch_size=self.batch_size)

    def start(self) -> Carried:
        return {}

    def count_words(self, batch: Batch) -> int:
        return int(batch["mask"].sum())

    @torch.no_grad()
    def evaluate(self, rank: int, n_ranks: int) -> Sums:
        """Of hidden pieces, nats and how many are found; of pairs, how many are told rightly."""
        device = next(self.module.parameters()).device
        names = ["masked", "masked_accuracy"]
        if self.objective.next_sentence is not None:
            names.append("next_sentence_accuracy")
        # All names, also in a process that has no batch: all of them add up the same.
        sums: Sums = dict.fromkeys(names, (0.0, 0.0))
        firsts = range(0, len(self.held_out.examples), self.batch_size)
        for i in range(rank, len(firsts), n_ranks):
            last = min(firsts[i] + self.batch_size, len(self.held_out.examples))
            batch = self.held_out.make_batch(range(firsts[i], last), seed_batch(EVALUATION, i, 0))
            scores = self.module.score(to_device(batch, device))
            for name, (logits, targets) in scores.items():
                found = {f"{name}_accuracy": (logits.argmax(dim=-1) == targets).sum()}
                if name == "masked":
                    found[name] = F.cross_entropy(logits, targets, reduction="sum")
                for key, value in found.items():
                    total, n = sums[key]
                    sums[key] = total + float(value), n + len(targets)
        return sums


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
