"""Hugging Face checkpoints, read and written, against what transformers computed with them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert, write_bert
from spacy_ctxemb.checkpoints.bert.settings_from_config_json import describe
from spacy_ctxemb.encoders import ModernTransformerEncoder, TransformerEncoder

from ...bert_models import (
    FAMILIES,
    TEXTS,
    WRITTEN,
    change_json,
    change_tensors,
    copy_family,
    encode,
    find_tokens,
    load,
    read,
    read_expected,
    split,
)
from ...tiny import build_bilm, build_transformer, randomise

each_family = pytest.mark.parametrize("name", WRITTEN)


@each_family
def test_pieces_are_those_of_transformers(name: str) -> None:
    ids, _ = read_expected(name)
    assert split(read(name), TEXTS[: len(ids)]) == ids


@each_family
def test_layers_are_those_of_transformers(name: str) -> None:
    ids, expected = read_expected(name)
    for found, layers in zip(encode(load(read(name)), ids), expected, strict=True):
        assert_allclose(found, layers, rtol=1e-5, atol=1e-5)


@each_family
def test_what_is_read_is_written_again_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = read(name)
    assert write_bert(load(model), find_tokens(model), tmp_path / "out") == WRITTEN[name]
    again = read_bert(tmp_path / "out")
    assert again.settings == model.settings
    assert again.tensors.keys() == model.tensors.keys()
    for key, value in model.tensors.items():
        assert value.dtype == torch.float32 and torch.equal(again.tensors[key], value), key
    assert split(again) == split(model)


@each_family
def test_settings_are_read_off_the_encoder(name: str) -> None:
    model = read(name)
    assert describe(load(model)) == model.settings


def test_equal_encoders_give_equal_bytes(tmp_path: Path) -> None:
    model = read("bert")
    for name in ("a", "b"):
        write_bert(load(model), find_tokens(model), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    with safe_open(tmp_path / "a" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "mpnet", "albert", "modernbert"])
def test_tensors_are_written_under_the_published_names(name: str, tmp_path: Path) -> None:
    model = read(name)
    write_bert(load(model), find_tokens(model), tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    published = load_file(FAMILIES / name / "model.safetensors")
    stripped = {key.removeprefix(model.family.prefix): v for key, v in published.items()}
    for key, value in written.items():
        n = 2 if name == "mpnet" and "position_embeddings" in key else 0
        assert torch.equal(value[n:], stripped[key][n:]), key
        assert not value[:n].any()


def test_a_config_from_before_transformers_5(tmp_path: Path) -> None:
    folder = copy_family("modernbert", tmp_path / "model")
    (folder / "config_before_v5.json").replace(folder / "config.json")
    assert read_bert(folder).settings == read("modernbert").settings
    change_json(folder / "config.json", local_rope_theta=None)
    assert read_bert(folder).settings["local_theta"] == 160000.0


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_names_of_old_checkpoints(prefix: str, tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")

    def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {
            prefix + re.sub(r"LayerNorm\.\w+$", lambda m: old[m[0]], name): value
            for name, value in tensors.items()
        }
        return renamed | {
            f"{prefix}embeddings.position_ids": torch.arange(3),
            "cls.predictions.bias": torch.zeros(3),
        }

    names = change_tensors(folder, rename)
    assert sum(name.endswith(".gamma") for name in names) == 5
    found, expected = read_bert(folder).tensors, read("bert").tensors
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    change_tensors(folder, lambda tensors: {k: v.to(dtype) for k, v in tensors.items()})
    found, expected = read_bert(folder).tensors, read("bert").tensors
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value.to(dtype).float())


@pytest.mark.parametrize("is_old", [False, True])
def test_a_sharded_pickle(is_old: bool, tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.bin": names[:9], "b.bin": names[9:]}
    for shard, part in shards.items():
        values = {name: tensors[name] for name in part}
        torch.save(values, folder / shard, _use_new_zipfile_serialization=not is_old)
    index = {name: shard for shard, part in shards.items() for name in part}
    change_json(folder / "pytorch_model.bin.index.json", weight_map=index)
    found, expected = read_bert(folder).tensors, read("bert").tensors
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_only_the_rows_of_padding_are_cut_from_the_positions() -> None:
    for name in ("roberta", "mpnet", "bert"):
        table = load_file(FAMILIES / name / "model.safetensors")
        (key,) = [key for key in table if key.endswith("position_embeddings.weight")]
        model = read(name)
        n = 0 if name == "bert" else 2
        assert model.settings["max_length"] == len(table[key]) - n
        assert torch.equal(model.tensors["position_embedding.weight"], table[key][n:])


def written(encoder: Any, folder: Path) -> dict[str, Any]:
    """config.json of an encoder that was written, and read again with equal layers."""
    tokens = find_tokens(read("bert"))
    write_bert(encoder, tokens, folder)
    model = read_bert(folder)
    ids = [[2, 7, 9, 11, 3], [2, 3]]
    for found, expected in zip(encode(load(model), ids), encode(encoder, ids), strict=True):
        assert (found == expected).all()
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, {"model_type": "bert", "type_vocab_size": 2, "layer_norm_eps": 1e-12}),
        ({"n_segments": 1}, {"model_type": "bert", "type_vocab_size": 1}),
        ({"n_segments": 0}, {"model_type": "distilbert"}),
        (
            {"n_segments": 0, "layer_norm_epsilon": 1e-5},
            {"model_type": "bert", "type_vocab_size": 1},
        ),
        ({"embedding_width": 4}, {"model_type": "electra", "embedding_size": 4}),
        ({"embedding_width": 4, "n_segments": 0}, {"model_type": "electra"}),
        ({"n_groups": 1}, {"model_type": "albert", "embedding_size": 8, "num_hidden_groups": 1}),
        ({"n_groups": 1, "embedding_width": 4}, {"model_type": "albert", "embedding_size": 4}),
        ({"pre_norm": True}, {"model_type": "roberta-prelayernorm", "pad_token_id": 0}),
        ({"pre_norm": True, "n_segments": 0}, {"type_vocab_size": 1}),
        ({"activation": "gelu_tanh"}, {"hidden_act": "gelu_pytorch_tanh"}),
        ({"activation": "relu"}, {"hidden_act": "relu"}),
        ({"activation": "silu"}, {"hidden_act": "silu"}),
    ],
)
def test_the_family_that_has_the_settings(
    settings: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    encoder = build_transformer(vocab_size=260, **settings)
    config = written(encoder, tmp_path / "out")
    assert {name: config[name] for name in expected} == expected


def test_a_modern_transformer(tmp_path: Path) -> None:
    encoder = ModernTransformerEncoder(
        vocab_size=260, width=8, n_blocks=3, n_heads=2, feedforward_width=6, global_every=2
    )
    config = written(randomise(encoder).eval(), tmp_path / "out")
    assert config["model_type"] == "modernbert" and config["pad_token_id"] == 0
    assert config["global_attn_every_n_layers"] == 2


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"pre_norm": True, "n_groups": 1}, "as albert, pre_norm is True where it has False"),
        (
            {"n_position_buckets": 16, "n_segments": 0},
            "as distilbert, n_position_buckets is 16 where it has None",
        ),
        ({"n_position_buckets": 32}, "as bert, n_position_buckets is 32 where it has None; as"),
        (
            {"n_position_buckets": 32, "n_segments": 0, "layer_norm_epsilon": 1e-5},
            "as bert, n_position_buckets is 32 where it has None; .*; as mpnet, the id of padding",
        ),
    ],
)
def test_an_encoder_of_no_family(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    encoder = build_transformer(vocab_size=260, **settings)
    message = rf"\[E348\] This encoder is no model_type of transformers: .*{reason}"
    with pytest.raises(ValueError, match=message):
        write_bert(encoder, find_tokens(read("bert")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bilm_is_of_no_family(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E348\] .*: it is a BiLM\."):
        write_bert(build_bilm(), find_tokens(read("bert")), tmp_path / "out")


def test_mpnet_takes_a_piece_for_padding(tmp_path: Path) -> None:
    """Its own tokenizer has padding there, BERT's the unknown piece."""
    encoder = load(read("mpnet"))
    assert write_bert(encoder, find_tokens(read("mpnet")), tmp_path / "a") == "mpnet"
    message = r"\[E348\] .*; as mpnet, the id of padding is 0 where it has 1\."
    with pytest.raises(ValueError, match=message):
        write_bert(encoder, find_tokens(read("bert")), tmp_path / "b")


def test_positions_that_are_counted_from_padding(tmp_path: Path) -> None:
    encoder = build_transformer(vocab_size=270, pre_norm=True)
    for name, n in (("bert", 1), ("roberta", 2)):
        write_bert(encoder, find_tokens(read(name)), tmp_path / name)
        table = load_file(tmp_path / name / "model.safetensors")
        positions = table["embeddings.position_embeddings.weight"]
        assert torch.equal(positions[n:], encoder.position_embedding.weight)
        assert not positions[:n].any()
    tokens = find_tokens(read("bert"))
    without = tokens._replace(tokenizer=tokens.tokenizer.replace("[PAD]", "[pad]"))
    with pytest.raises(ValueError, match=r"\[E348\] .* has no piece for padding, from which"):
        write_bert(encoder, without, tmp_path / "out")


def test_an_encoder_without_values(tmp_path: Path) -> None:
    with torch.device("meta"):
        encoder = TransformerEncoder(
            vocab_size=260, width=8, n_blocks=1, n_heads=2, feedforward_width=8
        )
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        write_bert(encoder, find_tokens(read("bert")), tmp_path / "out")


def test_a_diverged_encoder(tmp_path: Path) -> None:
    encoder = load(read("bert"))
    encoder.norm.bias.data[:2] = torch.nan
    with pytest.raises(ValueError, match=r"\[E309\] In the encoder, norm\.bias has 2 values"):
        write_bert(encoder, find_tokens(read("bert")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_boundaries_gets_them(tmp_path: Path) -> None:
    model = read("bert")
    tokens = find_tokens(model)
    plain = json.loads(tokens.tokenizer) | {"post_processor": None}
    write_bert(load(model), tokens._replace(tokenizer=json.dumps(plain)), tmp_path / "out")
    assert split(read_bert(tmp_path / "out")) == split(model)


def test_vocab_txt_gives_the_pieces_of_tokenizer_json(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    assert split(read_bert(folder)) == split(read("bert"))


def test_settings_of_a_vocab_txt(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    change_json(folder / "tokenizer_config.json", do_lower_case=False, strip_accents=True)
    tokenizer = Tokenizer.from_str(read_bert(folder).tokenizer)
    assert tokenizer.normalizer.normalize_str("Éa") == "Ea"


def test_the_case_in_tokenizer_config_counts(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    normalise = Tokenizer.from_str(read_bert(folder).tokenizer).normalizer.normalize_str
    assert normalise("Éa") == "ea"
    change_json(folder / "tokenizer_config.json", do_lower_case=False)
    normalise = Tokenizer.from_str(read_bert(folder).tokenizer).normalizer.normalize_str
    assert normalise("Éa") == "Éa"
    change_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    normalise = Tokenizer.from_str(read_bert(folder).tokenizer).normalizer.normalize_str
    assert normalise("Éa") == "ea"


def test_what_tokenizer_config_leaves_out_is_as_in_tokenizer_json(tmp_path: Path) -> None:
    """transformers would fold case here, and lose the space."""
    folder = copy_family("bert", tmp_path / "model")
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    data["normalizer"] |= {"lowercase": False, "handle_chinese_chars": False}
    change_json(folder / "tokenizer.json", **data)
    change_json(folder / "tokenizer_config.json", do_lower_case=...)
    normalise = Tokenizer.from_str(read_bert(folder).tokenizer).normalizer.normalize_str
    assert normalise("É東") == "É東"
    folder = copy_family("roberta", tmp_path / "roberta")
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    data["pre_tokenizer"]["add_prefix_space"] = True
    change_json(folder / "tokenizer.json", **data)
    change_json(folder / "tokenizer_config.json", add_prefix_space=...)
    assert split(read_bert(folder), ["river"]) == split(read("roberta"), [" river"])


def test_the_space_before_a_text_in_tokenizer_config_counts(tmp_path: Path) -> None:
    folder = copy_family("roberta", tmp_path / "model")
    change_json(folder / "tokenizer_config.json", add_prefix_space=True)
    before, after = split(read("roberta"), [" river", "river"]), split(read_bert(folder), ["river"])
    assert after[0] == before[0] != before[1]


def test_vocab_json_and_merges_give_the_pieces_of_tokenizer_json(tmp_path: Path) -> None:
    folder = copy_family("roberta", tmp_path / "model")
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))["model"]
    (folder / "tokenizer.json").unlink()
    change_json(folder / "vocab.json", **data["vocab"])
    merges = [" ".join(pair) for pair in data["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), encoding="utf8")
    assert split(read_bert(folder)) == split(read("roberta"))


def test_added_tokens(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    lines = (folder / "vocab.txt").read_text(encoding="utf8").splitlines()
    (folder / "vocab.txt").write_text("\n".join(lines[:-2]) + "\n", encoding="utf8")
    added = {"<b>": len(lines) - 1, "<a>": len(lines) - 2}
    change_json(folder / "added_tokens.json", **added)
    assert split(read_bert(folder), ["<a><b>"])[0][1:-1] == sorted(added.values())


def test_padding_and_truncation_of_a_tokenizer_are_dropped(tmp_path: Path) -> None:
    folder = copy_family("bert", tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=90)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert split(read_bert(folder)) == split(read("bert"))


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    "pieces",
    [
        {"additional_special_tokens": ["that"]},
        {"additional_special_tokens": [{"content": "that", "special": True}]},
        {"extra_special_tokens": ["that"]},
        {"extra_special_tokens": {"image_token": "that"}},
    ],
    ids=str,
)
def test_further_special_pieces_are_cut_out(
    pieces: dict[str, Any], file: str, tmp_path: Path
) -> None:
    """Expected: the ids that AutoTokenizer of transformers 5.24 gives."""
    folder = copy_family("bert", tmp_path / "model")
    path = folder / file
    path.write_text(json.dumps(pieces | (json.loads(path.read_text()) if path.exists() else {})))
    tokenizer = Tokenizer.from_str(read_bert(folder).tokenizer)
    found = tokenizer.encode("xthaty and thated it").ids
    assert found == [2, 1, 172, 190, 60, 172, 118, 15, 132, 3]
