"""The encoders of components and pipelines, by name."""

from collections.abc import Iterator
from typing import Any

from spacy.language import Language
from thinc.api import Model

from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .stack import ALONE, get_members, is_encoder, is_stack


def name_encoders(model: Model[Any, Any], component: str) -> dict[str, EmbedderShim]:
    """The encoders of a component: under its name, or as COMPONENT.MEMBER in a Stack; where there
    are several of a name, with their numbers."""
    members = {
        shim.id: join_names(component, key)
        for node in model.walk()
        if is_stack(node)
        for key, member in get_members(node).items()
        for shim in find_shims(member)
    }
    named: dict[str, list[EmbedderShim]] = {}
    for shim in find_shims(model):
        named.setdefault(members.get(shim.id, component), []).append(shim)
    return {
        name if len(shims) == 1 else f"{name}.{i}": shim
        for name, shims in named.items()
        for i, shim in enumerate(shims)
    }


def join_names(component: str, member: str) -> str:
    """COMPONENT.MEMBER, or COMPONENT for an encoder that is not in a Stack."""
    return component if member == ALONE else f"{component}.{member}"


def list_encoders(nlp: Language) -> Iterator[tuple[str, EmbedderShim]]:
    """All encoders of a pipeline, as `name_encoders` names them."""
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            yield from name_encoders(model, name).items()


def is_of(name: str, component: str | None) -> bool:
    """Whether an encoder of this name is meant: by its own name or by its component's."""
    return component is None or name == component or name.startswith(f"{component}.")


def check_model(model: Model[Any, Any], name: str) -> None:
    """Raise E010 for a model that has more than encoders: its other layers would not be stored."""
    if not is_stack(model) and not is_encoder(model):
        raise ValueError(Errors.E010.format(name=name, model=model.name))


def require_single(model: Model[Any, Any], name: str, what: str, advice: str) -> None:
    """Raise E044 if a component has a Stack where `what` needs a single encoder."""
    members = list(get_members(model))
    if members != [ALONE]:
        raise ValueError(Errors.E044.format(what=what, name=name, members=members, advice=advice))
