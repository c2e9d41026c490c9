"""Models of transformers as encoders, against these models themselves."""

import builtins
import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spacy_ctxemb.encoders.huggingface_wrapper import HuggingFaceEncoder
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import FAMILIES
from ..pipelines import NER_DATA, blank, examples
from ..tiny import pad, randomise

SIZES = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 20,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES,
    "deberta-v2": SIZES
    | {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 4,
        "max_relative_positions": 8,
    },
    "modernbert": SIZES
    | {
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
        **{"cls_token_id": 0, "sep_token_id": 0, "local_attention": 4},
    },
    "xlnet": {"vocab_size": 30, "d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 12},
}
each_model = pytest.mark.parametrize("model_type", CONFIGS)
WINDOWS = [torch.tensor(ids) for ids in ([2, 5, 6, 7, 8, 9, 3], [2, 10, 3])]


def build_reference(model_type: str) -> Any:
    """The model alone."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type])
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4)
    return model


def build_empty(model_type: str) -> HuggingFaceEncoder:
    """As a config builds it."""
    with torch.device("meta"):
        encoder = HuggingFaceEncoder({"model_type": model_type, **CONFIGS[model_type]})
    assert all(parameter.is_meta for parameter in encoder.parameters())
    return encoder.eval()


def run_alone(model: Any, ids: Tensor) -> Tensor:
    """All layers of one window without padding. (L, T, D)"""
    with torch.inference_mode():
        layers = model(input_ids=ids[None], output_hidden_states=True).hidden_states
    return torch.stack([layer.squeeze() for layer in layers])


def check(encoder: HuggingFaceEncoder, model: Any) -> None:
    ids, mask = pad(WINDOWS)
    with torch.inference_mode():
        found = torch.stack(encoder(ids, mask))
    expected = torch.cat([run_alone(model, window) for window in WINDOWS], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def rename(model: Any) -> dict[str, Tensor]:
    return {f"model.{name}": value for name, value in model.state_dict().items()}


@each_model
def test_layers_are_the_hidden_states(model_type: str) -> None:
    model = build_reference(model_type)
    encoder = build_empty(model_type)
    encoder.load_state_dict(rename(model), assign=True)
    check(encoder, model)


@each_model
def test_computed_tables_outlive_moves(model_type: str) -> None:
    """Allocating a module empty leaves garbage in them, and the meta device no values at all."""
    model = build_reference(model_type)
    encoder = build_empty(model_type).to_empty(device="cpu")
    encoder.load_state_dict(rename(model))
    check(encoder, model)
    encoder = copy.deepcopy(encoder.to("meta"))
    encoder.load_state_dict(rename(model), assign=True)
    check(encoder, model)


@pytest.mark.parametrize(
    "model_type, settings",
    [
        ("mobilebert", {"embedding_size": 8, "intra_bottleneck_size": 8}),
        ("convbert", {"embedding_size": 8, "conv_kernel_size": 3}),
        ("fnet", {}),
        ("nystromformer", {"num_landmarks": 4, "segment_means_seq_len": 4}),
    ],
)
def test_vectors_do_not_depend_on_the_batch(model_type: str, settings: dict[str, Any]) -> None:
    """These families do not keep padding out of their vectors."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    config = {**SIZES, "model_type": model_type, "vocab_size": 260, **settings}
    nlp = blank(
        {
            "encoder": {"@architectures": "spacy-ctxemb.HuggingFace.v1", "config": config},
            "pieces": {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": 260},
            "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
        }
    )
    path = FAMILIES / "bert" / "tokenizer.json"
    loader = {"@misc": "spacy-ctxemb.TokenizerFile.v1", "path": str(path)}
    nlp.config["initialize"]["components"]["ctxemb"] = {"pieces_loader": loader}
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    randomise(get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder)
    texts = ["a b c d e f g h", "k l", "m n o p q r", "s t"]
    for doc in nlp.pipe(texts):
        np.testing.assert_allclose(doc.tensor, nlp(doc.text).tensor, rtol=1e-4, atol=1e-5)


def test_a_model_on_the_cpu_at_once() -> None:
    model = build_reference("modernbert")
    encoder = HuggingFaceEncoder({"model_type": "modernbert", **CONFIGS["modernbert"]}).eval()
    encoder.load_state_dict(rename(model))
    check(encoder, model)


def test_building_leaves_random_numbers_alone() -> None:
    build_reference("bert")
    before = torch.get_rng_state()
    HuggingFaceEncoder({"model_type": "bert", **SIZES})
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_values() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    encoder = build_empty("bert").to_empty(device="cpu")
    encoder.reset_parameters()
    values = dict(encoder.named_parameters())
    assert values["model.embeddings.LayerNorm.weight"].eq(1).all()
    assert values["model.embeddings.LayerNorm.bias"].eq(0).all()
    assert 0.015 < values["model.embeddings.word_embeddings.weight"].std().item() < 0.025


@pytest.mark.parametrize("model_type, longest", [("bert", 20), ("roberta", 18), ("xlnet", None)])
def test_the_longest_window(model_type: str, longest: int | None) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    encoder = build_empty(model_type)
    assert encoder.max_length == longest
    if longest:
        ids = torch.ones(1, longest + 1, dtype=torch.long)
        with pytest.raises(ValueError, match=rf"\[E104\] .* {longest + 1} .* {longest}"):
            encoder(ids, ids.bool())


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *arguments: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"\[E111\] HuggingFace\.v1 runs .* pip install"):
        HuggingFaceEncoder({"model_type": "bert"})


@pytest.mark.parametrize(
    "config, reason",
    [
        ({"model_type": "bart"}, "bart: it has a decoder"),
        ({"model_type": "frisbee"}, "frisbee: Unrecognized model identifier"),
        ({"model_type": "vit"}, "vit: its config has no vocab_size"),
        ({"model_type": []}, r"\[\]: "),
        ({"model_type": "bert", "hidden_size": "8"}, "bert: .*'hidden_size'"),
    ],
)
def test_models_that_cannot_be_run(config: dict[str, Any], reason: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    with torch.device("meta"), pytest.raises(ValueError, match=rf"\[E113\] .* model_type {reason}"):
        HuggingFaceEncoder(config)


def test_layers_of_another_width(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    encoder = HuggingFaceEncoder({"model_type": "bert", **SIZES}).eval()
    encoder.n_layers = 4
    ids = torch.ones(1, 5, dtype=torch.long)
    found = r"BertModel gave 3 layers of the shapes \[\(1, 5, 8\)\]; expected 4 of \(1, 5, 8\)"
    with pytest.raises(ValueError, match=rf"\[E112\] The model {found}"):
        encoder(ids, ids.bool())


@pytest.mark.parametrize("model_type, n_last", [("bert", 2), ("deberta-v2", 1), ("modernbert", 1)])
def test_parameters_belong_to_the_layers_of_their_blocks(model_type: str, n_last: int) -> None:
    """What comes after the blocks, and what all of them use, is of the last layer."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    encoder = build_empty(model_type)
    layers = encoder.parameter_layers()
    assert list(layers) == [name for name, _ in encoder.named_parameters()]
    names = {i: [name for name, layer in layers.items() if layer == i] for i in range(3)}
    assert all("embeddings" in name for name in names[0])
    inside = {i: [name for name in names[i] if f".{i - 1}." in name] for i in (1, 2)}
    assert names[1] == inside[1] != []
    assert len(names[2]) == len(inside[2]) + n_last


def test_a_model_without_a_list_of_its_blocks() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    with torch.device("meta"):
        encoder = HuggingFaceEncoder({"model_type": "albert", **SIZES, "embedding_size": 8})
    with pytest.raises(ValueError, match=r"\[E109\] AlbertModel has no list of its 2 blocks"):
        encoder.parameter_layers()
