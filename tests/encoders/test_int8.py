"""How near inference in 8 bits is to that in fp32, and what it rests on."""

import copy
import gc
import json
import pickle
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import spacy
import torch
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders import ModernTransformerEncoder, TransformerEncoder
from spacy_ctxemb.encoders.largest_columns import find_largest_columns
from spacy_ctxemb.encoders.transformer_blocks import BlockEncoder
from spacy_ctxemb.stack.name_encoders import list_encoders

from ..bert_models import find_minilm
from ..tiny import build_transformer, draw_ids, pad

TEXTS = Path(__file__).parents[1] / "corpus" / "textcat" / "test.jsonl"


def cosines(name: str) -> Tensor:
    """Of the pieces of some texts in 8 bits with those in fp32, in the last layer."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": name})
    encoder = next(iter(list_encoders(nlp)))[1].embedder.encoder
    found: dict[str, list[Tensor]] = {"fp32": [], "int8": []}
    lines = TEXTS.read_text(encoding="utf8").splitlines()[:60]
    for precision, layers in found.items():
        encoder.set_precision(precision)
        hook = encoder.register_forward_hook(lambda _, __, out, to=layers: to.append(out[-1]))
        for _doc in nlp.pipe(json.loads(line)["text"] for line in lines):
            pass
        hook.remove()
    return F.cosine_similarity(torch.cat(found["fp32"]), torch.cat(found["int8"]))


def test_english_weights_keep_their_vectors() -> None:
    found = cosines("en_transformer_sm")
    assert found.min() > 0.998 and found.mean() > 0.9997


def test_minilm_keeps_its_vectors() -> None:
    find_minilm()
    found = cosines("minilm")
    assert found.min() > 0.996 and found.mean() > 0.9993


def draw_windows(encoder: BlockEncoder, *lengths: int) -> tuple[Tensor, Tensor]:
    return pad([draw_ids(encoder, length, seed=length) for length in lengths])


def run(encoder: BlockEncoder, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return encoder(ids, mask)


def build_wide(*, is_modern: bool = False, **changes: Any) -> BlockEncoder:
    """With columns enough for some to stay exact, of which one is larger than the others."""
    settings: dict[str, Any] = {
        "vocab_size": 30,
        "width": 96,
        "n_blocks": 2,
        "n_heads": 2,
        "max_length": 16,
    }
    kind: type[BlockEncoder] = ModernTransformerEncoder if is_modern else TransformerEncoder
    encoder = kind(**settings | {"feedforward_width": 100} | changes)
    encoder.reset_parameters()
    with torch.no_grad():
        for block in encoder.blocks:
            block.feedforward_norm.weight[7] = 60.0
    return encoder.eval()


@pytest.mark.parametrize("changes", [{"is_modern": True}, {"pre_norm": True}, {"n_groups": 1}, {}])
def test_columns_that_are_large_stay_exact(changes: dict[str, Any]) -> None:
    encoder = build_wide(**changes)
    ids, mask = draw_windows(encoder, 9, 9, 4)
    exact = run(encoder, ids, mask)
    encoder.set_precision("int8")
    found = run(encoder, ids, mask)
    products = encoder.products()
    assert {n: len(m.exact_columns) for n, m in products.items() if "feedforward.inner" in n} == {
        f"blocks.{i}.feedforward.inner": 2 for i in range(len(encoder.blocks))
    }
    reader = "feedforward.inner" if encoder.blocks[0].pre_norm else "attention.query_key_value"
    assert 7 in products[f"blocks.{len(encoder.blocks) - 1}.{reader}"].exact_columns
    for layer, expected in zip(found[1:], exact[1:], strict=True):
        assert not torch.equal(layer, expected)
        assert F.cosine_similarity(layer, expected, dim=1).min() > 0.9995


def test_columns_are_found_without_a_trace() -> None:
    """Neither in the encoder nor in PyTorch's random numbers."""
    encoder = build_wide().train()
    state = torch.random.get_rng_state()
    names = list(encoder.products())
    first = find_largest_columns(encoder, names)
    assert encoder.training and encoder.precision == "fp32"
    assert not any(module._forward_pre_hooks for module in encoder.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    for again, columns in zip(find_largest_columns(encoder, names), first, strict=True):
        assert torch.equal(again, columns)


@pytest.mark.parametrize("is_modern", [False, True])
def test_copies_give_equal_vectors(is_modern: bool) -> None:
    encoder = build_wide(is_modern=is_modern)
    encoder.set_precision("int8")
    ids, mask = draw_windows(encoder, 9, 4)
    expected = run(encoder, ids, mask)
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert all(map(torch.equal, run(twin, ids, mask), expected))


def test_new_weights_have_columns_of_their_own() -> None:
    """As though the encoder had been loaded with them."""
    encoder = build_wide()
    encoder.set_precision("int8")
    ids, mask = draw_windows(encoder, 9, 4)
    run(encoder, ids, mask)
    with torch.no_grad():
        encoder.blocks[0].feedforward_norm.weight[7] = 1.0
        encoder.blocks[0].feedforward_norm.weight[20] = 60.0
    twin = build_wide()
    twin.load_state_dict(encoder.state_dict())
    twin.set_precision("int8")
    assert all(map(torch.equal, run(encoder, ids, mask), run(twin, ids, mask)))
    assert 20 in encoder.blocks[1].attention.query_key_value.exact_columns


def test_a_window_does_not_depend_on_its_neighbours() -> None:
    encoder = build_transformer(width=96, n_heads=4, feedforward_width=100)
    encoder.set_precision("int8")
    ids, mask = draw_windows(encoder, 9, 9)
    both = run(encoder, ids, mask)
    alone = run(encoder, ids[:1], mask[:1])
    for layer, expected in zip(both, alone, strict=True):
        torch.testing.assert_close(layer[:9], expected, rtol=1e-4, atol=1e-4)


class Watched(TransformerEncoder):
    """Notes each of its kind."""

    made: ClassVar[list[weakref.ref[Any]]] = []

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.made.append(weakref.ref(self))


def test_nothing_is_left_of_the_search_for_columns() -> None:
    """Also where Python does not look for cycles."""
    encoder = Watched(**build_transformer().settings).eval()
    encoder.reset_parameters()
    names = list(encoder.products())
    gc.disable()
    try:
        assert len(find_largest_columns(encoder, names)) == len(names)
        (*_, twin) = Watched.made
        assert len(Watched.made) == 2 and twin() is None
    finally:
        gc.enable()


def test_a_compiler_sees_products_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_transformer().eval()
    ids, mask = draw_windows(encoder, 5, 7)
    expected = run(encoder, ids, mask)
    encoder.set_precision("int8")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for one, other in zip(expected, run(encoder, ids, mask), strict=True):
        torch.testing.assert_close(one, other)
    assert all(product.exact_columns is None for product in encoder.products().values())
