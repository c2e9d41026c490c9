"""Several encoders at once, as one model."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.model import ContextualModel, find_shims, join, split_docs
from ..thinc_model.torch_shim import to_array
from .weighted_sum import MemberMixShim

COMBINE = ("concat", "mix")

#: Sends the gradients of a stack's vectors back: one array a Doc to one array a Doc and member.
Split = Callable[[list[Floats2d]], list[list[Floats2d]]]


class StackModel(Model[list[Doc], list[Floats2d]]):
    """A Thinc model that says what is wrong with weights of another structure."""

    def from_dict(self, msg: dict[str, Any]) -> "StackModel":
        # Its own name holds those of its members, and how they are combined.
        if [node["name"] for node in msg["nodes"]] != [node.name for node in self.walk()]:
            raise ValueError(Errors.E133.format(members=list(get_members(self))))
        super().from_dict(msg)
        return self


def build_stack(
    *, members: dict[str, Any], combine: str = "concat", width: int | None = None
) -> ContextualModel:
    """`spacy-ctxemb.Stack.v1`: the vectors of several models for each token, as one.

    members: by names, ContextualTok2Vec.v1, StaticVectors.v1 or other models of known width that
        give each Doc one matrix. Their order is that of their names, so that the order of the
        sections of a config has no meaning.
    combine: "concat" for vectors side by side; "mix" for a learned weighted sum, see
        weighted_sum.py.
    width: with "mix", of the result; null for that of the members, where it is the same.
    """
    members = {name: members[name] for name in sorted(members)}
    check_members(members)
    if combine not in COMBINE:
        raise ValueError(Errors.E127.format(combine=combine, options=list(COMBINE)))
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
        Errors.E130.format(width=found, combine=combine, widths=widths, total=sum(widths))
    )


def check_members(members: dict[str, Any]) -> None:
    """Refuse what cannot be a member."""
    if not members or not all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in members):
        raise ValueError(Errors.E128.format(names=list(members)))
    for name, member in members.items():
        found = None
        if not isinstance(member, Model):
            found = type(member).__name__
        elif is_stack(member):
            found = "a Stack itself"
        elif member.has_dim("nO") is not True:
            found = f"the model '{member.name}', whose width the config does not say"
        if found is not None:
            raise ValueError(Errors.E129.format(name=name, found=found))


def is_stack(model: Model[Any, Any]) -> bool:
    """Whether a model is a Stack; of a copy, Thinc does not keep the class."""
    return model._func is forward


def get_members(model: Model[Any, Any]) -> dict[str, ContextualModel]:
    """The members of a Stack by their names."""
    return dict(zip(model.attrs["members"], model.layers, strict=True))


def list_encoders(nlp: Language) -> Iterator[tuple[str, EmbedderShim]]:
    """All encoders of a pipeline: by the names of components, or as COMPONENT.MEMBER."""
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if not isinstance(model, Model):
            continue
        names = {
            shim.id: f"{name}.{key}"
            for node in model.walk()
            if is_stack(node)
            for key, member in get_members(node).items()
            for shim in find_shims(member)
        }
        for shim in find_shims(model):
            yield names.get(shim.id, name), shim


def is_of(name: str, component: str | None) -> bool:
    """Whether an encoder of this name is meant: by its own name or by its component's."""
    return component is None or name == component or name.startswith(f"{component}.")


def init(
    model: ContextualModel, X: list[Doc] | None = None, Y: list[Floats2d] | None = None
) -> None:
    """Initialise all members, and draw a mix."""
    for member in model.layers:
        member.initialize(X=X)
    for shim in find_mix(model):
        shim.initialise()


def find_mix(model: ContextualModel) -> list[MemberMixShim]:
    """The mix of a Stack, if it has one."""
    return cast(list[MemberMixShim], model.shims)


def forward(
    model: ContextualModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    if not any(len(doc) for doc in docs):  # which not every model of spaCy can do
        width = model.get_dim("nO")
        return [model.ops.alloc2f(0, width) for _ in docs], lambda d_vectors: []
    outputs, callbacks = zip(*(member(docs, is_train) for member in model.layers), strict=True)
    vectors, split = combine_members(model, docs, outputs, is_train)

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        for callback, gradients in zip(callbacks, split(d_vectors), strict=True):
            callback(gradients)
        return []

    return vectors, backprop


def combine_members(
    model: ContextualModel,
    docs: Sequence[Doc],
    outputs: Sequence[list[Floats2d]],
    is_train: bool,
) -> tuple[list[Floats2d], Split]:
    """The vectors of each Doc from those of each member."""
    for shim in find_mix(model):
        return mix(shim, model, docs, outputs, is_train)
    return concatenate(model, outputs)


def concatenate(
    model: ContextualModel, outputs: Sequence[list[Floats2d]]
) -> tuple[list[Floats2d], Split]:
    """Side by side."""
    ops, xp = model.ops, model.ops.xp
    ends = xp.cumsum(xp.array([member.get_dim("nO") for member in model.layers]))[:-1].tolist()
    joined = [xp.concatenate(vectors, axis=1) for vectors in zip(*outputs, strict=True)]

    def split(gradients: list[Floats2d]) -> list[list[Floats2d]]:
        by_doc = [xp.split(gradient, ends, axis=1) for gradient in gradients]
        return [list(map(ops.as_contig, parts)) for parts in zip(*by_doc, strict=True)]

    return joined, split


def mix(
    shim: MemberMixShim,
    model: ContextualModel,
    docs: Sequence[Doc],
    outputs: Sequence[list[Floats2d]],
    is_train: bool,
) -> tuple[list[Floats2d], Split]:
    """As a learned sum."""
    ops = model.ops
    members = [join(vectors, axis=0, device=shim.device) for vectors in outputs]
    if not is_train:
        return split_docs(to_array(shim.predict(members), ops), docs), lambda gradients: []
    mixed, backprop = shim.begin_update(members)

    def split(gradients: list[Floats2d]) -> list[list[Floats2d]]:
        found = backprop(join(gradients, axis=0, device=shim.device))
        return [split_docs(to_array(gradient, ops), docs) for gradient in found]

    return split_docs(to_array(mixed, ops), docs), split
