"""What holds for every encoder. A new one is found by its entry point and tested on arrival."""

import inspect
import json
from collections.abc import Callable
from importlib.metadata import distribution
from importlib.util import find_spec
from typing import Any, get_type_hints

import pytest
import torch
from torch import Tensor

from spacy_ctxemb.encoders import Encoder, TransformerEncoder

from ..tiny import check_gradient, draw_ids, pad, randomise, unpack

#: Small sizes, so that the tests are fast; an encoder that is not here is tested as it comes.
SETTINGS: dict[str, dict[str, Any]] = {
    "spacy-ctxemb.BiLM.v1": {
        "width": 8,
        "hidden_width": 6,
        "n_lstm_layers": 2,
        "filters": [[1, 3], [2, 4], [3, 5]],
        "character_width": 3,
        "max_characters": 7,
    },
    "spacy-ctxemb.Transformer.v1": {
        "vocab_size": 30,
        "width": 8,
        "n_blocks": 2,
        "n_heads": 2,
        "feedforward_width": 16,
        "max_length": 16,
    },
    "spacy-ctxemb.ModernTransformer.v1": {
        "vocab_size": 30,
        "width": 8,
        "n_blocks": 4,
        "n_heads": 2,
        "feedforward_width": 12,
        "max_length": 16,
        "local_window": 4,
    },
    "spacy-ctxemb.HuggingFace.v1": {
        "config": {
            "model_type": "electra",  # whose parameters are all in use: it has no pooler
            "vocab_size": 30,
            "embedding_size": 8,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 16,
        },
    },
}

#: Packages that encoders need and that need not be installed.
NEEDED = {"spacy-ctxemb.HuggingFace.v1": "transformers"}


def find_builders() -> dict[str, Callable[..., Encoder]]:
    """The registered builders whose annotation promises an encoder."""
    points = distribution("spacy-ctxemb").entry_points.select(group="spacy_architectures")
    builders = {point.name: point.load() for point in points}
    returned = {name: get_type_hints(build).get("return") for name, build in builders.items()}
    return {
        name: builders[name]
        for name, kind in returned.items()
        if isinstance(kind, type) and issubclass(kind, Encoder)
    }


BUILDERS = find_builders()

each_encoder = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in NEEDED and find_spec(NEEDED[name]) is None,
                reason=f"{NEEDED.get(name)} is not installed",
            ),
        )
        for name in BUILDERS
    ],
)


def build_empty(name: str) -> Encoder:
    """The encoder as a config builds it: without values."""
    return BUILDERS[name](**SETTINGS.get(name, {}))


def build(name: str, *, seed: int = 0) -> Encoder:
    """The encoder in evaluation mode, with random values."""
    return randomise(build_empty(name).to_empty(device="cpu"), seed=seed).eval()


def run(encoder: Encoder, ids: Tensor, mask: Tensor) -> Tensor:
    """All layers. (L, B, T, D)"""
    with torch.no_grad():
        return torch.stack([unpack(layer, mask) for layer in encoder(ids, mask)])


def draw_windows(encoder: Encoder) -> tuple[list[Tensor], Tensor, Tensor]:
    """Windows of several lengths, alone and as a batch."""
    windows = [draw_ids(encoder, length, seed=length) for length in (5, 9, 3, 9, 2)]
    return windows, *pad(windows)


def test_known_encoders_are_found() -> None:
    assert set(SETTINGS) <= set(BUILDERS)


@each_encoder
class TestEncoder:
    def test_layers_have_the_promised_shape(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        layers = encoder(ids, mask)
        assert isinstance(layers, tuple) and len(layers) == encoder.n_layers > 1
        for layer in layers:
            assert layer.shape == (5 + 9 + 3 + 9 + 2, encoder.width)
            assert layer.dtype == torch.float32
            assert layer.isfinite().all()

    def test_settings_build_it_again(self, name: str) -> None:
        encoder = build_empty(name)
        assert SETTINGS.get(name, {}).items() <= encoder.settings.items()
        again = type(encoder)(**json.loads(json.dumps(encoder.settings)))
        assert again.settings == encoder.settings
        shapes = [{n: p.shape for n, p in e.named_parameters()} for e in (encoder, again)]
        assert shapes[0] == shapes[1]

    def test_integers_may_have_32_bits(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        assert torch.equal(run(encoder, ids.int(), mask)[:, mask], run(encoder, ids, mask)[:, mask])

    def test_padding_changes_nothing(self, name: str) -> None:
        encoder = build(name)
        windows, ids, mask = draw_windows(encoder)
        expected = run(encoder, ids, mask)[:, mask]
        longer, longer_mask = pad(windows, T=13)
        found = run(encoder, longer, longer_mask)[:, longer_mask]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    def test_what_stands_at_padded_steps_changes_nothing(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        other = ids.clone()
        other[~mask] = draw_ids(encoder, int((~mask).sum()), seed=99)
        found, expected = run(encoder, other, mask), run(encoder, ids, mask)
        torch.testing.assert_close(found[:, mask], expected[:, mask], rtol=1e-5, atol=1e-5)

    def test_the_batch_changes_nothing(self, name: str) -> None:
        encoder = build(name)
        windows, ids, mask = draw_windows(encoder)
        together = run(encoder, ids, mask)
        for b, window in enumerate(windows):
            alone = run(encoder, *pad([window]))[:, 0]
            found = together[:, b, : len(window)]
            torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)

    def test_the_first_layer_is_context_free_and_others_are_not(self, name: str) -> None:
        encoder = build(name)
        ids = draw_ids(encoder, 1, 8)
        mask = torch.ones(1, 8, dtype=torch.bool)
        before = run(encoder, ids, mask)
        other = draw_ids(encoder, 1, 8, seed=1)
        other[:, 4] = ids[:, 4]
        after = run(encoder, other, mask)
        torch.testing.assert_close(after[0, :, 4], before[0, :, 4], rtol=1e-5, atol=1e-6)
        changes = (after - before)[1:, 0, 4].abs().amax(dim=-1)
        assert (changes > 1e-3).all()

    def test_every_parameter_has_a_gradient(self, name: str) -> None:
        encoder = build(name).train()
        _, ids, mask = draw_windows(encoder)
        layers = torch.stack(encoder(ids, mask))
        (layers * torch.linspace(-1, 1, layers.numel()).view(layers.shape)).sum().backward()
        for parameter_name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all() and parameter.grad.any(), parameter_name

    def test_gradient_equals_finite_differences(self, name: str) -> None:
        encoder = build(name).double()
        _, ids, mask = draw_windows(encoder)
        check_gradient(
            lambda: torch.stack(encoder(ids, mask)).pow(3).sum(),
            encoder.named_parameters(),
        )

    def test_training_in_bf16_is_near_fp32(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        results = []
        for is_low in (False, True):
            encoder.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_low):
                layers = torch.stack([layer.float() for layer in encoder(ids, mask)])
            layers.pow(2).sum().backward()
            gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
            assert all(gradient.dtype == torch.float32 for gradient in gradients)
            results.append((layers.detach(), torch.cat([g.flatten() for g in gradients])))
        for exact, low in zip(*results, strict=True):
            assert 0.0 < (low - exact).norm() < 0.05 * exact.norm()

    def test_dropout_acts_in_training_only(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        expected = run(encoder, ids, mask)[:, mask]
        torch.manual_seed(0)
        for rate in (0.0, 0.5):
            encoder.set_dropout(rate)
            assert torch.equal(run(encoder.eval(), ids, mask)[:, mask], expected)
            first, second = (run(encoder.train(), ids, mask)[:, mask] for _ in range(2))
            assert torch.allclose(first, expected, atol=1e-6) == (rate == 0.0)
            assert torch.equal(first, second) == (rate == 0.0)

    def test_building_allocates_nothing(self, name: str) -> None:
        encoder = build_empty(name)
        assert list(encoder.parameters())
        assert all(tensor.is_meta for tensor in encoder.state_dict().values())

    def test_reset_fills_every_parameter(self, name: str) -> None:
        encoder = build_empty(name).to_empty(device="cpu")
        with torch.no_grad():
            for tensor in encoder.state_dict().values():
                tensor.fill_(torch.nan)
        encoder.reset_parameters()
        assert all(tensor.isfinite().all() for tensor in encoder.state_dict().values())
        _, ids, mask = draw_windows(encoder)
        assert run(encoder.eval(), ids, mask)[:, mask].isfinite().all()

    def test_initial_values_follow_the_seed(self, name: str) -> None:
        states = []
        for seed in (0, 0, 1):
            encoder = build_empty(name).to_empty(device="cpu")
            torch.manual_seed(seed)
            encoder.reset_parameters()
            states.append(torch.cat([value.flatten() for value in encoder.state_dict().values()]))
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])

    def test_all_values_are_in_the_state(self, name: str) -> None:
        encoder, other = build(name), build(name, seed=1)
        _, ids, mask = draw_windows(encoder)
        expected = run(encoder, ids, mask)[:, mask]
        assert not torch.allclose(run(other, ids, mask)[:, mask], expected)
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(run(other, ids, mask)[:, mask], expected)

    def test_every_id_and_length_is_taken(self, name: str) -> None:
        encoder = build(name)
        ids = draw_ids(encoder, 1, encoder.max_length or 50)
        ids[0, -1] = encoder.n_ids - 1
        mask = torch.ones(ids.shape[:2], dtype=torch.bool)
        assert run(encoder, ids, mask).isfinite().all()

    def test_calls_do_not_change_their_input(self, name: str) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        ids_before, mask_before = ids.clone(), mask.clone()
        run(encoder, ids, mask)
        assert torch.equal(ids, ids_before) and torch.equal(mask, mask_before)

    def test_padding_is_limited_to_a_share(self, name: str) -> None:
        assert 0.0 <= build_empty(name).max_padding <= 1.0

    def test_every_parameter_belongs_to_one_layer(self, name: str) -> None:
        encoder = build_empty(name)
        layers = encoder.parameter_layers()
        assert list(layers) == [parameter for parameter, _ in encoder.named_parameters()]
        assert set(layers.values()) == set(range(encoder.n_layers))

    def test_layers_depend_on_their_parameters_and_not_on_those_of_later_ones(
        self, name: str
    ) -> None:
        encoder = build(name)
        _, ids, mask = draw_windows(encoder)
        places = encoder.parameter_layers()
        before = run(encoder, ids, mask)[:, mask]
        for layer in reversed(range(encoder.n_layers)):
            with torch.no_grad():
                for parameter_name, parameter in encoder.named_parameters():
                    if places[parameter_name] == layer:
                        parameter += torch.linspace(-1, 1, parameter.numel()).view_as(parameter)
            encoder.weights_changed()
            after = run(encoder, ids, mask)[:, mask]
            assert torch.equal(after[:layer], before[:layer])
            assert not torch.allclose(after[layer], before[layer])


def test_settings_are_in_the_order_of_the_constructor() -> None:
    """Whatever that of its local variables, which differs between versions of Python."""
    with torch.device("meta"):
        encoder = TransformerEncoder(vocab_size=10, width=8, n_blocks=1, n_heads=2)
    again = TransformerEncoder.__new__(TransformerEncoder)
    Encoder.__init__(again, dict(reversed(encoder.settings.items())))
    assert [*again.settings] == [*inspect.signature(TransformerEncoder).parameters]
    assert again.settings == encoder.settings
