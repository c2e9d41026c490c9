"""The Thinc shim around an embedder: values of parameters, passes, serialisation."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import safetensors.torch
import srsly
import torch
from thinc.api import Model, Optimizer, get_torch_default_device
from torch import Tensor, nn

from ..embedder.embedder import Embedder
from ..embedder.memory_budget import Budget, find_budget
from ..embedder.output_types import VECTORS, Embedded, Wanted
from ..embedder.training_precision import LossScale
from ..encoders.derived_weights import Derived
from ..errors import Errors
from ..finetuning.frozen_layers_and_rates import LayerTraining
from ..fork_lock import LOCK
from ..objectives import OBJECTIVES, Objective
from ..pieces.base import Pieces
from ..pieces.pieces_from_json import pieces_from_json
from ..pretrained import load_vocabulary
from ..pretrained import load_weights as load_pretrained
from ..read_files import reading
from ..torch_state import in_ordinary_torch
from ..windows.pieces_to_windows import N_BOUNDARIES, Windowing, Windows
from .arrays_and_tensors import backpropagate
from .parameter_values import allocate, compute_digest, get_tensors, load_module
from .torch_module_shim import TorchShim


class EmbedderShim(TorchShim):
    """Holds an embedder and its pieces inside a Thinc model, and an objective in pretraining.

    Parameters are allocated by `materialise` or by loading; has_loaded tells which. n_steps:
    updates since then, for schedules; it is not stored, so that a loaded pipeline begins anew.
    pretrained: weights of the package for the first use, where nothing else has brought any;
    awaits_pretrained: whether that is still to come.
    max_memory: bytes that prediction may take at once, see embedder/memory_budget.py; None for no
    such limit.
    """

    def __init__(
        self,
        embedder: Embedder,
        pieces: Pieces,
        windowing: Windowing,
        layer_training: LayerTraining,
    ) -> None:
        super().__init__(embedder)
        self.pieces = pieces
        self.windowing = windowing
        self.max_memory: int | None = None
        self.layer_training = layer_training
        self.objective: Objective | None = None
        self.keeps_objective = False
        self.pieces_from_sample = False
        self.has_loaded = False
        self.pretrained: str | None = None
        self.awaits_pretrained = False
        if embedder.training_precision == "fp16":
            self.loss_scale = LossScale()
        self.n_steps = 0
        self.weights_digest: Derived[Embedder, bytes] = Derived(compute_digest)

    @property
    def embedder(self) -> Embedder:
        return cast(Embedder, self._model)

    @property
    def scale(self) -> float:
        """What gradients of outputs are to be multiplied by before they are sent back."""
        return 1.0 if self.loss_scale is None else self.loss_scale.value

    def find_budget(self, n_tokens: int, wanted: Wanted) -> Budget:
        """How much goes through the encoder at once: batch_pieces and n_tokens at most, less where
        max_memory says so, but one window in any case."""
        pieces = self.windowing.batch_pieces
        if self.max_memory is not None:
            found = find_budget(self.max_memory, self.embedder, wanted)
            longest = self.windowing.window + N_BOUNDARIES
            pieces = max(min(pieces, found.pieces), longest)
            n_tokens = min(n_tokens, max(found.tokens, 1))
        return Budget(pieces, n_tokens)

    def weights_changed(self) -> None:
        self.embedder.encoder.weights_changed()
        self.weights_digest.drop()

    def weights_replaced(self) -> None:
        """What was computed from other weights is worth nothing, and schedules begin anew."""
        self.n_steps = 0
        self.weights_changed()
        self.embedder.encoder.reset_state()

    def use_pretrained(self, name: str) -> None:
        """Take weights of the package at the first use, and whenever weights are drawn."""
        self.pretrained = name
        self.awaits_pretrained = not self.is_materialised

    @in_ordinary_torch
    def materialise(self) -> None:
        """Allocate parameters and give them initial values, unless they have values."""
        if self.is_materialised:
            return
        # Read first: if that fails, there is still nothing, rather than random values.
        tensors = None
        if self.pretrained is not None and self.awaits_pretrained:
            tensors = load_pretrained(self.pretrained)
            load_vocabulary(self.pretrained, self.pieces)
        with self.all_or_none():
            for part in self.embedder.parts():
                if part is self.embedder.encoder and tensors is not None:
                    load_module(part, tensors, copy=False)
                else:
                    allocate(part)
                    part.reset_parameters()
            self.weights_replaced()
            self.awaits_pretrained = False

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Parameters that had no values have none if what gives them some is interrupted inside,
        by Ctrl-C or for want of memory; else they would be random, or allocated in part."""
        had_values, awaited = self.is_materialised, self.awaits_pretrained
        try:
            yield
        except BaseException:
            if not had_values:
                self.embedder.to(device="meta")
                self.weights_changed()
                self.awaits_pretrained = awaited
            raise

    @in_ordinary_torch
    def discard_parameters(self) -> None:
        """Drop all values, so that `materialise` draws new ones."""
        self.embedder.to(device="meta")
        self.weights_replaced()
        self.has_loaded = False
        self.awaits_pretrained = self.pretrained is not None

    @in_ordinary_torch
    def load_encoder(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of the encoder's parameters; others get initial ones."""
        with self.all_or_none():
            self.materialise()
            load_module(self.embedder.encoder, tensors)
            self.weights_replaced()
        self.has_loaded = True

    def predict(self, windows: Windows, wanted: Wanted = VECTORS) -> Embedded:
        """What the embedder makes of some windows; see Embedder.forward."""
        self.check_materialised()
        with torch.inference_mode():
            return cast(Embedded, self.embedder(windows, wanted))

    def begin_update(
        self, windows: Windows, wanted: Wanted = VECTORS
    ) -> tuple[Embedded, Callable[[Mapping[str, Tensor]], None]]:
        """The same in training, and a callback for the gradients of vectors, layers and states, by
        these names."""
        self.check_materialised()
        with torch.enable_grad(), self.training_mode():
            embedded: Embedded = self.embedder(windows, wanted)
        made = {name: getattr(embedded, name) for name in ("vectors", "layers", "states")}
        made = {name: tensor for name, tensor in made.items() if tensor is not None}

        def backprop(gradients: Mapping[str, Tensor]) -> None:
            pairs = [(made[name], gradient) for name, gradient in gradients.items()]
            backpropagate(*pairs, scale=self.scale)

        detached = {name: tensor.detach() for name, tensor in made.items()}
        return embedded._replace(**detached), backprop

    @contextmanager
    def training_mode(self) -> Iterator[None]:
        """Dropout acts inside, and never outside."""
        self.freeze_layers()
        modules = [m for m in (self.embedder, self.objective) if m is not None]
        for module in modules:
            module.train()
        try:
            yield
        finally:
            for module in modules:
                module.eval()

    def freeze_layers(self) -> None:
        """Keep gradients from being computed where the weights are to stay as they are.

        Until the next step, since what exceeds a budget is computed again in the backward pass.
        Pretraining trains all layers: it begins with random ones, and has the config of training.
        """
        if not self.layer_training.freezes:
            return
        encoder = self.embedder.encoder
        frozen: set[str] = set()
        if self.objective is None:
            frozen = self.layer_training.list_frozen(encoder, self.n_steps)
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(name not in frozen)
            if name in frozen:
                parameter.grad = None

    def finish_update(self, optimizer: Optimizer) -> None:
        super().finish_update(optimizer)
        self.n_steps += 1

    def find_rates(self) -> dict[str, float]:
        """Lower layers may learn less. In pretraining all learn alike."""
        if self.objective is not None:
            return {}
        rates = self.layer_training.find_rates(self.embedder.encoder)
        return {f"encoder.{name}": rate for name, rate in rates.items()}

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters of the embedder, and of the objective if there is one."""
        yield from self.embedder.named_parameters()
        if self.objective is not None:
            yield from self.objective.named_parameters(prefix="objective")

    def get_tensors(self) -> dict[str, Tensor]:
        """With those of the package, so that what is stored does not depend on its version."""
        self.take_pretrained()
        return super().get_tensors()

    @in_ordinary_torch
    def to_bytes(self) -> bytes:
        message = {"weights": super().to_bytes(), "pieces": self.pieces.to_json()}
        if self.objective is not None:
            message["objective"] = {
                "kind": self.objective.kind,
                "settings": self.objective.to_json(),
                "weights": safetensors.torch.save(get_tensors(self.objective)),
            }
        data: bytes = srsly.msgpack_dumps(message)
        return data

    @in_ordinary_torch
    def from_bytes(self, data: bytes) -> "EmbedderShim":
        with reading("What was stored", "an encoder"):
            message = srsly.msgpack_loads(data)
            stored, tensors = message.get("objective"), safetensors.torch.load(message["weights"])
            self.load_pieces(message["pieces"])
            if stored is None:
                self.load_weights(tensors)
            else:  # the mix belongs to the task, and may differ from that of pretraining
                names = [name for name in tensors if name.startswith("encoder.")]
                self.load_encoder({n.removeprefix("encoder."): tensors[n] for n in names})
            # `spacy pretrain` goes on with the objective it has saved; `spacy train` has none.
            if stored is not None and self.keeps_objective:
                kind = OBJECTIVES[stored["kind"]]
                objective = kind.from_json(stored["settings"], self.embedder.encoder).eval()
                load_module(objective, safetensors.torch.load(stored["weights"]))
                self.objective = objective
        return self

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Take what `get_tensors` has given."""
        if not tensors:
            self.discard_parameters()
            return
        load_module(self.embedder, tensors)
        self.weights_replaced()
        self.has_loaded, self.awaits_pretrained = True, False

    def load_pieces(self, data: dict[str, object]) -> None:
        """Take pieces from their serialised form."""
        pieces = pieces_from_json(data)
        found = (pieces.kind, pieces.n_ids, pieces.n_characters)
        expected = (self.pieces.kind, self.pieces.n_ids, self.pieces.n_characters)
        if found != expected:
            raise ValueError(Errors.E161.format(found=found, expected=expected))
        if pieces.is_learned:  # else the config has all of their settings
            self.pieces = pieces
            self.pieces_from_sample = False

    def check_materialised(self) -> None:
        """Load the weights of the package if they are wanted; refuse to go on without any."""
        self.take_pretrained()
        super().check_materialised()

    def take_pretrained(self) -> None:
        """Load the weights of the package where they are still to come: the first thread does,
        others wait. Leaves random numbers alone."""
        if not self.awaits_pretrained:
            return
        device = get_torch_default_device()
        devices = [] if device.type == "cpu" else [device]
        with LOCK, torch.random.fork_rng(devices=devices, device_type=device.type):
            if self.awaits_pretrained:
                self.materialise()


def is_of_pretraining(data: bytes) -> bool:
    return "objective" in srsly.msgpack_loads(data)


def get_shim(model: Model[Any, Any]) -> EmbedderShim:
    (shim,) = find_shims(model)
    return shim


def find_shims(model: Model[Any, Any]) -> list[EmbedderShim]:
    """The shims of all embedders in a model, however deep."""
    return [shim for node in model.walk() for shim in node.shims if isinstance(shim, EmbedderShim)]
