"""The encoders of the component `ctxemb`, be it one or those of a Stack: names, weights, files."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from spacy.tokens import Doc
from spacy.training import Example
from thinc.types import Floats2d
from torch import Tensor

from ..cache.feature_cache import FeatureCache, Features, find_obstacle
from ..checkpoints.loaders import EncoderLoader
from ..errors import Errors
from ..files import replacing
from ..pieces.load import PiecesLoader
from ..pretrained import AUTO, DEFAULT, check_fit, fits, get_language
from ..thinc_model.embedder_shim import EmbedderShim, Wanted
from ..thinc_model.model import (
    ContextualModel,
    find_shims,
    get_shim,
    needs_vocabulary,
    train_pieces,
)
from .stack import combine_members, find_mix, get_members, is_stack


class Loaders(NamedTuple):
    """What reads the weights of an encoder and the vocabulary of its pieces, if anything does."""

    encoder: EncoderLoader | None = None
    pieces: PiecesLoader | None = None


def name_shims(model: ContextualModel, name: str) -> dict[str, EmbedderShim]:
    """The encoder of a component under its name, or those of a Stack as NAME.MEMBER."""
    if not is_stack(model):
        return {name: get_shim(model)}
    named = {}
    for key, member in get_members(model).items():
        shims = find_shims(member)
        for i, shim in enumerate(shims):
            named[f"{name}.{key}" if len(shims) == 1 else f"{name}.{key}.{i}"] = shim
    return named


def check_model(model: ContextualModel, name: str) -> None:
    """Refuse what is more than an encoder, whose other layers would not be stored."""
    if not is_stack(model) and not is_encoder(model):
        raise ValueError(Errors.E212.format(name=name, model=model.name))


def refuse_stack(model: ContextualModel, name: str, what: str, advice: str) -> None:
    """Refuse what a Stack cannot do."""
    if is_stack(model):
        members = list(get_members(model))
        raise ValueError(Errors.E131.format(what=what, name=name, members=members, advice=advice))


def use_pretrained(
    model: ContextualModel, component: str, wanted: str | None, *, lang: str
) -> None:
    """Let an encoder begin with weights of the package.

    wanted: their name; AUTO for the default ones where they fit, and are of the language `lang`;
        None for none.
    """
    if wanted is None or (wanted == AUTO and is_stack(model)):
        return
    refuse_stack(model, component, f"pretrained = '{wanted}'", "Set it to null.")
    shim = get_shim(model)
    if wanted != AUTO:
        check_fit(wanted, shim.embedder.encoder, component)
        shim.use_pretrained(wanted)
    elif lang == get_language(DEFAULT) and fits(DEFAULT, shim.embedder.encoder):
        shim.use_pretrained(DEFAULT)


def choose_loaders(
    model: ContextualModel,
    name: str,
    own: Loaders,
    of_members: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Loaders]:
    """The loaders of each encoder of a component, by the names of `name_shims`.

    of_members: "encoder_loader" and "pieces_loader" of each member of a Stack.
    """
    given = {key: dict(loaders) for key, loaders in (of_members or {}).items()}
    names = list(name_shims(model, name))
    chosen = {f"{name}.{key}": build_loaders(loaders) for key, loaders in given.items()}
    has_own = own != Loaders()
    known = all(set(loaders) <= {"encoder_loader", "pieces_loader"} for loaders in given.values())
    if is_stack(model):
        if has_own or not known or not set(chosen) <= set(names):
            found = "itself" if has_own else {key: list(loaders) for key, loaders in given.items()}
            expected = f"the encoders {[key.removeprefix(f'{name}.') for key in names]}"
            raise ValueError(Errors.E132.format(name=name, found=found, expected=expected))
        return {key: chosen.get(key, Loaders()) for key in names}
    if given:
        raise ValueError(
            Errors.E132.format(name=name, found=list(given), expected="a single encoder")
        )
    return {name: own}


def build_loaders(given: Mapping[str, Any]) -> Loaders:
    return Loaders(given.get("encoder_loader"), given.get("pieces_loader"))


def initialise(
    model: ContextualModel,
    name: str,
    sample: list[Doc],
    get_examples: Callable[[], Iterable[Example]],
    loaders: Mapping[str, Loaders],
) -> None:
    """Give all encoders of a component their weights.

    sample: Docs from which shapes are inferred. loaders: see choose_loaders.
    """
    shims = name_shims(model, name)
    loaded = {
        key: load(shim, name, find_section(name, key), get_examples, loaders[key])
        for key, shim in shims.items()
    }
    for shim in shims.values():
        shim.discard_parameters()
    model.initialize(X=sample)
    for key, shim in shims.items():
        tensors = loaded[key]
        if tensors is not None:
            shim.load_encoder(tensors)


def find_section(name: str, key: str) -> str:
    """The section of the config that an encoder's model stands in."""
    section = f"components.{name}.model"
    return section if key == name else f"{section}.members.{key.removeprefix(f'{name}.')}"


def load(
    shim: EmbedderShim,
    name: str,
    section: str,
    get_examples: Callable[[], Iterable[Example]],
    loaders: Loaders,
) -> dict[str, Tensor] | None:
    """Give pieces a vocabulary, and read the weights of an encoder where something does."""
    if loaders.pieces is not None:
        loaders.pieces(shim.pieces, section)
        shim.pieces_from_sample = False
    tensors = None
    if loaders.encoder is not None:
        tensors = loaders.encoder(shim.embedder.encoder, shim.pieces, section)
    if shim.has_loaded and tensors is None:
        warnings.warn(Errors.W002.format(name=name), stacklevel=4)
    if needs_vocabulary(shim):
        train_pieces(shim, [eg.x for eg in get_examples()])
    return tensors


def predict_members(
    model: ContextualModel, docs: list[Doc], cache: FeatureCache | None
) -> list[Floats2d]:
    """The vectors of each Doc by a Stack, those of its encoders from a cache where they can be."""
    if cache is None or not any(len(doc) for doc in docs):
        return model.predict(docs)
    outputs = [predict_member(member, docs, cache) for member in model.layers]
    return combine_members(model, docs, outputs, is_train=False)[0]


def predict_member(member: ContextualModel, docs: list[Doc], cache: FeatureCache) -> list[Floats2d]:
    """The vectors of each Doc by one member."""
    shims = find_shims(member)
    # What other layers of a member make of vectors is not in the key of the cache.
    if not is_encoder(member) or find_obstacle(shims[0], Wanted()):
        return member.predict(docs)

    def encode(docs: list[Doc]) -> list[Features]:
        return [
            Features(cast(Any, member.ops.to_numpy(found)), None) for found in member.predict(docs)
        ]

    found = cache.predict(shims[0], docs, encode, with_layers=False)
    return [member.ops.asarray2f(cast(Any, features.vectors)) for features in found]


def to_disk(model: ContextualModel, path: Path) -> None:
    """Write an encoder into a directory, or each of a Stack into one of its own."""
    if not is_stack(model):
        get_shim(model).to_disk(path)
        return
    path.mkdir(parents=True, exist_ok=True)
    for name, member in get_members(model).items():
        if is_encoder(member):
            get_shim(member).to_disk(path / name)
        else:
            write(path / f"{name}.bin", member.to_bytes())
    for shim in find_mix(model):
        write(path / "mix.safetensors", shim.to_bytes())


def from_disk(model: ContextualModel, path: Path) -> None:
    """Read what `to_disk` has written."""
    if not is_stack(model):
        get_shim(model).from_disk(path)
        return
    members = get_members(model)
    expected = [list_files(name, member) for name, member in members.items()]
    expected += ["mix.safetensors" for _ in find_mix(model)]
    if not all((path / file).exists() for file in expected):
        raise ValueError(Errors.E133.format(members=list(members)))
    for name, member in members.items():
        if is_encoder(member):
            get_shim(member).from_disk(path / name)
        else:
            member.from_bytes((path / f"{name}.bin").read_bytes())
    for shim in find_mix(model):
        shim.from_bytes((path / "mix.safetensors").read_bytes())


def is_encoder(member: ContextualModel) -> bool:
    """Whether a model is an encoder alone, with files of its own."""
    return bool(member.shims) and member.shims == cast(Sequence[Any], find_shims(member))


def list_files(name: str, member: ContextualModel) -> str:
    """What stands in the directory of a Stack for a member."""
    return name if is_encoder(member) else f"{name}.bin"


def write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)
