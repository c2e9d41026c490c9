"""The one place where spaCy's Doc, Thinc's Model and PyTorch meet.

An embedder and its pieces become a `Model[List[Doc], List[Floats2d]]`, so that spaCy's own
listeners, training, pretraining and serialisation work unchanged.
"""

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import safetensors.torch
import srsly
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Ops, Optimizer, get_torch_default_device, torch2xp, xp2torch
from thinc.shims import Shim
from thinc.types import Floats2d
from torch import Tensor

from .embedder import Embedder
from .errors import Errors
from .pieces import Pieces, WordPieces, pieces_from_json
from .windows import Windowing, Windows, build_windows, check_length

ContextualModel = Model[list[Doc], list[Floats2d]]

# A forked process inherits PyTorch's thread pool without its threads: the first parallel
# operation would wait for ever.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@dataclass(frozen=True)
class DocWindowing:
    """How documents become windows. split_sentences: a window ends where a sentence ends."""

    windowing: Windowing
    split_sentences: bool


class Layers(NamedTuple):
    """What an encoder makes of one Doc, on the CPU.

    tensor: (n_tokens, width), mixed and projected. layers: (L, n_tokens, D).
    """

    tensor: NDArray[np.float32]
    layers: NDArray[np.float32]


def build_tok2vec(
    embedder: Embedder, pieces: Pieces, windowing: DocWindowing, *, dropout: float | None
) -> ContextualModel:
    """Wrap an embedder as a Thinc model.

    dropout: the encoder's rate; None to follow the rate that spaCy passes to each update.
    """
    encoder = embedder.encoder
    if (encoder.n_ids, encoder.n_characters) != (pieces.n_ids, pieces.n_characters):
        raise ValueError(
            Errors.E016.format(
                encoder=(encoder.n_ids, encoder.n_characters),
                pieces=(pieces.n_ids, pieces.n_characters),
            )
        )
    check_length(windowing.windowing.window, encoder.max_length)
    attrs = {} if dropout is not None else {"dropout_rate": 0.0}
    if dropout is not None:
        encoder.set_dropout(dropout)
    return Model(
        "ctxemb",
        forward,
        init=init,
        dims={"nO": embedder.width},
        attrs=attrs,
        shims=[EmbedderShim(embedder, pieces, windowing)],
    )


def get_shim(model: ContextualModel) -> "EmbedderShim":
    """The shim that holds a model's embedder and pieces."""
    (shim,) = model.shims
    assert isinstance(shim, EmbedderShim)
    return shim


def find_shims(model: Model[Any, Any]) -> list["EmbedderShim"]:
    """The shims of all embedders in a model, however deep."""
    return [shim for node in model.walk() for shim in node.shims if isinstance(shim, EmbedderShim)]


def forward(
    model: ContextualModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Vectors of the tokens of each Doc: (n_tokens, width) each."""
    shim = get_shim(model)
    windows = shim.build_windows(docs)
    if not is_train:
        return split_docs(to_array(shim.predict(windows), model.ops), docs), lambda dY: []
    if "dropout_rate" in model.attrs:
        shim.embedder.encoder.set_dropout(model.attrs["dropout_rate"])
    vectors, backprop_vectors = shim.begin_update(windows)

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        if docs:
            backprop_vectors(xp2torch(model.ops.flatten(d_vectors), device=shim.device))
        return []

    return split_docs(to_array(vectors, model.ops), docs), backprop


def init(
    model: ContextualModel, X: list[Doc] | None = None, Y: list[Floats2d] | None = None
) -> None:
    """Give parameters their initial values, and pieces a vocabulary, where they have none.

    spaCy may call this several times, and also after weights were loaded.
    """
    shim = get_shim(model)
    pieces = shim.pieces
    if isinstance(pieces, WordPieces) and not pieces.is_trained and X:
        shim.train_pieces(X, from_sample=True)
    shim.materialise()


def predict_layers(model: ContextualModel, docs: Sequence[Doc]) -> list[Layers]:
    """The token vectors of each Doc together with every layer they were made of."""
    shim = get_shim(model)
    tensors, layers = shim.predict_layers(shim.build_windows(docs))
    ends = np.cumsum([len(doc) for doc in docs])[:-1]
    by_doc = zip(np.split(tensors, ends), np.split(layers, ends, axis=1), strict=True)
    return [Layers(tensor.copy(), layer.copy()) for tensor, layer in by_doc]


def to_array(tensor: Tensor, ops: Ops | None = None) -> Floats2d:
    """A NumPy or CuPy view of a tensor."""
    return cast(Floats2d, torch2xp(tensor, ops=ops))


def split_docs(vectors: Floats2d, docs: Sequence[Doc]) -> list[Floats2d]:
    """Rows of each Doc. Copies: a view would keep the whole batch alive with one Doc."""
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [vectors[end - len(doc) : end].copy() for end, doc in zip(ends, docs, strict=True)]


class EmbedderShim(Shim):
    """Holds an embedder and its pieces inside a Thinc model.

    Differs from Thinc's PyTorchShim: parameters are allocated by `materialise` or by loading;
    the module stays in evaluation mode, so that threads may predict at the same time; averaged
    parameters work; a copy has its own id, so that it does not share an optimizer's state;
    weights are stored as safetensors, never as pickles.
    """

    def __init__(self, embedder: Embedder, pieces: Pieces, windowing: DocWindowing) -> None:
        super().__init__(embedder.eval())
        self.pieces = pieces
        self.windowing = windowing
        self.pieces_from_sample = False
        self.counts: Counter[str] = Counter()

    @property
    def embedder(self) -> Embedder:
        embedder: Embedder = self._model
        return embedder

    @property
    def device(self) -> torch.device:
        return next(self.embedder.parameters()).device

    @property
    def is_materialised(self) -> bool:
        """Whether the parameters have values."""
        return self.device.type != "meta"

    def materialise(self) -> None:
        """Allocate parameters and give them initial values, unless they have values."""
        if not self.is_materialised:
            self.embedder.to_empty(device=get_torch_default_device())
            self.embedder.reset_parameters()

    def discard_parameters(self) -> None:
        """Drop all values, so that `materialise` draws new ones."""
        self.embedder.to(device="meta")

    def train_pieces(self, docs: Sequence[Doc], *, from_sample: bool = False) -> None:
        """Learn a vocabulary of word pieces from the words of documents.

        from_sample: a stopgap that an objective of language modelling refuses.
        """
        assert isinstance(self.pieces, WordPieces)
        self.pieces.train([[token.text for token in doc] for doc in docs])
        self.pieces_from_sample = from_sample

    def build_windows(self, docs: Sequence[Doc]) -> Windows:
        """Pieces of all documents, cut into windows."""
        encoded = [self.pieces.encode([token.text for token in doc]) for doc in docs]
        ids = np.concatenate([e.ids for e in encoded]) if encoded else self.pieces.blank
        lengths = _concatenate([e.lengths for e in encoded])
        sequences = [
            np.add.reduceat(e.lengths, self._sequence_starts(doc)) if len(doc) else e.lengths
            for doc, e in zip(docs, encoded, strict=True)
        ]
        windows = build_windows(
            ids,
            lengths=lengths,
            document_lengths=np.array([len(e.ids) for e in encoded], dtype=np.int64),
            sequence_lengths=_concatenate(sequences),
            boundaries=self.pieces.boundaries,
            windowing=self.windowing.windowing,
        )
        self.counts.update(
            documents=len(docs),
            tokens=len(lengths),
            tokens_without_pieces=int((lengths == 0).sum()),
            pieces=len(ids),
            lossy_pieces=int(self.pieces.is_lossy(ids).sum()),
            windows=sum(len(batch.ids) for batch in windows.batches),
        )
        return windows

    def _sequence_starts(self, doc: Doc) -> list[int]:
        """Tokens that begin a sequence."""
        if not self.windowing.split_sentences or not doc.has_annotation("SENT_START"):
            return [0]
        return [0] + [token.i for token in doc[1:] if token.is_sent_start]

    def predict(self, windows: Windows) -> Tensor:
        """Vectors of all tokens. (W, width)"""
        self._check_materialised()
        with torch.inference_mode():
            vectors: Tensor = self.embedder(windows)
        return vectors

    def predict_layers(self, windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of all tokens, (W, width), and the layers they are made of, (L, W, D)."""
        self._check_materialised()
        with torch.inference_mode():
            layers = self.embedder.encode(windows)  # (L, P, D)
            vectors = self.embedder.combine(layers, windows)
            tokens = self.embedder.pool_layers(layers, windows)
        return vectors.cpu().numpy(), tokens.cpu().numpy()

    def begin_update(self, windows: Windows) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Vectors of all tokens, (W, width), and a callback for their gradient."""
        self._check_materialised()
        with torch.enable_grad(), self.training_mode():
            vectors: Tensor = self.embedder(windows)

        def backprop(d_vectors: Tensor) -> None:
            if not bool(torch.isfinite(d_vectors).all()):
                raise ValueError(Errors.E018.format(shape=tuple(d_vectors.shape)))
            if vectors.requires_grad:
                vectors.backward(d_vectors)

        return vectors.detach(), backprop

    @contextmanager
    def training_mode(self) -> Iterator[None]:
        """Dropout acts inside, and never outside."""
        self.embedder.train()
        try:
            yield
        finally:
            self.embedder.eval()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change every parameter that has a gradient."""
        for name, parameter in self.embedder.named_parameters():
            if parameter.grad is None:
                continue
            key, data, grad = (self.id, name), to_array(parameter.data), to_array(parameter.grad)
            value, _ = optimizer(key, data, grad)
            updated = xp2torch(value, device=parameter.device)
            if updated.data_ptr() != parameter.data_ptr():
                parameter.data.copy_(updated)
            parameter.grad = None

    @contextmanager
    def use_params(self, params: dict[tuple[int, str], Any]) -> Iterator[None]:
        """Use averaged parameters inside. params: arrays by (id, name)."""
        backup = {}
        for name, parameter in self.embedder.named_parameters():
            if (self.id, name) in params:
                backup[name] = parameter.data
                parameter.data = xp2torch(params[self.id, name], device=parameter.device)
        try:
            yield
        finally:
            for name, data in backup.items():
                self.embedder.get_parameter(name).data = data

    def copy(self) -> "EmbedderShim":
        """A deep copy with an id of its own."""
        twin = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            twin.id = Shim.global_id
        return twin

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.is_materialised:
            self.embedder.to(f"cuda:{device_id}" if device_type == "gpu" else "cpu")

    def to_bytes(self) -> bytes:
        weights = safetensors.torch.save(self._tensors()) if self.is_materialised else None
        data: bytes = srsly.msgpack_dumps({"pieces": self.pieces.to_json(), "weights": weights})
        return data

    def from_bytes(self, data: bytes) -> "EmbedderShim":
        message = srsly.msgpack_loads(data)
        self.load_pieces(message["pieces"])
        if message["weights"] is None:
            self.discard_parameters()
        else:
            self.load_tensors(safetensors.torch.load(message["weights"]))
        return self

    def to_disk(self, path: str | Path) -> None:
        """Write `pieces` and `encoder.safetensors` into a directory."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with replacing(path / "pieces") as temporary:
            temporary.write_bytes(srsly.msgpack_dumps(self.pieces.to_json()))
        if self.is_materialised:
            with replacing(path / "encoder.safetensors") as temporary:
                safetensors.torch.save_file(self._tensors(), temporary)

    def from_disk(self, path: str | Path) -> "EmbedderShim":
        path = Path(path)
        self.load_pieces(srsly.msgpack_loads((path / "pieces").read_bytes()))
        weights = path / "encoder.safetensors"
        if weights.exists():
            self.load_tensors(safetensors.torch.load_file(weights))
        else:
            self.discard_parameters()
        return self

    def load_pieces(self, data: dict[str, object]) -> None:
        """Take pieces from their serialised form."""
        pieces = pieces_from_json(data)
        found = (pieces.kind, pieces.n_ids, pieces.n_characters)
        expected = (self.pieces.kind, self.pieces.n_ids, self.pieces.n_characters)
        if found != expected:
            raise ValueError(Errors.E019.format(found=found, expected=expected))
        self.pieces = pieces
        self.pieces_from_sample = False

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of all parameters, after a check of names and shapes."""
        expected = {name: tuple(p.shape) for name, p in self.embedder.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            raise ValueError(Errors.E020.format(differences=_differences(expected, found)))
        device = get_torch_default_device()
        values = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.embedder.load_state_dict(values, assign=True)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: p.contiguous() for name, p in self.embedder.state_dict().items()}

    def _check_materialised(self) -> None:
        if not self.is_materialised:
            raise RuntimeError(Errors.E017)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when all has gone well."""
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _concatenate(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _differences(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    """The first few parameters that differ, for an error message."""
    names = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    lines = [
        f"{name}: expected {expected.get(name, 'none')}, found {found.get(name, 'none')}"
        for name in names[:5]
    ]
    return "; ".join(lines) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
