"""The teacher: a pipeline of this package, and what it makes of texts."""

import hashlib
from collections.abc import Sequence

import spacy
import torch
from spacy.language import Language
from torch import Tensor
from torch.nn import functional as F

from ....component import ContextualEmbedder
from ....embedder.embedder import Embedder
from ....embedder.text_pooling import pool_groups
from ....encoders import Encoder
from ....errors import Errors
from ....objectives.distillation_loss import Answer
from ....pieces.base import Pieces
from ....read_files import reading
from ....thinc_model.parameter_values import compute_digest
from ...spacy_pretrain_objectives import get_pretrained_shim
from .batches import Reading
from .mean_of_layers import check_layers

#: How vectors of texts are made where the pipeline makes none.
POOLING = "mean"


class Teacher:
    """Answers with the vectors of words and texts, without gradients and without dropout.

    layers: those whose words are targets, from 0. doc_pooling: how it makes vectors of texts.

    Example:
        teacher = load_teacher("minilm", layers=None)
        answer = teacher(reading, wants_words=True, wants_texts=True)
    """

    def __init__(
        self, embedder: Embedder, pieces: Pieces, *, layers: list[int], doc_pooling: str
    ) -> None:
        self.embedder = embedder.eval()
        self.pieces = pieces
        self.layers = layers
        self.doc_pooling = doc_pooling

    @property
    def word_widths(self) -> list[int]:
        return [self.embedder.encoder.width] * len(self.layers)

    @property
    def digest(self) -> str:
        """A digest of all that its answers depend on."""
        settings = [self.layers, self.doc_pooling, self.embedder.encoder.settings]
        found = hashlib.blake2b(compute_digest(self.embedder), digest_size=16)
        found.update(repr([*settings, self.pieces.content]).encode("utf8", "surrogatepass"))
        return found.hexdigest()

    @torch.no_grad()
    def __call__(self, reading: Reading, *, wants_words: bool, wants_texts: bool) -> Answer:
        device = reading.ids.device
        encoder = self.embedder.to(device).encoder
        encoder.reset_state()
        use_precision(encoder, device.type)
        words = texts = None
        with torch.autocast(device.type, enabled=False):
            layers = encoder(reading.ids, reading.mask)
            if wants_words:
                pooled = [reading.pool_words(layers[i][reading.pieces]) for i in self.layers]
                words = [normalise(vectors) for vectors in pooled]
            if wants_texts:
                texts = self._pool_texts(layers, reading)
        return Answer(words, texts)

    def _pool_texts(self, layers: tuple[Tensor, ...], reading: Reading) -> Tensor:
        """Make the vector of each text as the pipeline does, with length 1. (B, width)"""
        mix, sizes = self.embedder.mix, reading.mask.sum(dim=1)
        stacked = torch.stack([layers[i].float() for i in mix.layers])
        n_windows = torch.ones_like(sizes)
        if mix.whole_documents and not mix.whole_batch:  # leaves boundaries out
            pieces = mix(stacked[:, reading.pieces], sizes - 2)
            ends, n_windows = pieces.new_zeros(0, 2, pieces.size(1)), torch.zeros_like(sizes)
        else:
            mixed, last = mix(stacked, sizes), sizes.cumsum(0) - 1
            pieces = mixed[reading.pieces]
            ends = mixed[torch.stack([last - sizes + 1, last], dim=1)]  # (B, 2, D)
        pooled = pool_groups(pieces, ends, sizes - 2, n_windows, self.doc_pooling)
        if self.embedder.projection is not None:
            pooled = self.embedder.projection(pooled)
        return F.normalize(pooled.float())


def use_precision(encoder: Encoder, device_type: str) -> None:
    """Set the precision of inference: bf16 where torch.autocast has it, if the encoder has it."""
    is_cast = torch.is_autocast_enabled(device_type)
    is_bf16 = is_cast and torch.get_autocast_dtype(device_type) == torch.bfloat16
    precision = "bf16" if is_bf16 and "bf16" in encoder.precisions else encoder.precisions[0]
    if encoder.precision != precision:
        encoder.set_precision(precision)


def normalise(words: Tensor) -> Tensor:
    """Normalise each row to mean 0 and deviation 1. (W, D)"""
    return F.layer_norm(words, words.shape[1:])


def load_teacher(path: str | None, *, layers: Sequence[int] | None) -> Teacher:
    """Load the teacher from a pipeline. layers: see Teacher, from the end where below 0; None for
    the middle and the last one.

    Raises E466 for no path, E163 for what spaCy cannot load, E467 for a pipeline without exactly
    one component of contextual vectors, E150 for layers that it has not, and what
    get_pretrained_shim raises.
    """
    if path is None:
        raise ValueError(Errors.E466)
    nlp = load_pipeline(path)
    pipes = {name: pipe for name, pipe in nlp.pipeline if isinstance(pipe, ContextualEmbedder)}
    if len(pipes) != 1:
        raise ValueError(Errors.E467.format(path=path, names=nlp.pipe_names, found=[*pipes]))
    (pipe,) = pipes.values()
    shim = get_pretrained_shim(pipe.model)
    shim.check_materialised()
    n_layers = shim.embedder.encoder.n_layers
    chosen = [n_layers // 2, n_layers - 1] if layers is None else layers
    return Teacher(
        shim.embedder,
        shim.pieces,
        layers=check_layers(chosen, n_layers),
        doc_pooling=pipe.doc_pooling or POOLING,
    )


def load_pipeline(path: str) -> Language:
    """Load a pipeline. Raises E163 for what spaCy cannot load."""
    expected = "a pipeline with a teacher"
    advice = "Pass the folder of a pipeline, such as `ctxemb import bert` writes."
    try:
        with reading(path, expected, advice=advice):
            return spacy.load(path)
    except OSError as error:  # spaCy's own, with a code of spaCy
        message = Errors.E163.format(path=path, expected=expected, reason=error, advice=advice)
        raise ValueError(message) from error
