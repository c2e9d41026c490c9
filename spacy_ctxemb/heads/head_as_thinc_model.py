"""`spacy-ctxemb.Head.v1`: scores of classes, from the states of an encoder."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from spacy.tokens import Doc
from thinc.api import Model, xp2torch
from thinc.types import Floats2d

from ..embedder.output_types import Wanted
from ..errors import Errors
from ..listeners.listener import Backprop, no_backprop
from ..listeners.piece_states_listener import PieceStatesListener
from ..thinc_model.arrays_and_tensors import join, run, split, to_array
from ..thinc_model.docs_to_outputs import embed_docs
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..torch_state import in_ordinary_torch
from .head_shim import HeadShim, get_head
from .read_states import READS, read_pieces

HeadModel = Model[list[Doc], Any]


class Scored(NamedTuple):
    """What a head makes of one Doc.

    scores: (p, C) of its pieces, or (N, C) of its windows. states: what they were made of, see
    STATES in doc_vectors/names.py.
    """

    scores: Any
    states: dict[str, Any]


def build_head(
    *,
    tok2vec: Model[list[Doc], Any],
    reads: str = "pieces",
    activation: str | None = None,
    dense_width: int | None = None,
    dense_bias: bool = True,
    norm_epsilon: float | None = None,
    norm_bias: bool = False,
    dropout: float | None = None,
    normalize: bool = False,
) -> HeadModel:
    """`spacy-ctxemb.Head.v1`: scores of classes, from the states of the encoder's last layer.

    tok2vec: a PieceStatesListener.v1, or a ContextualTok2Vec.v1 of this head's own.
    reads: "pieces" for the scores of each piece; "first" for those of each window, by its first
        step ([CLS]); "mean" for those of each window, by the mean of all its steps;
        "piece_mean" by the mean of its pieces alone, without the steps at its edges.
    activation: of a dense layer before the last one: "tanh" (BERT's pooler), "gelu", "relu" and
        others; null for no dense layer.
    dense_width: of the dense layer; null for that of the encoder.
    dense_bias: whether the dense layer has a bias.
    norm_epsilon: of a layer norm after the dense layer; null for none.
    norm_bias: whether the layer norm has a bias.
    dropout: the rate before each linear layer; null to follow training.dropout.
    normalize: whether what it reads gets length 1 first.
    """
    if not isinstance(tok2vec, PieceStatesListener) and not has_encoder(tok2vec):
        raise ValueError(Errors.E603.format(found=getattr(tok2vec, "name", tok2vec)))
    if reads not in READS:
        raise ValueError(Errors.E604.format(reads=reads, options=list(READS)))
    settings = {
        **{"activation": activation, "dense_width": dense_width, "dense_bias": dense_bias},
        **{"norm_epsilon": norm_epsilon, "norm_bias": norm_bias, "dropout": dropout or 0.0},
        "normalize": normalize,
    }
    return Model(
        "ctxemb-head",
        forward,
        init=init,
        attrs={"reads": reads, **({"dropout_rate": 0.0} if dropout is None else {})},
        layers=[tok2vec],
        refs={"tok2vec": tok2vec},
        shims=[HeadShim(settings)],
    )


def has_encoder(model: Any) -> bool:
    """Whether a model is an encoder itself, as nlp.replace_listeners puts it in a head."""
    return any(isinstance(shim, EmbedderShim) for shim in getattr(model, "shims", ()))


def get_width(model: HeadModel) -> int:
    """The width of the states. Raises E600 for a listener without an encoder."""
    (tok2vec,) = model.layers
    if has_encoder(tok2vec):
        return get_shim(tok2vec).embedder.encoder.width
    width = tok2vec.maybe_get_dim("nO")
    if width is None:
        raise RuntimeError(Errors.E600.format(upstream=cast(Any, tok2vec).upstream_name))
    return width


def init(model: HeadModel, X: list[Doc] | None = None, Y: Floats2d | None = None) -> None:
    """Draw the weights of a head. Y: (n, C); None leaves a head as it is."""
    model.layers[0].initialize(X=X)
    if Y is not None:
        get_head(model).build(get_width(model), Y.shape[1])


@in_ordinary_torch
def forward(
    model: HeadModel, docs: list[Doc], is_train: bool
) -> tuple[list[Scored], Callable[[list[Floats2d]], list[Doc]]]:
    """The scores of each Doc, before any softmax. The callback takes their gradients."""
    states, backprop_states = read_states(model.layers[0], docs, is_train)
    if not docs:
        return [], no_backprop
    shim, ops = get_head(model), model.ops
    read = READS[model.attrs["reads"]]
    rows = [ops.asarray(one["rows"]) for one in states]
    joined = xp2torch(ops.xp.concatenate(rows), device=shim.device)  # (R, D)
    scores, backprop_head = run(
        lambda inputs: shim.score(
            read(inputs[0], states), model.attrs.get("dropout_rate"), is_train=is_train
        ),
        [joined],
        is_train=is_train,
        is_upstream_trained=backprop_states is not no_backprop,
    )
    is_of_pieces = read is read_pieces
    sizes = [len(one["offsets"] if is_of_pieces else one["owned"]) for one in states]

    @in_ordinary_torch
    def backprop(d_scores: list[Floats2d]) -> list[Doc]:
        (d_rows,) = backprop_head(join(d_scores, axis=0, device=joined.device))
        if d_rows is not None:
            backprop_states(split(to_array(d_rows, ops), list(map(len, rows)), axis=0))
        return []

    parts = split(to_array(scores, ops), sizes, axis=0)
    return [Scored(*both) for both in zip(parts, states, strict=True)], backprop


def read_states(
    tok2vec: Model[list[Doc], Any], docs: list[Doc], is_train: bool
) -> tuple[list[dict[str, Any]], Backprop]:
    """The states of each Doc, from the encoder of the pipeline or one of the head's own."""
    if not has_encoder(tok2vec):
        return tok2vec(docs, is_train)
    outputs, backprop = embed_docs(tok2vec, docs, Wanted(states=True), is_train=is_train)
    states = [cast(dict[str, Any], one.states) for one in outputs]
    return states, lambda d_rows: backprop({"states": d_rows})
