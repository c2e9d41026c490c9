"""A listener that mixes the layers of the encoder for its own component.

ELMo's `num_output_representations`: K tasks on top of one encoder, each with weights of its own
(Peters et al. 2018, "Deep contextualized word representations", equation 1).
"""

from collections.abc import Sequence
from typing import Any, cast

import safetensors.torch
import torch
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model, get_torch_default_device, xp2torch
from thinc.types import Floats2d, Floats3d

from ..doc_vectors import LAYERS, fit_tokens, user_key
from ..embedder.layer_mix import TokenMix, mix_tokens
from ..encoders import Encoder
from ..errors import Errors
from ..thinc_model.arrays_and_tensors import join, run, split, split_vectors, to_array
from ..thinc_model.torch_module_shim import TorchShim
from ..torch_state import in_ordinary_torch
from .listener import (
    Backprop,
    check_factor,
    fetch,
    guard,
    missing,
    needs_outputs,
    no_backprop,
    remember_sample,
)


class LayerMixListener(Tok2VecListener):
    """Gets all layers of the encoder, and makes of them a vector for each token.

    Its weights are as many as the encoder has layers: there are none before it is linked to
    one, or loaded.
    """

    name = "layer-mix-listener"

    def __init__(
        self, upstream_name: str, width: int, *, layer_norm: str | None, grad_factor: float = 1.0
    ) -> None:
        super().__init__(upstream_name, width)
        self.shims.append(MixShim(width, layer_norm))
        guard(self).grad_factor = check_factor(grad_factor)
        self._func = listen_to_layers
        self.init = init

    @property
    def mix(self) -> TokenMix:
        return get_mix_shim(self).mix

    def fit_encoder(self, upstream: str, component: str, encoder: Encoder) -> None:
        """Take as many layers as the encoder of an upstream component has.

        Raises E032 for another width than the encoder's, and E029 for a trained mix of another
        number of layers.
        """
        found, width, n_layers = self.get_dim("nO"), encoder.width, encoder.n_layers
        if found != width:
            message = Errors.E032.format(
                component=component, found=found, name=upstream, width=width
            )
            raise ValueError(message)
        shim = get_mix_shim(self)
        if shim.mix.n_layers != n_layers:
            if shim.is_trained:
                message = Errors.E029.format(
                    component=component, found=shim.mix.n_layers, name=upstream, n_layers=n_layers
                )
                raise ValueError(message)
            shim.build_mix(n_layers)


class MixShim(TorchShim):
    """Holds the mix of a listener; one of no layers until their number is known."""

    @in_ordinary_torch
    def __init__(self, width: int, layer_norm: str | None) -> None:
        super().__init__(TokenMix(0, width, layer_norm=layer_norm))
        self.mix.reset_parameters()

    @property
    def mix(self) -> TokenMix:
        return cast(TokenMix, self.module)

    @property
    def is_trained(self) -> bool:
        """Whether the weights are others than those it begins with."""
        return bool((self.mix.weights != 0).any() or (self.mix.gamma != 1).any())

    @in_ordinary_torch
    def build_mix(self, n_layers: int) -> None:
        """Begin with a plain average of so many layers."""
        mix = TokenMix(n_layers, self.mix.width, layer_norm=self.mix.layer_norm)
        mix.reset_parameters()
        self._model = mix.to(get_torch_default_device()).eval()

    def from_bytes(self, data: bytes) -> "MixShim":
        self.build_mix(len(safetensors.torch.load(data)["weights"]))
        return super().from_bytes(data)


def get_mix_shim(listener: Model[Any, Any]) -> MixShim:
    """The mix of a listener, also of a copy, for which Thinc makes a plain model."""
    return cast(MixShim, listener.shims[0])


def init(
    listener: Model[Any, Any], X: Sequence[Doc] | None = None, Y: list[Floats2d] | None = None
) -> None:
    remember_sample(listener, X, Y)
    get_mix_shim(listener).mix.reset_parameters()


@in_ordinary_torch
def listen_to_layers(
    listener: Model[Any, Any], docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Backprop]:
    """The mixed vectors of each Doc, (n_tokens, D)."""
    mix, known = get_mix_shim(listener).mix, guard(listener)
    known.check()
    if not mix.n_layers:  # neither linked nor loaded
        raise RuntimeError(Errors.E031.format(upstream=known.upstream))
    by_doc, backprop_layers = fetch(listener, docs, is_train, LAYERS, read_layers)
    if not docs:
        return [], no_backprop
    ops, sizes = listener.ops, [len(doc) for doc in docs]
    joined = ops.xp.concatenate(by_doc, axis=1)  # a copy: what was stored may be read-only
    layers = xp2torch(joined, device=get_mix_shim(listener).device)  # (L, W, D)
    has_vector = layers.ne(0).any(dim=2).any(dim=0)  # (W,)
    n_tokens = torch.stack([part.sum() for part in has_vector.split(sizes)])
    mixed, backprop_mix = run(
        lambda inputs: mix_tokens(mix, inputs[0], has_vector, n_tokens),
        [layers],
        is_train=is_train,
        is_upstream_trained=backprop_layers is not no_backprop,
    )

    @in_ordinary_torch
    def backprop(d_mixed: list[Floats2d]) -> list[Doc]:
        for d_layers in backprop_mix(join(d_mixed, axis=0, device=layers.device)):
            if d_layers is not None:
                backprop_layers(split(to_array(d_layers, ops), sizes, axis=1))
        return []

    return split_vectors(mixed, docs, ops), backprop


def read_layers(listener: Model[Any, Any], doc: Doc, is_train: bool) -> Floats3d:
    """doc._.ctxemb, or an error where it is missing or of another shape. (L, n_tokens, D)"""
    known = guard(listener)
    fit_tokens(doc)
    expected = (get_mix_shim(listener).mix.n_layers, len(doc), listener.get_dim("nO"))
    layers = doc.user_data.get(user_key(LAYERS))
    if layers is None:
        if needs_outputs(known, doc):
            if not known.component:
                raise RuntimeError(Errors.E031.format(upstream=known.upstream))
            raise missing(Errors.E025 if is_train else Errors.E028, known, doc)
        return listener.ops.alloc3f(*expected)
    if layers.shape != expected:
        names = {"component": known.component, "upstream": known.upstream}
        raise ValueError(Errors.E030.format(found=layers.shape, expected=expected, **names))
    return listener.ops.asarray3f(layers)
