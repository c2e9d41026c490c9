"""Training a Transformer to predict hidden pieces, and perhaps whether texts follow each other.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", section 3.1; masks are drawn anew whenever a text is read, as in Liu et al. 2019,
"RoBERTa", section 4.1.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ....encoders import Encoder, TransformerEncoder
from ....encoders.bert_transformer import check_segments
from ....errors import Errors
from ....objectives import MaskedLMObjective
from ....objectives.base import Losses, wrong_encoder
from ....objectives.masked_lm_loss import IS_NEXT, IS_OTHER
from ....objectives.masking import Masking
from ....pieces.base import Ids, Pieces
from ....pieces.subwords import SubwordPieces
from ..base import Batch, Carried, Data, StepOutput, validate_least
from ..shuffled_task import LEAST, ShuffledTask
from .batches import MaskedLMText
from .examples import SentencePairs, Sequences


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


class MaskedLMTask(ShuffledTask):
    """Sequences of neighbouring sentences or, where the objective has a head for them, pairs.

    boundaries: the pieces before and after a text.
    """

    loss_weights = {"masked": 1.0, "next_sentence": 1.0}

    def __init__(
        self,
        encoder: Encoder,
        objective: MaskedLMObjective,
        settings: PretrainMaskedLM,
        boundaries: tuple[Ids, Ids],
        data: Data,
    ) -> None:
        super().__init__()
        has_pairs = objective.next_sentence is not None
        make_examples = SentencePairs if has_pairs else Sequences
        self.encoder = encoder
        self.objective: MaskedLMObjective = objective
        self.text, self.held_out = (
            MaskedLMText(
                store,
                make_examples(store, max_pieces=settings.max_pieces),
                objective.masking,
                boundaries,
            )
            for store in (data.store, data.held_out)
        )
        self.batch_size = settings.batch_size
        self.seed = data.seed
        self.scores = ["masked", "masked_accuracy", *["next_sentence_accuracy"] * has_pairs]

    def count_words(self, batch: Batch) -> int:
        return int(batch["mask"].sum())

    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """batch: see `MaskedLMText.make_batch`. Nothing is carried."""
        found = self._classify(batch)
        nll = {name: F.cross_entropy(*pair, reduction="sum") for name, pair in found.items()}
        return StepOutput(Losses(nll, {name: len(right) for name, (_, right) in found.items()}), {})

    def score(self, batch: Batch) -> Losses:
        """Of hidden pieces, nats and how many are found; of pairs, how many are told rightly."""
        found = self._classify(batch)
        scores = {"masked": F.cross_entropy(*found["masked"], reduction="sum")}
        n_targets = {"masked": len(found["masked"][1])}
        for name, (logits, right) in found.items():
            scores[f"{name}_accuracy"] = (logits.argmax(dim=-1) == right).sum()
            n_targets[f"{name}_accuracy"] = len(right)
        return Losses(scores, n_targets)

    def _classify(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """By name, the scores of all classes, and the right ones: (n, n_classes), (n,)."""
        segments = {"segments": batch["segments"]} if "segments" in batch else {}
        layers = self.encoder(batch["ids"], batch["mask"], **segments)
        found = {"masked": self.objective.score(layers, batch["targets"], batch["mask"])}
        if self.objective.next_sentence is not None:
            logits = self.objective.next_sentence(layers[-1], batch["mask"])
            right = torch.where(batch["is_next"], IS_NEXT, IS_OTHER)
            found["next_sentence"] = logits.to(layers[-1].dtype), right
        return found
