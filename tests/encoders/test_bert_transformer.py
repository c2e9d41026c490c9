"""The Transformer against PyTorch's own layers."""

import pytest
import torch
from torch import Tensor, nn

from spacy_ctxemb.encoders import TransformerEncoder
from spacy_ctxemb.encoders.transformer_blocks import Block

from ..tiny import build_transformer, check_gradient, draw_ids, pad, unpack


def run(encoder: TransformerEncoder, ids: Tensor, mask: Tensor, **kwargs: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [unpack(layer, mask) for layer in encoder(ids, mask, **kwargs)]


def draw_windows(encoder: TransformerEncoder, *lengths: int) -> tuple[Tensor, Tensor]:
    return pad([draw_ids(encoder, length, seed=length) for length in lengths])


def build_pytorch_layer(block: Block, *, width: int, n_heads: int, epsilon: float) -> nn.Module:
    """PyTorch's layer with the weights of a block."""
    layer = nn.TransformerEncoderLayer(
        width,
        n_heads,
        dim_feedforward=block.feedforward.inner.out_features,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=epsilon,
        batch_first=True,
        norm_first=block.pre_norm,
    )
    state = {
        "self_attn.in_proj_": block.attention.query_key_value,
        "self_attn.out_proj.": block.attention.output,
        "linear1.": block.feedforward.inner,
        "linear2.": block.feedforward.outer,
        "norm1.": block.attention_norm,
        "norm2.": block.feedforward_norm,
    }
    layer.load_state_dict(
        {name + end: getattr(m, end) for name, m in state.items() for end in ("weight", "bias")}
    )
    return layer.eval()


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("n_heads", [1, 2, 4])
@pytest.mark.parametrize("lengths", [(6, 6), (9, 4, 1)])
def test_blocks_equal_pytorch_layers(
    pre_norm: bool, n_heads: int, lengths: tuple[int, ...]
) -> None:
    encoder = build_transformer(
        n_blocks=3, n_heads=n_heads, pre_norm=pre_norm, layer_norm_epsilon=1e-3
    )
    ids, mask = draw_windows(encoder, *lengths)
    layers = run(encoder, ids, mask)
    x = layers[0]
    for i, block in enumerate(encoder.blocks):
        layer = build_pytorch_layer(block, width=8, n_heads=n_heads, epsilon=1e-3)
        with torch.no_grad():
            x = layer(x, src_key_padding_mask=~mask)
            is_last = i == len(encoder.blocks) - 1
            expected = encoder.final_norm(x) if pre_norm and is_last else x
        torch.testing.assert_close(layers[i + 1][mask], expected[mask], rtol=1e-5, atol=1e-5)


def test_the_first_layer_is_the_normalised_sum_of_embeddings() -> None:
    encoder = build_transformer(n_segments=3)
    ids, mask = draw_windows(encoder, 5, 3)
    segments = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    first = run(encoder, ids, mask, segments=segments)[0]
    tables = (encoder.piece_embedding, encoder.position_embedding, encoder.segment_embedding)
    for b, t in mask.nonzero().tolist():
        rows = (int(ids[b, t]), t, int(segments[b, t]))
        x = sum(table.weight[row] for table, row in zip(tables, rows, strict=True)).detach()
        x = (x - x.mean()) / x.std(correction=0)
        expected = x * encoder.norm.weight + encoder.norm.bias
        torch.testing.assert_close(first[b, t], expected, rtol=1e-5, atol=1e-5)


def test_no_segments_mean_the_first_segment() -> None:
    encoder = build_transformer()
    ids, mask = draw_windows(encoder, 5, 3)
    zeros = run(encoder, ids, mask, segments=torch.zeros_like(ids))
    ones = run(encoder, ids, mask, segments=torch.ones_like(ids))
    for a, b, c in zip(run(encoder, ids, mask), zeros, ones, strict=True):
        torch.testing.assert_close(a, b)
        assert not torch.allclose(a[mask], c[mask])


@pytest.mark.parametrize("n_segments", [0, 1])
def test_pairs_need_two_segments(n_segments: int) -> None:
    encoder = build_transformer(n_segments=n_segments)
    ids, mask = draw_windows(encoder, 5, 3)
    with pytest.raises(ValueError, match=rf"\[E110\].*n_segments = {n_segments}\. Set it to 2"):
        encoder(ids, mask, torch.zeros_like(ids))


def test_order_matters() -> None:
    encoder = build_transformer()
    ids, mask = draw_windows(encoder, 6)
    swapped = ids[:, [0, 2, 1, 3, 4, 5]]
    before, after = run(encoder, ids, mask)[-1], run(encoder, swapped, mask)[-1]
    assert not torch.allclose(before[:, 1], after[:, 2], atol=1e-3)


@pytest.mark.parametrize("seen_from, changed", [(0, 5), (5, 0)])
def test_attention_looks_both_ways(seen_from: int, changed: int) -> None:
    encoder = build_transformer(n_blocks=1)
    ids, mask = draw_windows(encoder, 6)
    other = ids.clone()
    other[:, changed] = ids[:, changed] % (encoder.n_ids - 1) + 1
    before, after = run(encoder, ids, mask)[-1], run(encoder, other, mask)[-1]
    assert (before - after)[:, seen_from].abs().max() > 1e-4


@pytest.mark.parametrize("pre_norm", [False, True])
def test_gradient_equals_finite_differences(pre_norm: bool) -> None:
    encoder = build_transformer(pre_norm=pre_norm).double()
    ids, mask = draw_windows(encoder, 6, 4)
    segments = ids % 2

    def compute_loss() -> Tensor:
        layers = torch.stack(encoder(ids, mask, segments))
        return layers.pow(3).sum()

    check_gradient(compute_loss, encoder.named_parameters())


@pytest.mark.parametrize("site", ["embeddings", "attention", "sub-layers"])
def test_dropout_acts_at_three_places(site: str) -> None:
    encoder = build_transformer().train()
    ids, mask = draw_windows(encoder, 6)
    encoder.set_dropout(0.0)
    expected = run(encoder, ids, mask)
    places = {
        "embeddings": [encoder.dropout],
        "attention": [block.attention.dropout for block in encoder.blocks],
        "sub-layers": [block.dropout for block in encoder.blocks],
    }
    for dropout in places[site]:
        dropout.p = 0.5
    torch.manual_seed(0)
    found = run(encoder, ids, mask)
    assert torch.equal(found[0], expected[0]) == (site != "embeddings")
    assert not torch.allclose(found[1], expected[1], atol=1e-3)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_initial_values_are_those_of_bert(pre_norm: bool) -> None:
    torch.manual_seed(0)
    encoder = build_transformer(
        vocab_size=500,
        width=64,
        feedforward_width=128,
        max_length=64,
        n_segments=90,
        pre_norm=pre_norm,
    )
    encoder.reset_parameters()
    for name, parameter in encoder.named_parameters():
        if "norm" in name:
            assert (parameter == (1.0 if name.endswith("weight") else 0.0)).all()
        elif name.endswith("bias"):
            assert not parameter.any()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05)


def test_windows_that_are_too_long_are_refused() -> None:
    encoder = build_transformer(max_length=7)
    run(encoder, *draw_windows(encoder, 7))
    message = r"\[E104\] A window of 8 pieces exceeds the encoder's max_length of 7"
    with pytest.raises(ValueError, match=message):
        run(encoder, *draw_windows(encoder, 8))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    message = r"\[E103\] width 8 does not divide into 3 attention heads"
    with pytest.raises(ValueError, match=message):
        build_transformer(n_heads=3)


class TestPrecision:
    @pytest.mark.parametrize("precision, limit", [("medium", 0.05), ("bf16", 0.1), ("int8", 0.1)])
    def test_lower_precisions_are_near_fp32(self, precision: str, limit: float) -> None:
        encoder = build_transformer(width=32, n_heads=4, feedforward_width=64)
        encoder.reset_parameters()
        ids, mask = draw_windows(encoder, 9, 9, 4)
        exact = run(encoder, ids, mask)
        encoder.set_precision(precision)
        rounded = run(encoder, ids, mask)
        difference = max(float((a - b).abs().max()) for a, b in zip(exact, rounded, strict=True))
        assert 1e-5 < difference < limit

    @pytest.mark.parametrize("precision", ["medium", "bf16", "int8"])
    def test_training_is_in_fp32(self, precision: str) -> None:
        encoder = build_transformer()
        ids, mask = draw_windows(encoder, 9, 4)
        expected = encoder(ids, mask)
        encoder.set_precision(precision)
        for found, layer in zip(encoder(ids, mask), expected, strict=True):
            assert torch.equal(found, layer)

    def test_new_weights_count(self) -> None:
        encoder = build_transformer()
        ids, mask = draw_windows(encoder, 9, 4)
        before = run(encoder, ids, mask)
        with torch.no_grad():
            encoder.blocks[0].feedforward.inner.weight.mul_(1.5)
        after = run(encoder, ids, mask)
        assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1])
        expected = [unpack(layer, mask) for layer in encoder(ids, mask)]
        torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-5)


def test_shared_blocks_run_one_after_the_other() -> None:
    encoder = build_transformer(n_blocks=4, n_groups=2)
    assert len(encoder.blocks) == 2
    twin = build_transformer(n_blocks=4)
    state = encoder.state_dict()
    for i in range(4):
        state |= {
            name.replace(f"blocks.{i // 2}.", f"blocks.{i}."): value
            for name, value in encoder.state_dict().items()
            if name.startswith(f"blocks.{i // 2}.")
        }
    twin.load_state_dict(state)
    ids, mask = draw_windows(encoder, 6, 3)
    torch.testing.assert_close(run(encoder, ids, mask), run(twin, ids, mask))


def test_what_several_blocks_use_belongs_to_one_layer() -> None:
    encoder = build_transformer(n_blocks=4, n_groups=2, n_position_buckets=4, pre_norm=True)
    layers = encoder.parameter_layers()
    found = {name: layers[name] for name in layers if name.endswith(("norm.weight", "bias.weight"))}
    assert found == {
        "norm.weight": 0,
        "position_bias.weight": 1,
        "blocks.0.attention_norm.weight": 2,
        "blocks.0.feedforward_norm.weight": 2,
        "blocks.1.attention_norm.weight": 4,
        "blocks.1.feedforward_norm.weight": 4,
        "final_norm.weight": 4,
    }


@pytest.mark.parametrize("n_groups", [0, 4])
def test_groups_are_as_many_as_blocks_at_most(n_groups: int) -> None:
    message = rf"\[E107\] n_groups is {n_groups}, but must be from 1 to the number of blocks, 3"
    with pytest.raises(ValueError, match=message):
        build_transformer(n_blocks=3, n_groups=n_groups)


def test_an_unknown_activation_is_refused() -> None:
    message = r"\[E100\] There is no activation 'swish'. Use one of \['gelu', 'gelu_tanh', 'relu'"
    with pytest.raises(ValueError, match=message):
        build_transformer(activation="swish")


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_activations_in_place_are_equal(activation: str) -> None:
    encoder = build_transformer(activation=activation)
    ids, mask = draw_windows(encoder, 6, 3)
    expected = [unpack(layer, mask) for layer in encoder(ids, mask)]
    torch.testing.assert_close(run(encoder, ids, mask), expected, rtol=1e-5, atol=1e-5)
