"""`spacy-ctxemb.Head.v1`: scores of classes, from the states of an encoder."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import safetensors.torch
import torch
from spacy.tokens import Doc
from thinc.api import Model, get_torch_default_device, xp2torch
from thinc.types import Floats2d
from torch import Tensor, nn

from ..embedder.output_types import Wanted
from ..errors import Errors
from ..listeners.listener import Backprop, no_backprop
from ..listeners.piece_states_listener import PieceStatesListener
from ..thinc_model.arrays_and_tensors import join, run, split, to_array
from ..thinc_model.docs_to_outputs import embed_docs
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..thinc_model.parameter_values import load_module
from ..thinc_model.torch_module_shim import TorchShim
from ..torch_state import in_ordinary_torch
from .head_layers import Head

HeadModel = Model[list[Doc], Any]

#: The standard deviation of the first weights. Source: Devlin et al. 2019, "BERT", the program.
DEVIATION = 0.02


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


class HeadShim(TorchShim):
    """Holds a head; one without values until its classes are known. settings: of Head."""

    @in_ordinary_torch
    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        with torch.device("meta"):
            super().__init__(Head(1, 1, **settings))

    @property
    def n_classes(self) -> int:
        """C, or 0 as long as it is not known."""
        return cast(Head, self.module).output.out_features if self.is_materialised else 0

    @in_ordinary_torch
    def build(self, width: int, n_classes: int) -> None:
        """Begin with random weights, and biases of 0. Optimizers know nothing of a new size."""
        before = {name: x.shape for name, x in self.module.named_parameters()}
        head = Head(width, n_classes, **self.settings)
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=DEVIATION)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if before != {name: x.shape for name, x in head.named_parameters()}:
            self.take_new_id()
        self._model = head.to(get_torch_default_device()).eval()

    @in_ordinary_torch
    def grow(self, n_classes: int) -> None:
        """Add classes behind those that are there, with random weights."""
        before = self.get_tensors()
        self.build(find_width(before), n_classes)
        after = self.get_tensors()
        for name, old in before.items():
            after[name] = torch.cat([old, after[name][len(old) :]])
        load_module(self.module, after)

    @in_ordinary_torch
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take weights, and from them the number of classes."""
        self.build(find_width(tensors), len(tensors["output.weight"]))
        load_module(self.module, tensors)

    def from_bytes(self, data: bytes) -> "HeadShim":
        tensors = safetensors.torch.load(data)
        if tensors:
            self.load(tensors)
            return self
        return super().from_bytes(data)

    def score(self, states: Tensor, dropout: float | None, *, is_train: bool) -> Tensor:
        """(n, D) to (n, C)."""
        if not is_train:
            return cast(Tensor, self.module(states))
        if dropout is not None:
            cast(Head, self.module).dropout.p = dropout
        self.module.train()
        try:
            return cast(Tensor, self.module(states))
        finally:
            self.module.eval()


def find_width(tensors: dict[str, Tensor]) -> int:
    """The width of the states that a head of these weights reads."""
    return tensors.get("dense.weight", tensors["output.weight"]).size(1)


def get_head(model: Model[Any, Any]) -> HeadShim:
    """The head of a model, also of a copy."""
    return cast(HeadShim, model.shims[0])


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


def read_pieces(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The states of pieces. (R, D), of all Docs, to (P, D)"""
    return rows[mark(states, of_piece=True, of_edges=(False, False))]


def read_first(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The first step of each window. (R, D) to (N, D)"""
    return rows[mark(states, of_piece=False, of_edges=(True, False))]


def mark(
    states: Sequence[dict[str, Any]], *, of_piece: bool, of_edges: tuple[bool, bool]
) -> Tensor:
    """Which of all rows are meant. (R,)"""
    parts = [
        part
        for one in states
        for part in (
            np.full(len(one["offsets"]), of_piece),
            np.tile(of_edges, len(one["owned"])),
        )
    ]
    return torch.from_numpy(np.concatenate(parts))


def read_mean(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The mean of both edges of each window and of the pieces that it owns. (R, D) to (N, D)"""
    owners, n_windows = [], 0
    for one in states:
        windows = np.arange(len(one["owned"])) + n_windows
        owners += [np.repeat(windows, one["owned"]), np.repeat(windows, 2)]
        n_windows += len(windows)
    return compute_means(rows, np.concatenate(owners), n_windows)


def read_piece_mean(rows: Tensor, states: Sequence[dict[str, Any]]) -> Tensor:
    """The mean of the pieces that each window owns; zeros where there are none. (R, D) to (N, D)"""
    owned = np.concatenate([one["owned"] for one in states])
    owners = np.repeat(np.arange(len(owned)), owned)
    return compute_means(read_pieces(rows, states), owners, len(owned))


def compute_means(rows: Tensor, owners: Any, n: int) -> Tensor:
    """The mean of the rows of each of n owners. (R, D), (R,) to (n, D)"""
    owner = torch.from_numpy(owners).to(rows.device)
    total = rows.new_zeros(n, rows.size(1)).index_add(0, owner, rows)
    return total / torch.bincount(owner, minlength=n).clamp(min=1)[:, None]


#: What a head reads of the states.
READS = {
    "pieces": read_pieces,
    "first": read_first,
    "mean": read_mean,
    "piece_mean": read_piece_mean,
}
