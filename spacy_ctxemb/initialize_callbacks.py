"""Callbacks for [initialize.before_init]."""

from collections.abc import Callable

from spacy.language import Language
from thinc.api import Model

from .cache.feature_cache import FeatureCache
from .component import ContextualEmbedder
from .errors import Errors
from .finetuning.frozen_layers_and_rates import LayerTraining
from .pieces.registered_vocabulary_loaders import read_vocabulary
from .pieces.subwords import SubwordPieces
from .schedules import Schedule, as_function
from .thinc_model.embedder_shim import find_shims


def build_use_cache(
    *, cache: FeatureCache, component: str = "ctxemb"
) -> Callable[[Language], Language]:
    """`spacy-ctxemb.UseCache.v1`: give a component a cache for this training alone.

    For a component that is taken by `source`, whose settings stand in its own pipeline.

    cache: a `spacy-ctxemb.FeatureCache.v1`.
    component: the name of the component. Raises E257 if it is no `ctxemb`.
    """

    def use_cache(nlp: Language) -> Language:
        get_embedder(nlp, component).cache = cache
        return nlp

    return use_cache


def build_use_rates(
    *,
    component: str = "ctxemb",
    learn_rate_factor: float = 1.0,
    layer_decay: float = 1.0,
    freeze_layers: int | Schedule = 0,
) -> Callable[[Language], Language]:
    """`spacy-ctxemb.UseRates.v1`: let an encoder learn at rates of its own in this training alone.

    For a component that is taken by `source`, whose settings stand in its own pipeline: new
    components on top want a much larger rate than weights that have learned already.

    component: the name of the component. Raises E257 if it is no `ctxemb`.
    learn_rate_factor, layer_decay, freeze_layers: as of ContextualTok2Vec.v1; of each encoder.
    """

    def use_rates(nlp: Language) -> Language:
        frozen = freeze_layers if isinstance(freeze_layers, int) else as_function(freeze_layers)
        training = LayerTraining(frozen, layer_decay, learn_rate_factor)
        for shim in find_shims(get_embedder(nlp, component).model):
            training.check(shim.embedder.encoder)
            shim.layer_training = training
        return nlp

    return use_rates


def get_embedder(nlp: Language, name: str) -> ContextualEmbedder:
    """The component of this name. Raises E257 if it is no `ctxemb`."""
    pipe = nlp.get_pipe(name) if name in nlp.component_names else None
    if not isinstance(pipe, ContextualEmbedder):
        names = [n for n, p in nlp.components if isinstance(p, ContextualEmbedder)]
        raise ValueError(Errors.E257.format(name=name, names=names))
    return pipe


def build_load_pieces(*, path: str | None) -> Callable[[Language], Language]:
    """`spacy-ctxemb.LoadPieces.v1`: give every encoder of subword pieces its vocabulary.

    It works for `spacy train` and `spacy pretrain`, and for encoders inside other components.

    path: a file that `python -m spacy ctxemb train-pieces` wrote, or any tokenizer.json of the
        `tokenizers` library.
    """

    def load_pieces(nlp: Language) -> Language:
        vocabulary = read_vocabulary(path)
        models = [getattr(nlp.get_pipe(name), "model", None) for name in nlp.component_names]
        shims = [shim for model in models if isinstance(model, Model) for shim in find_shims(model)]
        found = [(s, s.pieces) for s in shims if isinstance(s.pieces, SubwordPieces)]
        if not found:
            raise ValueError(Errors.E133.format(names=nlp.component_names))
        for shim, pieces in found:
            # A trained encoder comes from another pipeline, with pieces of its own.
            if not shim.is_materialised:
                pieces.load(vocabulary, source=str(path))
        return nlp

    return load_pieces
