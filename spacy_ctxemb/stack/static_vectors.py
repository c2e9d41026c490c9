"""The static vectors of the vocabulary, as a model of one matrix a Doc.

spaCy's own StaticVectors gives one Ragged for all Docs, and always projects.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model, glorot_uniform_init
from thinc.types import Floats2d

from ..errors import Errors

StaticModel = Model[list[Doc], list[Floats2d]]


def build_static_vectors(*, width: int, project: bool = True) -> StaticModel:
    """`spacy-ctxemb.StaticVectors.v1`: the rows of nlp.vocab.vectors.

    A token without a vector has zeros, and so has white space.

    width: of the result; without projection that of the vectors.
    project: whether a linear projection v = W h is learned; else rows stay as they are, and
        nothing is trained.
    """
    return Model(
        "ctxemb-static",
        forward,
        init=init,
        dims={"nO": width},
        params={"W": None} if project else {},
    )


def init(model: StaticModel, X: Sequence[Doc] | None = None, Y: Any = None) -> None:
    """Draw a projection for the vectors of the vocabulary, once Docs bring one."""
    if not X:
        return
    found = measure(X[0].vocab)
    if model.param_names:
        shape = model.get_dim("nO"), found
        model.set_param("W", glorot_uniform_init(model.ops, shape))
    check_width(model, found)


def forward(
    model: StaticModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    if not any(len(doc) for doc in docs):
        width = model.get_dim("nO")
        return [model.ops.alloc2f(0, width) for _ in docs], lambda d_vectors: []
    check_width(model, measure(docs[0].vocab))
    rows = model.ops.flatten([look_up(model, doc) for doc in docs])
    lengths = model.ops.asarray1i([len(doc) for doc in docs])
    if not model.param_names:
        return model.ops.unflatten(rows, lengths), lambda d_vectors: []

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        gradient = model.ops.flatten(d_vectors)
        model.inc_grad("W", model.ops.gemm(gradient, rows, trans1=True))
        return []

    projected = model.ops.gemm(rows, cast(Floats2d, model.get_param("W")), trans2=True)
    return model.ops.unflatten(projected, lengths), backprop


def look_up(model: StaticModel, doc: Doc) -> Floats2d:
    """The rows of a Doc's tokens."""
    table: Any = doc.vocab.vectors
    if not len(doc):
        return model.ops.alloc2f(0, measure(doc.vocab))
    keys = doc.to_array(getattr(table, "attr", "ORTH"))
    is_blank = doc.to_array("IS_SPACE").astype(bool)
    if getattr(table, "mode", None) == "default":  # others make vectors of all words
        rows = table.find(keys=keys)
        is_blank |= model.ops.to_numpy(rows) < 0
        found = table.data[rows]
    else:
        found = table.get_batch(keys)
    vectors = model.ops.asarray2f(found, dtype="float32")
    vectors[cast(Any, model.ops.xp.asarray(is_blank))] = 0.0
    return vectors


def measure(vocab: Vocab) -> int:
    """The width of a vocabulary's vectors, or an error where it has none."""
    shape: tuple[int, ...] = vocab.vectors.shape
    if 0 in shape:
        raise ValueError(Errors.E047)
    return shape[1]


def check_width(model: StaticModel, found: int) -> None:
    """Refuse vectors of another width than those the model was made for."""
    projects = bool(model.param_names)
    if projects and not model.has_param("W"):
        raise RuntimeError(Errors.E008)
    expected = cast(Floats2d, model.get_param("W")).shape[1] if projects else model.get_dim("nO")
    if found != expected:
        setting = "projection, by nlp.initialize()" if projects else "width, or set project = true"
        raise ValueError(Errors.E048.format(found=found, expected=expected, setting=setting))
