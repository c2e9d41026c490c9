"""Several encoders at once, as one model."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..cache.feature_cache import FeatureCache, find_obstacle
from ..embedder.output_types import VECTORS, Wanted
from ..errors import Errors
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.docs_to_outputs import Backprop, Outputs, embed_docs, forget, to_vectors
from ..thinc_model.embedder_shim import find_shims, get_shim
from ..torch_state import in_ordinary_torch
from .join_members import MemberMixShim, concatenate, find_mix, mix

COMBINE = ("concat", "mix")

#: The name of an encoder that is not in a Stack.
ALONE = ""


class StackModel(Model[list[Doc], list[Floats2d]]):
    """A Thinc model that says what is wrong with weights of another structure."""

    def from_dict(self, msg: dict[str, Any]) -> "StackModel":
        # Its own name holds those of its members, and how they are combined.
        if [node["name"] for node in msg["nodes"]] != [node.name for node in self.walk()]:
            raise ValueError(Errors.E046.format(members=list(get_members(self))))
        super().from_dict(msg)
        return self


def build_stack(
    *, members: dict[str, Any], combine: str = "concat", width: int | None = None
) -> ContextualModel:
    """`spacy-ctxemb.Stack.v1`: the vectors of several models for each token, as one.

    members: by names, ContextualTok2Vec.v1, StaticVectors.v1 or other models of known width that
        give each Doc one matrix. Their order is that of their names, so that the order of the
        sections of a config has no meaning.
    combine: "concat" for vectors side by side; "mix" for a learned weighted sum of
        projections.
    width: with "mix", of the result; null for that of the members, where it is the same.
    """
    members = {name: members[name] for name in sorted(members)}
    check_members(members)
    if combine not in COMBINE:
        raise ValueError(Errors.E040.format(combine=combine, options=list(COMBINE)))
    widths = [member.get_dim("nO") for member in members.values()]
    chosen = choose_width(widths, combine, width)
    return StackModel(
        f"ctxemb-stack-{combine}({','.join(members)})",
        forward,
        init=init,
        dims={"nO": chosen},
        attrs={"members": list(members)},
        layers=list(members.values()),
        refs=dict(members),
        shims=[MemberMixShim(widths, chosen)] if combine == "mix" else [],
    )


def choose_width(widths: Sequence[int], combine: str, width: int | None) -> int:
    """The width of a Stack of members of some widths."""
    if combine == "concat" and width is None:
        return sum(widths)
    if combine == "mix" and width is None and len(set(widths)) == 1:
        return widths[0]
    if combine == "mix" and width is not None and width > 0:
        return width
    found = "null" if width is None else width
    raise ValueError(
        Errors.E043.format(width=found, combine=combine, widths=widths, total=sum(widths))
    )


def check_members(members: dict[str, Any]) -> None:
    """Raise E041 for names that a config cannot hold, E042 for what cannot be a member."""
    if not members or not all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in members):
        raise ValueError(Errors.E041.format(names=list(members)))
    for name, member in members.items():
        found = None
        if not isinstance(member, Model):
            found = type(member).__name__
        elif is_stack(member):
            found = "a Stack itself"
        elif member.has_dim("nO") is not True:
            found = f"the model '{member.name}', whose width the config does not say"
        if found is not None:
            raise ValueError(Errors.E042.format(name=name, found=found))


def is_stack(model: Model[Any, Any]) -> bool:
    """Whether a model is a Stack; of a copy, Thinc does not keep the class."""
    return "members" in model.attrs


def get_members(model: Model[Any, Any]) -> dict[str, ContextualModel]:
    """The members of a Stack by their names; another model is its only member, without a name."""
    if not is_stack(model):
        return {ALONE: model}
    return dict(zip(model.attrs["members"], model.layers, strict=True))


def is_encoder(member: Model[Any, Any]) -> bool:
    """Whether a model is an encoder alone, with files of its own."""
    return bool(member.shims) and member.shims == cast(list[Any], find_shims(member))


def init(
    model: ContextualModel, X: list[Doc] | None = None, Y: list[Floats2d] | None = None
) -> None:
    for member in model.layers:
        member.initialize(X=X)
    shim = find_mix(model)
    if shim is not None:
        shim.initialise()


def forward(
    model: ContextualModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    return to_vectors(*embed(model, docs, VECTORS, is_train=is_train))


@in_ordinary_torch
def embed(
    model: ContextualModel,
    docs: Sequence[Doc],
    wanted: Wanted,
    *,
    is_train: bool,
    cache: FeatureCache | None = None,
) -> tuple[list[Outputs], Backprop]:
    """What a model makes of each Doc, be it a Stack or one encoder.

    wanted: of a Stack no more than vectors. cache: asked first in prediction, by each encoder.
    Returns a callback for the gradients of what is wanted besides.
    """
    members = get_members(model)
    if not is_stack(model):
        return embed_member(members[ALONE], docs, wanted, cache, is_train=is_train)
    if not any(len(doc) for doc in docs):  # which not every model of spaCy can do
        width = model.get_dim("nO")
        return [Outputs(model.ops.alloc2f(0, width)) for _ in docs], forget
    outputs, callbacks = zip(
        *(embed_member(m, docs, wanted, cache, is_train=is_train) for m in members.values()),
        strict=True,
    )
    of_members = [[one.vectors for one in made] for made in outputs]
    shim = find_mix(model)
    if shim is None:
        vectors, split = concatenate(model, of_members)
    else:
        vectors, split = mix(shim, docs, of_members, model.ops, is_train)

    def backprop(gradients: Mapping[str, list[Any]]) -> None:
        if "vectors" in gradients:
            for callback, some in zip(callbacks, split(gradients["vectors"]), strict=True):
                callback({"vectors": some})

    return [Outputs(x) for x in vectors], backprop


def embed_member(
    member: ContextualModel,
    docs: Sequence[Doc],
    wanted: Wanted,
    cache: FeatureCache | None,
    *,
    is_train: bool,
) -> tuple[list[Outputs], Backprop]:
    """What one member makes of each Doc.

    What is more than an encoder has no cache: its other layers are not in the key.
    """
    if not is_encoder(member):
        vectors, backprop = member(list(docs), is_train)
        return [Outputs(x) for x in vectors], lambda gradients: backprop(gradients["vectors"])
    if cache is None or is_train or find_obstacle(get_shim(member), wanted):
        return embed_docs(member, docs, wanted, is_train=is_train)
    return cache.look_up_or_embed(member, docs, wanted), forget
