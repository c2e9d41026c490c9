"""The first weights of a component's encoders, and the vocabularies of their pieces."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger
from torch import Tensor

from ..checkpoints.encoder_loader_type import EncoderLoader
from ..errors import Errors
from ..pieces.registered_vocabulary_loaders import PiecesLoader
from ..pretrained import AUTO, DEFAULT, FORMER, check_fit, fits, get_language, is_published
from ..remote.find_model import Found
from ..thinc_model.build_model import ContextualModel, needs_vocabulary, train_pieces
from ..thinc_model.embedder_shim import EmbedderShim
from ..torch_state import in_ordinary_torch
from .name_encoders import join_names, name_encoders, require_single


class Loaders(NamedTuple):
    """What reads the weights of an encoder and the vocabulary of its pieces, if anything does."""

    encoder_loader: EncoderLoader | None = None
    pieces_loader: PiecesLoader | None = None


class Initialised(NamedTuple):
    """random: the names of encoders with random weights. origins: of the others, where known."""

    random: list[str]
    origins: dict[str, Sequence[Found]]


def use_pretrained(
    model: ContextualModel, component: str, wanted: str | None, *, lang: str
) -> None:
    """Let an encoder begin with weights of the package.

    wanted: their name; AUTO for the default ones where they fit, and are of the language `lang`;
        None for none. Those of a published model are not taken here.
    Raises E044 for a Stack, E012 for weights that do not fit, E011 for a name that there is not.
    """
    shims = name_encoders(model, component)
    if wanted is None:
        return
    if wanted == AUTO:
        shim = shims.get(component)
        if shim and lang == get_language(DEFAULT) and fits(DEFAULT, shim.embedder.encoder):
            shim.use_pretrained(DEFAULT)
        return
    require_single(model, component, f"pretrained = '{wanted}'", "Set it to null.")
    if is_published(wanted):
        return
    if wanted not in FORMER:
        check_fit(wanted, shims[component].embedder.encoder, component)
    shims[component].use_pretrained(wanted)


def choose_loaders(
    model: ContextualModel,
    name: str,
    own: Loaders,
    of_members: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Loaders]:
    """The loaders of each encoder of a component, by the names of `name_encoders`.

    own: for a single encoder. of_members: "encoder_loader" and "pieces_loader" of each member of
    a Stack. Raises E045 where there is no such encoder.
    """
    given = {key: dict(loaders) for key, loaders in (of_members or {}).items()}
    known = all(set(loaders) <= set(Loaders._fields) for loaders in given.values())
    encoders = list(name_encoders(model, name))
    chosen = {name: own} if own != Loaders() else {}
    if known:
        chosen |= {join_names(name, key): Loaders(**loaders) for key, loaders in given.items()}
    if not known or not set(chosen) <= set(encoders):
        found: object = {key: list(some) for key, some in given.items()}
        expected = f"the encoders {[encoder.removeprefix(f'{name}.') for encoder in encoders]}"
        if encoders == [name]:
            found, expected = list(given), "a single encoder"
        elif own != Loaders():
            found = "itself"
        raise ValueError(Errors.E045.format(name=name, found=found, expected=expected))
    return {encoder: chosen.get(encoder, Loaders()) for encoder in encoders}


def initialise(
    model: ContextualModel,
    name: str,
    sample: list[Doc],
    get_examples: Callable[[], Iterable[Example]],
    loaders: Mapping[str, Loaders],
) -> Initialised:
    """Give all encoders of a component their weights.

    sample: Docs from which shapes are inferred. loaders: see `choose_loaders`.
    """
    shims = name_encoders(model, name)
    loaded = {
        key: load(shim, name, find_section(name, key), get_examples, loaders[key])
        for key, shim in shims.items()
    }
    for key, shim in shims.items():
        shim.discard_parameters()
        shim.awaits_pretrained = shim.pretrained is not None and loaded[key] is None
    model.initialize(X=sample)
    for key, shim in shims.items():
        tensors = loaded[key]
        if tensors is not None:
            shim.load_encoder(tensors)
    return Initialised(
        [key for key, shim in shims.items() if loaded[key] is None and not shim.pretrained],
        {key: getattr(tensors, "origins", []) for key, tensors in loaded.items()},
    )


def find_section(name: str, key: str) -> str:
    section = f"components.{name}.model"
    return section if key == name else f"{section}.members.{key.removeprefix(f'{name}.')}"


@in_ordinary_torch
def load(
    shim: EmbedderShim,
    name: str,
    section: str,
    get_examples: Callable[[], Iterable[Example]],
    loaders: Loaders,
) -> dict[str, Tensor] | None:
    """Give pieces a vocabulary, and read the weights of an encoder where something does."""
    if loaders.pieces_loader is not None:
        loaders.pieces_loader(shim.pieces, section)
        shim.pieces_from_sample = False
    tensors = None
    if loaders.encoder_loader is not None:
        tensors = loaders.encoder_loader(shim.embedder.encoder, shim.pieces, section)
    if shim.has_loaded and tensors is None:
        warnings.warn(Errors.W003.format(name=name), stacklevel=4)
    if needs_vocabulary(shim):
        train_pieces(shim, [eg.x for eg in get_examples()])
    return tensors


def warn_of_random_weights(names: Iterable[str], lang: str) -> None:
    """Say that the package has no weights for encoders that were to begin with them."""
    for name in names:
        logger.warning(Errors.W002.format(name=name, lang=lang, language=get_language(DEFAULT)))
