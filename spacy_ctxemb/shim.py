"""The Thinc shim around an embedder: values of parameters, updates, devices, serialisation."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import srsly
import torch
from numpy.typing import NDArray
from thinc.api import Ops, Optimizer, get_torch_default_device, torch2xp, xp2torch
from thinc.shims import Shim
from thinc.types import Floats2d
from torch import Tensor, nn

from .doc_windows import DocWindowing
from .embedder import Embedder
from .errors import Errors
from .files import replacing
from .objectives import OBJECTIVES, Objective
from .pieces import Pieces, pieces_from_json
from .windows import Windows


class EmbedderShim(Shim):
    """Holds an embedder and its pieces inside a Thinc model, and an objective in pretraining.

    Differs from Thinc's PyTorchShim: parameters are allocated by `materialise` or by loading;
    the module stays in evaluation mode, so that threads may predict at the same time; averaged
    parameters work; a copy has its own id, so that it does not share an optimizer's state;
    weights are stored as safetensors, never as pickles.
    """

    def __init__(self, embedder: Embedder, pieces: Pieces, windowing: DocWindowing) -> None:
        super().__init__(embedder.eval())
        self.pieces = pieces
        self.windowing = windowing
        self.objective: Objective | None = None
        self.keeps_objective = False
        self.pieces_from_sample = False
        self.counts: Counter[str] = Counter()

    @property
    def embedder(self) -> Embedder:
        return cast(Embedder, self._model)

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

    def load_encoder(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of the encoder's parameters; others get initial ones."""
        self.materialise()
        load_module(self.embedder.encoder, tensors)

    def predict(self, windows: Windows) -> Tensor:
        """Vectors of all tokens. (W, width)"""
        self.check_materialised()
        with torch.inference_mode():
            vectors: Tensor = self.embedder(windows)
        return vectors

    def predict_layers(self, windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of all tokens, (W, width), and the layers they are made of, (L, W, D)."""
        self.check_materialised()
        with torch.inference_mode():
            layers = self.embedder.encode(windows)  # (L, P, D)
            tokens = self.embedder.pool_layers(layers, windows)
            vectors = self.embedder.combine(layers, windows)
        return vectors.cpu().numpy(), tokens.cpu().numpy()

    def begin_update(self, windows: Windows) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Vectors of all tokens, (W, width), and a callback for their gradient."""
        self.check_materialised()
        with torch.enable_grad(), self.training_mode():
            vectors: Tensor = self.embedder(windows)

        def backprop(d_vectors: Tensor) -> None:
            if not bool(torch.isfinite(d_vectors).all()):
                raise ValueError(Errors.E018.format(shape=tuple(d_vectors.shape)))
            if vectors.requires_grad:  # not where no Doc has any pieces
                vectors.backward(d_vectors)

        return vectors.detach(), backprop

    @contextmanager
    def training_mode(self) -> Iterator[None]:
        """Dropout acts inside, and never outside."""
        modules = [m for m in (self.embedder, self.objective) if m is not None]
        for module in modules:
            module.train()
        try:
            yield
        finally:
            for module in modules:
                module.eval()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change every parameter that has a gradient."""
        for name, parameter in self.named_parameters():
            if parameter.grad is None:
                continue
            key, data, grad = (self.id, name), to_array(parameter.data), to_array(parameter.grad)
            value, _ = optimizer(key, data, grad)
            updated = xp2torch(value, device=parameter.device)
            if updated.data_ptr() != parameter.data_ptr():
                parameter.data.copy_(updated)
            parameter.grad = None

    @contextmanager
    def use_params(self, params: dict[tuple[int, str], Any] | None) -> Iterator[None]:
        """Use averaged parameters inside. params: arrays by (id, name)."""
        replaced: list[tuple[nn.Parameter, Tensor]] = []
        for name, parameter in self.named_parameters():
            if params and (self.id, name) in params:
                replaced.append((parameter, parameter.data))
                parameter.data = xp2torch(params[self.id, name], device=parameter.device)
        try:
            yield
        finally:
            for parameter, data in replaced:
                parameter.data = data

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters of the embedder, and of the objective if there is one."""
        yield from self.embedder.named_parameters()
        if self.objective is not None:
            yield from self.objective.named_parameters(prefix="objective")

    def copy(self) -> "EmbedderShim":
        """A deep copy with an id of its own."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "EmbedderShim":
        twin = copy.copy(self)
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        with Shim.global_id_lock:
            Shim.global_id += 1
            twin.id = Shim.global_id
        return twin

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.is_materialised:
            self.embedder.to(f"cuda:{device_id}" if device_type == "gpu" else "cpu")

    def to_bytes(self) -> bytes:
        message = {
            "pieces": self.pieces.to_json(),
            "weights": save_module(self.embedder) if self.is_materialised else None,
        }
        if self.objective is not None:
            message["objective"] = {
                "kind": self.objective.kind,
                "settings": self.objective.to_json(),
                "weights": save_module(self.objective),
            }
        data: bytes = srsly.msgpack_dumps(message)
        return data

    def from_bytes(self, data: bytes) -> "EmbedderShim":
        message = srsly.msgpack_loads(data)
        self.load_pieces(message["pieces"])
        is_pretrained = "objective" in message
        if message["weights"] is None:
            self.discard_parameters()
        elif is_pretrained:
            # The mix belongs to the task, and may differ from that of pretraining.
            self.load_encoder(load_part(message["weights"], "encoder."))
        else:
            load_module(self.embedder, safetensors.torch.load(message["weights"]))
        # `spacy pretrain` goes on with the objective it has saved; `spacy train` has none.
        if is_pretrained and self.keeps_objective:
            stored = message["objective"]
            objective = OBJECTIVES[stored["kind"]]
            self.objective = objective.from_json(stored["settings"], self.embedder.encoder).eval()
            load_module(self.objective, safetensors.torch.load(stored["weights"]))
        return self

    def to_disk(self, path: str | Path) -> None:
        """Write `pieces` and `encoder.safetensors` into a directory."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with replacing(path / "pieces") as temporary:
            temporary.write_bytes(srsly.msgpack_dumps(self.pieces.to_json()))
        weights = path / "encoder.safetensors"
        if self.is_materialised:
            with replacing(weights) as temporary:
                safetensors.torch.save_file(get_tensors(self.embedder), temporary)
        else:
            weights.unlink(missing_ok=True)

    def from_disk(self, path: str | Path) -> "EmbedderShim":
        path = Path(path)
        self.load_pieces(srsly.msgpack_loads((path / "pieces").read_bytes()))
        weights = path / "encoder.safetensors"
        if weights.exists():
            load_module(self.embedder, safetensors.torch.load_file(weights))
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

    def check_materialised(self) -> None:
        """Refuse to go on without weights."""
        if not self.is_materialised:
            raise RuntimeError(Errors.E017)


def to_array(tensor: Tensor, ops: Ops | None = None) -> Floats2d:
    """A NumPy or CuPy view of a tensor."""
    return cast(Floats2d, torch2xp(tensor, ops=ops))


def get_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The values of all parameters, in the form that safetensors wants."""
    return {name: value.contiguous() for name, value in module.state_dict().items()}


def save_module(module: nn.Module) -> bytes:
    """The values of all parameters, as the bytes of a safetensors file."""
    return safetensors.torch.save(get_tensors(module))


def load_part(data: bytes, prefix: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose names have a prefix, which is taken off."""
    tensors = safetensors.torch.load(data)
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def load_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Take the values of all parameters, after a check of names and shapes."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        raise ValueError(Errors.E020.format(differences=describe_differences(expected, found)))
    device = get_torch_default_device()
    # Copies: a tensor from a file is mapped to it, and would change with it.
    values = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
    module.load_state_dict(values, assign=True)


def describe_differences(
    expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]
) -> str:
    """The first few parameters that differ, for an error message."""
    names = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    lines = [
        f"{name}: expected {expected.get(name, 'none')}, found {found.get(name, 'none')}"
        for name in names[:5]
    ]
    return "; ".join(lines) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
