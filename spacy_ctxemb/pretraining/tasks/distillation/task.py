"""Training a small encoder, the pupil, on what a larger one makes of texts.

Source: see objectives/distillation_loss.py.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ....embedder.layer_mix import LayerMix
from ....encoders import Encoder, TransformerEncoder
from ....errors import Errors
from ....objectives import DistilObjective, MaskedLMObjective
from ....objectives.base import Losses, wrong_encoder
from ....objectives.distillation_loss import COSINE, MASKED, RELATIONS, TEXTS, TOKENS, USES, Answer
from ....objectives.masking import Masking
from ....pieces.base import Pieces
from ....windows.pieces_to_windows import N_BOUNDARIES
from ..base import Batch, Carried, Data, StepOutput, validate_least
from ..masked_lm.task import make_masking
from ..shuffled_task import LEAST, ShuffledTask
from .batches import DistilText, Side, get_reading
from .initial_table import fill_table, get_table
from .mean_of_layers import MeanOfLayers
from .teacher import Teacher, load_teacher

LOSSES = (TOKENS, TEXTS, RELATIONS, USES, MASKED)

#: The name of the teacher's pieces among those in which the text is stored.
TEACHER = "teacher"


@dataclass(frozen=True, kw_only=True)
class Distil:
    """`spacy-ctxemb.Distil.v1`: learn from a teacher's vectors of words and texts.

    Vocabularies and kinds of pieces may differ: words are compared, each the mean of its pieces.

    teacher: the folder of a pipeline of this package, or its name where it is installed.
    batch_size: texts of a micro-batch. 16 to 128.
    max_pieces: of a text, boundaries included, for pupil and teacher; where one of them has a lower
        max_length, that. 64 to 256.
    tokens: the weight of the error of words: the mean square of what a linear layer makes of a
        word's vector less what the teacher has there. 1.0; each weight may be 0, which leaves its
        loss out.
    texts: that of the error of texts: 1 - cosine between what a linear layer makes of the mean of a
        text's words and the teacher's vector of the text. 1.0.
    relations: that of the error of similarities, the mean square of differences of cosines: of all
        words of a text to one another, and of all texts of a micro-batch. 1.0.
    uses: that of the error of how alike two uses of a word are, in a micro-batch: the mean square
        of differences of cosines. It keeps the senses of a word apart. 1.0.
    masked: that of masked language modelling, for Transformer.v1. 0.0 to 0.3.
    layers: which layers of the pupil make the vector of a word, by their mean; null for the mix of
        its pipeline.
    teacher_layers: which layers of the teacher are targets; null for the middle and the last one.
        Below 0 they count from the end.
    masked_texts: in which share of the texts pieces are hidden, for `masked`. 0.25.
    share, whole_words: what is hidden of these, see Masking.
    initial_table: whether the pupil's table of pieces begins with what the teacher makes of each
        piece alone, rather than with random values.

    Raises E401 for a setting that is too low, E468 for weights that leave nothing to learn, E470
    for a share of texts that is none.

    Example:
        build_task = Distil(teacher="minilm", initial_table=True)
        build_task.validate(encoder, pieces)
        task = build_task(encoder, pieces, data)  # data.others: the text in build_task.other_pieces
    """

    teacher: str | None
    batch_size: int = 32
    max_pieces: int = 128
    tokens: float = 1.0
    texts: float = 1.0
    relations: float = 1.0
    uses: float = 1.0
    masked: float = 0.0
    layers: list[int] | None = None
    teacher_layers: list[int] | None = None
    masked_texts: float = 0.25
    share: float = 0.15
    whole_words: bool = False
    initial_table: bool = False

    def __post_init__(self) -> None:
        validate_least(self, batch_size=1, max_pieces=LEAST)
        weights = {name: getattr(self, name) for name in LOSSES}
        is_valid = all(0 <= weight < np.inf for weight in weights.values())
        if not is_valid or not any(weights[name] for name in LOSSES if name != MASKED):
            raise ValueError(Errors.E468.format(weights=weights))
        if not 0 < self.masked_texts <= 1:
            raise ValueError(Errors.E470.format(value=self.masked_texts))

    @property
    def loss_weights(self) -> dict[str, float]:
        weights = {name: getattr(self, name) for name in LOSSES}
        return {name: weight for name, weight in weights.items() if weight}

    @cached_property
    def loaded_teacher(self) -> Teacher:
        """The teacher. Raises what load_teacher raises."""
        return load_teacher(self.teacher, layers=self.teacher_layers)

    @property
    def other_pieces(self) -> dict[str, Pieces]:
        return {TEACHER: self.loaded_teacher.pieces}

    def validate(self, encoder: Encoder, pieces: Pieces) -> None:
        """Raise what load_teacher raises, E430 if there is no masked language modelling for the
        encoder, E469 if it has no table for `initial_table`, E150 for layers that it has not."""
        self.build_mix(encoder, None)
        if self.initial_table:
            get_table(encoder, pieces)
        self.make_masking(encoder, pieces)
        self.find_limits(encoder)

    def __call__(self, encoder: Encoder, pieces: Pieces, data: Data) -> "DistilTask":
        """Build the task. Raises what `validate` raises, and E417 for texts with other words."""
        self.validate(encoder, pieces)
        if self.initial_table and not data.has_weights:
            fill_table(encoder, pieces, self.loaded_teacher)
        return DistilTask(encoder, pieces, self, data)

    def build_mix(self, encoder: Encoder, mix: LayerMix | None) -> LayerMix:
        """Build what makes one vector of the pupil's layers. mix: of its pipeline. Raises E150."""
        if self.layers is None and mix is not None:
            return deepcopy(mix).requires_grad_(False)
        return MeanOfLayers(encoder.n_layers, encoder.width, layers=self.layers)

    def make_masking(self, encoder: Encoder, pieces: Pieces) -> Masking | None:
        """Make what hides pieces, if any are hidden. Raises E430, and what Masking raises."""
        if not self.masked:
            return None
        name = f"{type(self).__name__} with masked = {self.masked}"
        if not isinstance(encoder, TransformerEncoder):
            raise wrong_encoder(name, "Transformer", encoder)
        return make_masking(pieces, encoder, name, self.share, self.whole_words, False)

    def find_limits(self, encoder: Encoder) -> tuple[int, int]:
        """Find how many pieces of a text the pupil reads at most, and how many the teacher.

        Raises E413 for an encoder that reads fewer than LEAST.
        """
        teacher = self.loaded_teacher.embedder.encoder
        lengths = [
            self.max_pieces if e.max_length is None else e.max_length for e in (encoder, teacher)
        ]
        if min(lengths) < LEAST:
            raise ValueError(
                Errors.E413.format(max_pieces=self.max_pieces, least=LEAST, max_length=min(lengths))
            )
        pupil, other = (min(self.max_pieces, length) for length in lengths)
        return pupil, other


class DistilTask(ShuffledTask):
    """Texts in the pieces of pupil and teacher, and the errors of what the pupil makes of them."""

    def __init__(self, encoder: Encoder, pieces: Pieces, settings: Distil, data: Data) -> None:
        super().__init__()
        teacher = settings.loaded_teacher
        mix = settings.build_mix(encoder, data.mix)
        masking = settings.make_masking(encoder, pieces)
        self.loss_weights = settings.loss_weights
        self.encoder = encoder
        self.objective: DistilObjective = DistilObjective(
            losses=[name for name in self.loss_weights if name != MASKED],
            width=mix.width,
            word_widths=teacher.word_widths,
            text_width=teacher.embedder.width,
            teacher=teacher.digest,
            masked=None if masking is None else MaskedLMObjective(encoder, masking),
        )
        # In a list, so that their parameters, which stay as they are, are not this module's too.
        self.fixed = [(mix, teacher)]
        own = (data.store, data.held_out)
        self.text, self.held_out = (
            DistilText(
                Side(store, pieces),
                Side(other, teacher.pieces),
                max_pieces=settings.find_limits(encoder),
                masking=masking,
                masked_texts=settings.masked_texts,
                numbers_words=USES in self.loss_weights,
            )
            for store, other in zip(own, data.others[TEACHER], strict=True)
        )
        self.batch_size = settings.batch_size
        self.seed = data.seed
        self.scores = [*self.loss_weights, *([COSINE] if TOKENS in self.loss_weights else [])]

    def count_words(self, batch: Batch) -> int:
        return int(batch["n_words"].sum())

    def forward(self, batch: Batch, carried: Carried) -> StepOutput:
        """batch: see `DistilText.make_batch`. Nothing is carried."""
        return StepOutput(self._compare(batch, *self._read(batch)), {})

    def score(self, batch: Batch) -> Losses:
        """Compute all losses and, where words are compared, their cosines with the targets."""
        words, answer = self._read(batch)
        losses = self._compare(batch, words, answer)
        if TOKENS in losses.nll:
            losses.nll[COSINE] = self.objective.sum_cosines(words, answer)
            losses.n_targets[COSINE] = len(words)
        return losses

    def _read(self, batch: Batch) -> tuple[Tensor, Answer]:
        """The pupil's vectors of words, (W, D), and what the teacher has to say."""
        ((mix, teacher),) = self.fixed
        wanted = set(self.objective.losses)
        answer = teacher(
            get_reading(batch, "teacher"),
            wants_words=bool(wanted & {TOKENS, RELATIONS, USES}),
            wants_texts=bool(wanted & {TEXTS, RELATIONS}),
        )
        reading = get_reading(batch, "pupil")
        self.encoder.reset_state()
        layers = self.encoder(reading.ids, reading.mask)
        pieces = torch.stack([layers[i][reading.pieces] for i in mix.layers])  # (l, P, D)
        mixed = mix.to(pieces.device)(pieces, reading.mask.sum(dim=1) - N_BOUNDARIES)
        return reading.pool_words(mixed), answer

    def _compare(self, batch: Batch, words: Tensor, answer: Answer) -> Losses:
        losses = self.objective.compare(words, answer, batch["n_words"], batch.get("numbers"))
        masked = self.objective.masked
        if masked is not None:
            layers = self.encoder(batch["masked_ids"], batch["masked_mask"])
            found = masked(layers, batch["masked_targets"], batch["masked_mask"])
            losses.nll.update(found.nll)
            losses.n_targets.update(found.n_targets)
        return losses
