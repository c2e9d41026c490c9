"""Any encoder of the package transformers, run by that package."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import Errors
from .base import Encoder

if TYPE_CHECKING:
    from typing_extensions import Self

#: Keys of a config that name code to compute with, which may be fetched from the network.
KERNELS = {
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
    *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
}


class HuggingFaceEncoder(Encoder):
    """A model of transformers; its layers are the model's hidden states.

    Use it for architectures that this package does not implement. It is slower than the package's
    own encoders: only windows of one length share a batch.

    config: what the model's config.json says, model_type included. `import bert --wrap` writes it.

        encoder = HuggingFaceEncoder({"model_type": "electra", "num_hidden_layers": 2})
        encoder.reset_parameters()
        layers = encoder(ids, mask)  # ids, mask: (B, T)
    """

    #: In some families padding changes vectors, whatever the mask says (MobileBERT, YOSO,
    #: Nystromformer, ConvBERT, FNet). So batches have no padding.
    max_padding: ClassVar[float] = 0.0

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(locals())
        device = torch.get_default_device()
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            self.model = build_empty(config) if device.type == "meta" else build_model(config)
        sizes = self.model.config
        self.n_ids = sizes.vocab_size
        self.n_characters = None
        self.width = sizes.hidden_size
        self.n_layers = sizes.num_hidden_layers + 1
        self.padding = getattr(sizes, "pad_token_id", None) or 0
        self.max_length = find_max_length(self.model)
        # Tables that are computed, not learned. Neither `to_empty` nor the loading of parameters
        # gives them their values.
        self.constants = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        self.to(device)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """ids, mask: (B, T). Returns L of (N, D)."""
        T = ids.size(1)
        if T > (self.max_length or T):
            raise ValueError(Errors.E104.format(length=T, max_length=self.max_length))
        self.place_constants(ids.device)
        layers = self.model(
            input_ids=ids.long().masked_fill(~mask, self.padding),
            attention_mask=mask.long(),
            output_hidden_states=True,
        ).hidden_states  # L of (B, T, D)
        found = {tuple(layer.shape) for layer in layers}
        expected = (*ids.shape, self.width)
        if len(layers) != self.n_layers or found != {expected}:
            raise ValueError(
                Errors.E112.format(
                    name=type(self.model).__name__,
                    found=f"{len(layers)} layers of the shapes {sorted(found)}",
                    expected=f"{self.n_layers} of {expected}",
                )
            )
        return tuple(layer[mask] for layer in layers)

    def reset_parameters(self) -> None:
        """Normal with deviation 0.02; norms 1, biases 0. (That is BERT's; families differ.)"""
        for name, parameter in self.model.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 1:
                nn.init.ones_(parameter)
            else:
                nn.init.normal_(parameter, 0.0, 0.02)

    def parameter_layers(self) -> dict[str, int]:
        """What comes before the blocks is of layer 0, what comes after them of the last."""
        blocks = find_blocks(self, self.n_layers - 1)
        layers: dict[str, int] = {}
        outside = 0
        for name, _ in self.named_parameters():
            if name.startswith(blocks):
                layers[name] = int(name.removeprefix(blocks).split(".")[0]) + 1
                outside = self.n_layers - 1
            else:
                layers[name] = outside
        return layers

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Self":
        """Called by PyTorch for every change of device or storage."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # PyTorch's
        self.place_constants(next(self.parameters()).device)
        return self

    def place_constants(self, device: torch.device) -> None:
        """Put computed tables on a device, with their values; on the CPU for "meta"."""
        if device.type == "meta":
            device = torch.device("cpu")
        stored = set(self.model.state_dict())
        for name, value in self.constants.items():
            path, _, leaf = name.rpartition(".")
            if name not in stored:
                self.model.get_submodule(path).register_buffer(
                    leaf, value.to(device), persistent=False
                )


def build_model(config: Mapping[str, Any]) -> Any:
    """A model of transformers with random values. Raises E113 if it has no encoder of its own."""
    sizes = build_sizes(config)
    from transformers import AutoModel

    try:
        return AutoModel.from_config(sizes, trust_remote_code=False)
    except Exception as error:  # families check their values in many ways
        raise_unfit(config, str(error), error)


def build_sizes(config: Mapping[str, Any]) -> Any:
    """What transformers makes of a model's config.json, its defaults included.

    Raises E111 without the package transformers, E113 for a config that is not an encoder's.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError(Errors.E111.format(name="HuggingFace.v1")) from error
    settings = {name: value for name, value in config.items() if name not in KERNELS}
    model_type = settings.pop("model_type", None)
    try:
        sizes = AutoConfig.for_model(model_type, **settings)
    except Exception as error:  # families check their values in many ways
        raise_unfit(config, str(error), error)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers"):
        if not isinstance(getattr(sizes, name, None), int):
            raise_unfit(config, f"its config has no {name}")
    if getattr(sizes, "is_encoder_decoder", False):
        raise_unfit(config, "it has a decoder")
    return sizes


def raise_unfit(config: Mapping[str, Any], reason: str, error: Exception | None = None) -> NoReturn:
    shown = " ".join(reason.split())[:200]
    model_type = config.get("model_type")
    raise ValueError(Errors.E113.format(model_type=model_type, reason=shown)) from error


class EmptyOnMeta(TorchFunctionMode):
    """Inside, `torch.empty` allocates nothing: parameters begin with it, computed tables do not."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.empty:
            return func(*args, **{**(kwargs or {}), "device": "meta"})
        return func(*args, **(kwargs or {}))


def build_empty(config: Mapping[str, Any]) -> Any:
    """A model whose computed tables have values; its parameters need none, which saves seconds."""
    with EmptyOnMeta():
        model = build_model(config)
    if any(buffer.is_meta for buffer in model.buffers()):
        return build_model(config)
    return model


def find_max_length(model: nn.Module) -> int | None:
    """The longest window. RoBERTa and its kin count positions from one after that of padding."""
    longest: int | None = getattr(model.config, "max_position_embeddings", None)
    if longest is None or longest < 1:
        return None
    for name, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and name.endswith("position_embeddings")
        if is_table and module.padding_idx is not None:
            return longest - module.padding_idx - 1
    return longest


def find_blocks(encoder: HuggingFaceEncoder, n_blocks: int) -> str:
    """How the names of the blocks' parameters begin: the largest list of n_blocks modules.

    Raises E109 if there is no such list.
    """
    sizes = {
        f"{name}.": sum(parameter.numel() for parameter in module.parameters())
        for name, module in encoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks
    }
    if not sizes:
        name = type(encoder.model).__name__
        raise ValueError(Errors.E109.format(name=name, n_blocks=n_blocks, n_layers=n_blocks + 1))
    return max(sizes, key=lambda name: sizes[name])
