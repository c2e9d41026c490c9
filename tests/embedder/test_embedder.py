"""The whole path from windows to token vectors."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_ctxemb.embedder.embedder import Embedder
from spacy_ctxemb.embedder.layer_mix import (
    BuildMix,
    ChosenLayer,
    ConcatLayers,
    LastLayers,
    ScalarMix,
    TokenMix,
)
from spacy_ctxemb.embedder.output_types import Wanted
from spacy_ctxemb.encoders.gradient_checkpointing import set_recomputation
from spacy_ctxemb.windows.pieces_to_windows import Windowing, Windows, lay_windows

from ..tiny import (
    build_bilm,
    build_transformer,
    check_gradient,
    cut_windows,
    draw_ids,
    pad,
    randomise,
)

ENCODERS = {"bilm": build_bilm, "transformer": build_transformer}
MIXES: dict[str, BuildMix] = {
    "scalar": ScalarMix,
    "scalar with norm": partial(ScalarMix, layer_norm="document"),
    "tokens": TokenMix,
    "tokens with norm": partial(TokenMix, layer_norm="document"),
    "layer": partial(ChosenLayer, layer=1),
    "last": partial(LastLayers, n=2),
    "concat": ConcatLayers,
}

# Windows of 5 pieces that overlap by 2 to 4.
WINDOWING = Windowing(window=5, stride=3, batch_pieces=21, max_padding=0.3)

# Three documents; tokens of 0 to 3 pieces. The Transformer's share some, and some are of none.
LENGTHS = {"bilm": [1, 1, 0, 1] + [1] * 9 + [0, 1], "transformer": [2, 0, 3, 1, 1, 2, 3, 1, 1, 0]}
STARTS = {
    "bilm": [0, 1, 2, 2, *range(3, 12), 12, 12],
    "transformer": [0, 2, 1, 3, 5, 5, 8, 11, 13, 14],
}
DOCUMENTS = {"bilm": [3, 9, 1], "transformer": [5, 8, 1]}

# Tokens of each document, and those of them that have pieces.
ALL_TOKENS = {"bilm": [4, 9, 2], "transformer": [4, 4, 2]}
N_TOKENS = {"bilm": [3, 9, 1], "transformer": [3, 4, 1]}


def build_embedder(
    kind: str, mix: str = "scalar", *, pooling: str = "mean", width: int | None = None
) -> Embedder:
    embedder = Embedder(ENCODERS[kind](), MIXES[mix], pooling=pooling, width=width)
    return randomise(embedder).eval()


def draw_pieces(embedder: Embedder, kind: str) -> Tensor:
    return draw_ids(embedder.encoder, sum(DOCUMENTS[kind]))


def cut(embedder: Embedder, kind: str, windowing: Windowing = WINDOWING) -> Windows:
    """Windows of random pieces."""
    ids = draw_pieces(embedder, kind)
    return cut_windows(ids, LENGTHS[kind], DOCUMENTS[kind], windowing, starts=STARTS[kind])


def embed_plainly(embedder: Embedder, kind: str, ids: Tensor, windowing: Windowing) -> Tensor:
    """Token vectors by loops over documents, windows, pieces and tokens, one at a time."""
    begin, end = torch.full_like(ids[:1], 1), torch.full_like(ids[:1], 2)
    pieces, start = [], 0
    for n in DOCUMENTS[kind]:
        document = ids[start : start + n]
        starts, size = lay_windows(n, windowing)
        last = n - size
        layers = {
            s: torch.stack(
                embedder.encoder(*pad([torch.cat([begin, document[s : s + size], end])]))
            )[:, 1:-1]
            for s in starts
        }
        for p in range(n):

            def context(s: int, p: int = p, last: int = last, size: int = size) -> float:
                left = float("inf") if s == 0 else p - s
                right = float("inf") if s == last else s + size - 1 - p
                return min(left, right)

            # Of two windows that give a piece equal context the later one owns it.
            best = max((s for s in starts if s <= p < s + size), key=lambda s: (context(s), s))
            pieces.append(layers[best][:, p - best])
        start += n
    layers = torch.stack(pieces, dim=1)
    starts, lengths = torch.tensor(STARTS[kind]), torch.tensor(LENGTHS[kind])
    layers = layers[list(embedder.mix.layers)]
    if embedder.mix.of_tokens:
        pooled = torch.stack([embedder.pool(layer, starts, lengths) for layer in layers])
        tokens = pooled.new_zeros(len(lengths), embedder.mix.width)
        chosen = lengths > 0
        tokens[chosen] = embedder.mix(pooled[:, chosen], torch.tensor(N_TOKENS[kind]))
    else:
        mixed = embedder.mix(layers, torch.tensor(DOCUMENTS[kind]))
        tokens = embedder.pool(mixed, starts, lengths)
    if embedder.projection is not None:
        tokens = tokens @ embedder.projection.weight.T + embedder.projection.bias
    return tokens * torch.tensor([[float(n > 0)] for n in LENGTHS[kind]])


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("kind", ENCODERS)
def test_vectors_equal_a_plain_loop(kind: str, mix: str, width: int | None) -> None:
    embedder = build_embedder(kind, mix, pooling="max", width=width)
    ids, windows = draw_pieces(embedder, kind), cut(embedder, kind)
    expected = embed_plainly(embedder, kind, ids, WINDOWING)
    torch.testing.assert_close(embedder(windows).vectors, expected, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(embedder(windows).vectors, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mix", ["scalar", "scalar with norm", "tokens with norm"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_gradient_equals_finite_differences(kind: str, mix: str) -> None:
    """A piece is read by several windows but owned by one: the gradient knows the difference."""
    embedder = build_embedder(kind, mix, width=3).double()
    windows = cut(embedder, kind)
    assert sum(len(batch.ids) for batch in windows.batches) > len(DOCUMENTS[kind])
    check_gradient(lambda: embedder(windows).vectors.pow(3).sum(), embedder.named_parameters())


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("kind", ENCODERS)
def test_batch_pieces_and_padding_change_nothing(kind: str, mix: str) -> None:
    embedder = build_embedder(kind, mix)
    results = []
    for batch_pieces, max_padding in ((7, 0.0), (21, 0.3), (1000, 1.0)):
        windowing = Windowing(
            window=5, stride=3, batch_pieces=batch_pieces, max_padding=max_padding
        )
        windows = cut(embedder, kind, windowing)
        results += [(len(windows.batches), embedder(windows).vectors)]
    assert [n > 1 for n, _ in results] == [True, True, False]
    for _, vectors in results:
        torch.testing.assert_close(vectors, results[0][1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("kind", ENCODERS)
def test_documents_do_not_depend_on_each_other(kind: str, mix: str) -> None:
    embedder = build_embedder(kind, mix)
    together = embedder(cut(embedder, kind)).vectors
    ids = draw_pieces(embedder, kind)
    tokens, pieces = np.cumsum([0, *ALL_TOKENS[kind]]), np.cumsum([0, *DOCUMENTS[kind]])
    for i, (start, end) in enumerate(zip(pieces[:-1], pieces[1:], strict=True)):
        first, last = tokens[i : i + 2]
        lengths, starts = LENGTHS[kind][first:last], np.array(STARTS[kind][first:last]) - start
        windows = cut_windows(ids[start:end], lengths, [end - start], WINDOWING, starts=starts)
        alone = embedder(windows).vectors
        torch.testing.assert_close(alone, together[first:last], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("width", [None, 3])
def test_no_documents(mix: str, width: int | None, grad: bool) -> None:
    embedder = build_embedder("bilm", mix, width=width)
    with torch.set_grad_enabled(grad):
        windows = cut_windows(draw_ids(embedder.encoder, 0), [], [], WINDOWING)
        assert embedder(windows).vectors.shape == (0, embedder.width)
        found = embedder(windows, Wanted(layers=True, boundaries=True))
        assert found.layers.shape == (3, 0, 8)
        assert found.boundaries.shape == (3, 0, 2, 8)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("width", [None, 3])
def test_tokens_without_pieces_have_zeros(mix: str, width: int | None, grad: bool) -> None:
    """Also where a projection has a bias, and where no token of a document has pieces."""
    embedder = build_embedder("transformer", mix, width=width)
    for lengths, documents in (([0, 2, 0, 1, 0], [2, 1]), ([0, 0], [0]), ([0, 1, 0], [0, 1, 0])):
        with torch.set_grad_enabled(grad):
            ids = draw_ids(embedder.encoder, sum(lengths))
            windows = cut_windows(ids, lengths, documents, WINDOWING)
            vectors = embedder(windows).vectors
        assert vectors.shape == (len(lengths), embedder.width)
        assert [bool(row.any()) for row in vectors] == [n > 0 for n in lengths]


@pytest.mark.parametrize(
    "mix, width, expected",
    [
        ("scalar", None, 8),
        ("scalar", 8, 8),
        ("scalar", 3, 3),
        ("concat", None, 24),
        ("concat", 8, 8),
    ],
)
def test_a_projection_is_there_where_widths_differ(
    mix: str, width: int | None, expected: int
) -> None:
    embedder = build_embedder("bilm", mix, width=width)
    assert embedder.width == expected
    assert (embedder.projection is None) == (embedder.mix.width == expected)
    windows = cut(embedder, "bilm")
    assert embedder(windows).vectors.shape == (len(LENGTHS["bilm"]), expected)


def test_layers_of_tokens() -> None:
    embedder = build_embedder("transformer")
    windows = cut(embedder, "transformer")
    found = embedder(windows, Wanted(layers=True))
    assert found.layers.shape == (3, len(LENGTHS["transformer"]), 8)
    with torch.no_grad():
        again = embedder(windows, Wanted(layers=True))
    torch.testing.assert_close(again.layers, found.layers, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.vectors, embedder(windows).vectors)
    # A mean of pieces and a mix of layers may change places.
    mixed = embedder.mix(found.layers, windows.document_lengths)
    torch.testing.assert_close(mixed, found.vectors, rtol=1e-5, atol=1e-5)


def test_reset_fills_every_parameter() -> None:
    with torch.device("meta"):
        embedder = Embedder(build_bilm(), ScalarMix, pooling="mean", width=3)
    embedder.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in embedder.parameters():
            parameter.fill_(torch.nan)
    for part in embedder.parts():
        part.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in embedder.parameters())


def test_one_name_for_each_parameter() -> None:
    embedder = build_embedder("bilm", width=3)
    names = {name.split(".")[0] for name in embedder.state_dict()}
    assert names == {"encoder", "mix", "projection"}


@pytest.mark.parametrize("mix", ["scalar", "scalar with norm", "tokens"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_what_exceeds_the_budget_has_equal_gradients(
    kind: str, mix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = build_embedder(kind, mix)
    embedder.encoder.set_dropout(0.3)
    embedder.train()
    windows = cut(embedder, kind, replace(WINDOWING, batch_pieces=7))
    assert len(windows.batches) > 2
    calls = []
    encode = Embedder._encode_batch

    def count(self: Embedder, *arguments: Any) -> Tensor:
        calls.append(arguments)
        return encode(self, *arguments)

    monkeypatch.setattr(Embedder, "_encode_batch", count)
    results = []
    for budget in (10**6, 14, 0):
        embedder.zero_grad()
        calls.clear()
        torch.manual_seed(0)
        vectors = embedder(windows._replace(budget=budget)).vectors
        (vectors * torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)).sum().backward()
        gradients = {name: p.grad.clone() for name, p in embedder.named_parameters()}
        results.append((vectors.detach(), gradients, len(calls)))
    assert [n for *_, n in results] == sorted({n for *_, n in results})
    assert results[-1][2] == 2 * len(windows.batches)
    for vectors, gradients, _ in results[1:]:
        torch.testing.assert_close(vectors, results[0][0])
        torch.testing.assert_close(gradients, results[0][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("has_parts", [True, False])
@pytest.mark.parametrize("kind", ENCODERS)
def test_checkpointing_changes_no_gradient(
    kind: str, has_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, or batch by batch where an encoder has no parts."""
    monkeypatch.setattr("spacy_ctxemb.embedder.embedder.has_parts", lambda encoder: has_parts)
    results, sizes = [], []
    for checkpoint_gradients in (False, True):
        encoder = ENCODERS[kind]()
        embedder = Embedder(
            encoder,
            ScalarMix,
            pooling="mean",
            width=None,
            checkpoint_gradients=checkpoint_gradients,
        )
        randomise(embedder)
        if not has_parts:
            set_recomputation(encoder, False)
        encoder.set_dropout(0.3)
        windows = cut(embedder, kind)._replace(budget=10**6)
        kept: list[int] = []

        def weigh(x: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(x.nbytes)
            return x

        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda x: x):
            vectors = embedder.train()(windows).vectors
        embedder.eval()
        (vectors * torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)).sum().backward()
        results.append({name: p.grad for name, p in embedder.named_parameters()})
        sizes.append(sum(kept))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)
    assert sizes[1] < 0.8 * sizes[0]
