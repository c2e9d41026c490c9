"""Checkpoints that cannot be read: what each message says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert

from ...bert_models import change_json, change_tensors, copy_family


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_family("bert", tmp_path / "model")


def refuse(message: str, path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_bert(path)


def test_no_folder(folder: Path, tmp_path: Path) -> None:
    refuse(r"\[E330\] .*nothing is not there\. ", tmp_path / "nothing")
    refuse(r"\[E330\] .*config\.json is a file\.", folder / "config.json")
    (folder / "config.json").unlink()
    refuse(rf"\[E330\] {re.escape(str(folder))} has no config\.json\. Pass the dir", folder)
    address = "https://huggingface.co/bert-base-uncased"
    refuse(rf"\[E330\] {address} is an address; download its files", Path(address))


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "Expecting property name"),
        ("[1]", r"it holds \[1\]"),
        ("{}", "it has no model_type"),
        (r'{"x": "\ud83d\ude00"}', "it has no model_type"),
        (r'{"x": "\ud800"}', "surrogates not allowed"),
        ("\udcff", "codec can't decode"),
    ],
)
def test_a_config_that_is_none(text: str, reason: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(text.encode("utf8", "surrogateescape"))
    refuse(rf"\[E331\] .*config\.json cannot be used: .*{reason}.* download it again", folder)


def test_an_unknown_family(folder: Path) -> None:
    change_json(folder / "config.json", model_type="deberta-v2")
    known = (
        "albert, bert, camembert, distilbert, electra, modernbert, mpnet, roberta, .*xlm-roberta"
    )
    refuse(
        rf'\[E332\] .*config\.json is of the model_type "deberta-v2"; .* {known}\..*--wrap', folder
    )


@pytest.mark.parametrize("found", [[], {}, 3])
def test_a_family_that_is_no_name(found: object, folder: Path) -> None:
    change_json(folder / "config.json", model_type=found)
    shown = re.escape(str(found))
    refuse(rf"\[E332\] .*config\.json is of the model_type {shown}; known are", folder)


WRONG: list[tuple[str, str, Any, str]] = [
    ("bert", "hidden_size", "12", 'hidden_size is "12"; expected a whole number from 1'),
    ("bert", "hidden_size", 12.0, "hidden_size is 12.0; expected a whole number from 1"),
    ("bert", "num_hidden_layers", True, "num_hidden_layers is true; expected a whole number"),
    (
        "bert",
        "num_attention_heads",
        5,
        "num_attention_heads is 5; expected a divisor of the width 12",
    ),
    ("bert", "layer_norm_eps", 0, "layer_norm_eps is 0; expected a number above 0"),
    ("bert", "hidden_act", "mish", 'hidden_act is "mish"; expected "gelu" or "gelu_python" or'),
    ("bert", "position_embedding_type", "relative_key", 'is "relative_key"; expected "absolute"'),
    ("bert", "is_decoder", True, "is_decoder is true; expected false"),
    ("bert", "add_cross_attention", True, "add_cross_attention is true; expected false"),
    ("bert", "pruned_heads", {"0": [1]}, r'pruned_heads is \{"0": \[1\]\}; expected \{\}'),
    ("bert", "quantization_config", {"bits": 4}, r'is \{"bits": 4\}; expected null'),
    ("bert", "auto_map", {"AutoModel": "m.M"}, "auto_map is .*; expected null"),
    ("roberta", "max_position_embeddings", 2, "embeddings is 2; expected more than 2"),
    ("mpnet", "relative_attention_num_buckets", 16, "num_buckets is 16; expected 32"),
    ("bert", "pad_token_id", "x", 'pad_token_id is "x"; expected a whole number from 0, or null'),
    ("roberta", "pad_token_id", "1", 'pad_token_id is "1"; expected a whole number from 0'),
    ("roberta", "pad_token_id", -1, "pad_token_id is -1; expected a whole number from 0"),
    ("mpnet", "pad_token_id", 0, "pad_token_id is 0; expected 1"),
    ("albert", "inner_group_num", 2, "inner_group_num is 2; expected 1"),
    ("albert", "num_hidden_groups", 4, "num_hidden_groups is 4; expected a number that shares 3"),
    ("modernbert", "norm_bias", True, "norm_bias is true; expected false"),
    ("modernbert", "attention_bias", True, "attention_bias is true; expected false"),
    ("modernbert", "mlp_bias", True, "mlp_bias is true; expected false"),
    ("modernbert", "rope_scaling", {"factor": 2}, r'is \{"factor": 2\}; expected null'),
    (
        "modernbert",
        "rope_parameters",
        {"full_attention": {"rope_type": "yarn"}},
        r'rope_parameters\.full_attention\.rope_type is "yarn"; expected "default"',
    ),
    (
        "modernbert",
        "layer_types",
        ["sliding_attention", "full_attention"],
        r'layer_types is \["sliding_attention", .*; expected full_attention first',
    ),
]


@pytest.mark.parametrize("name, key, value, message", WRONG)
def test_settings_that_are_not_supported(
    name: str, key: str, value: object, message: str, tmp_path: Path
) -> None:
    folder = copy_family(name, tmp_path / "model")
    change_json(folder / "config.json", **{key: value})
    refuse(rf"\[E333\] In .*config\.json, .*{message}.*--wrap", folder)


def test_groups_that_transformers_takes_otherwise(tmp_path: Path) -> None:
    """It divides floats: int(9 / (18 / 14)) is 6, not 7."""
    folder = copy_family("albert", tmp_path / "model")
    change_json(folder / "config.json", num_hidden_layers=18, num_hidden_groups=14)
    refuse(r"\[E333\] .*num_hidden_groups is 14; expected a number that shares 18", folder)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(r"\[E334\] .*model has no weights: none of model\.safetensors, .* Download", folder)
    (folder / "tf_model.h5").write_bytes(b"")
    refuse(r"\[E334\] .* Weights in tf_model\.h5 are not read\.", folder)


def test_missing_tensors(folder: Path) -> None:
    change_tensors(folder, lambda t: {k: v for k, v in t.items() if "layer.1" not in k})
    names = ", ".join(f"encoder.layer.1.attention.self.{n}" for n in ("query.weight", "key.weight"))
    refuse(rf"\[E335\] .*model lacks the tensors {names}.* \(16 missing in all\)", folder)


def test_a_tensor_of_another_shape(folder: Path) -> None:
    change_json(folder / "config.json", intermediate_size=19)
    name = r"encoder\.layer\.0\.intermediate\.dense\.weight"
    found = rf"{name} is float32 of shape \(20, 12\); expected floats of shape \(19, 12\)"
    refuse(rf"\[E307\] In .*model\.safetensors, {found}", folder)


def test_a_tensor_of_another_type(folder: Path) -> None:
    def quantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {"embeddings.LayerNorm.bias": torch.zeros(12, dtype=torch.int8)}

    change_tensors(folder, quantise)
    refuse(r"\[E307\] .*LayerNorm\.bias is int8 of shape \(12,\); expected floats of", folder)


@pytest.mark.parametrize(
    "changes, names",
    [
        (
            {"num_hidden_layers": 1},
            r"encoder\.layer\.1\.attention\.output\.LayerNorm\.bias, .* \(16 in",
        ),
        ({"model_type": "electra", "embedding_size": 12}, r"pooler\.dense\.bias, .* \(2 in"),
    ],
)
def test_tensors_that_belong_to_something_else(
    changes: dict[str, Any], names: str, folder: Path
) -> None:
    change_json(folder / "config.json", **changes)
    refuse(rf"\[E337\] .*model has tensors that are no part of a .*: {names} all\)", folder)


def test_an_adapter(folder: Path) -> None:
    added = {"encoder.layer.0.attention.self.query.lora_A.weight": torch.ones(2, 12)}
    change_tensors(folder, lambda tensors: tensors | added)
    refuse(r"\[E337\] .* no part of a bert .*: encoder\.layer\.0\..*lora_A.* \(1 in all\)", folder)


def test_an_albert_whose_projection_we_would_lose(tmp_path: Path) -> None:
    folder = copy_family("albert", tmp_path / "model")

    def widen(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        change = {}
        for name, value in tensors.items():
            if ".embeddings." in name:
                change[name] = torch.ones(*value.shape[:-1], 12)
            if name.endswith("mapping_in.weight"):
                change[name] = torch.ones(12, 12)
        return tensors | change

    change_json(folder / "config.json", embedding_size=12)
    change_tensors(folder, widen)
    refuse(r"\[E337\] .*albert.*: encoder\.embedding_hidden_mapping_in\.bias, .* \(2 in", folder)


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    change_json(folder / "config.json", vocab_size=100)
    refuse(r"\[E338\] The tokenizer in .*model has 260 pieces, the model's table only 100", folder)


@pytest.mark.parametrize("n", [-10, 20, 0])
def test_safetensors_that_were_cut_short(n: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: n or None] if n else b"")
    refuse(r"\[E339\] .*model\.safetensors cannot be read as a safetensors file: .*header", folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.json"]
)
def test_a_pointer_of_git_lfs(name: str, folder: Path) -> None:
    if name.startswith("pytorch"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refuse(rf"\[E340\] .*{name} is a pointer of Git LFS, .*`git lfs pull`", folder)


def save_pickle(folder: Path, data: object, **settings: Any) -> Path:
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save(data, path, **settings)
    return path


@pytest.mark.parametrize(
    "is_zip, damage",
    [
        (True, lambda data: data[:-100]),
        (True, lambda data: data[:3000]),
        (False, lambda data: data[:-100]),
        (False, lambda data: data[:40]),
        (True, lambda data: b""),
        (True, lambda data: b"<html>Not found</html>"),
    ],
)
def test_a_pickle_that_was_cut_short(
    is_zip: bool, damage: Callable[[bytes], bytes], folder: Path
) -> None:
    tensors = load_file(folder / "model.safetensors")
    path = save_pickle(folder, tensors, _use_new_zipfile_serialization=is_zip)
    path.write_bytes(damage(path.read_bytes()))
    refuse(r"\[E339\] .*pytorch_model\.bin cannot be read as a PyTorch file: .+\. If it", folder)


def test_an_old_pickle_that_was_cut_short_in_many_places(folder: Path) -> None:
    """Its reader fails in many ways; one is an object whose name is not all there."""
    tensors = {"a": torch.ones(2), "b": torch.zeros(3, dtype=torch.float16)}
    path = save_pickle(folder, tensors, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    begin, end = data.index(b"collections"), len(data)
    for n in [*range(0, 120), *range(begin, begin + 11), *range(end - 120, end)]:
        path.write_bytes(data[:n])
        refuse(r"\[E339\] .*pytorch_model\.bin cannot be read as a PyTorch file: .+\. If", folder)


def test_an_old_pickle_with_a_name_that_is_none(folder: Path) -> None:
    path = save_pickle(folder, {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"_rebuild_", b"_reb\x00ild_"))
    refuse(r"\[E339\] .*pytorch_model\.bin .* PyTorch file: it is no file of torch", folder)


@pytest.mark.parametrize(
    "data, found",
    [
        ([torch.ones(2)], "a list"),
        ({"state_dict": {}, "epoch": 3}, "a dict with the keys state_dict, epoch"),
    ],
)
def test_a_pickle_of_something_else(data: object, found: str, folder: Path) -> None:
    save_pickle(folder, data)
    refuse(rf"\[E341\] .*pytorch_model\.bin holds {found}, not tensors by their names", folder)


def test_a_pickle_with_objects_is_not_loaded(folder: Path) -> None:
    save_pickle(folder, torch.nn.Linear(2, 2))
    refuse(
        r"\[E342\] .*_model\.bin was refused: .* asks for torch\.nn\.modules\.linear\.Linear, ",
        folder,
    )


def test_a_missing_shard(tmp_path: Path) -> None:
    folder = copy_family("bert_sharded", tmp_path / "model")
    for i in (2, 3):
        (folder / f"model-0000{i}-of-00003.safetensors").unlink()
    named = r"model-00002-of-00003\.safetensors, model-00003-of-00003\.safetensors"
    refuse(rf"\[E343\] .*index\.json names {named}, .* \(2 missing in all\)", folder)


@pytest.mark.parametrize(
    "names, reason",
    [
        (..., "it has no weight_map"),
        ({}, "no weight_map"),
        ({"a": "../b.bin"}, "is no file's name"),
    ],
)
def test_an_index_that_is_none(names: Any, reason: str, tmp_path: Path) -> None:
    folder = copy_family("bert_sharded", tmp_path / "model")
    change_json(folder / "model.safetensors.index.json", weight_map=names)
    refuse(rf"\[E331\] .*index\.json cannot be used: .*{reason}", folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite(value: float, folder: Path) -> None:
    bias = torch.zeros(12)
    bias[:3] = value
    change_tensors(folder, lambda tensors: tensors | {"embeddings.LayerNorm.bias": bias})
    name = r"embeddings\.LayerNorm\.bias"
    refuse(rf"\[E309\] In .*model\.safetensors, {name} has 3 values that are not", folder)


def test_no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()
    refuse(
        r"\[E344\] .*model has no tokenizer\.json, no vocab\.txt, .*\. Load the tokenizer", folder
    )
    (folder / "spiece.model").write_bytes(b"")
    refuse(r"\[E344\] .* Its spiece\.model is sentencepiece's\. .* save_pretrained", folder)


def test_a_tokenizer_json_that_is_none(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    refuse(r"\[E124\] .*tokenizer\.json is not a tokenizer in the JSON format", folder)


def test_a_vocabulary_without_special_pieces(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[UNK]\na\n")
    refuse(r"\[E125\] .*vocab\.txt lacks the pieces \['\[CLS\]', '\[SEP\]', '\[PAD\]', ", folder)


def test_added_tokens_with_other_ids(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "added_tokens.json").write_text('{"<a>": 3}')
    refuse(r"\[E345\] .*added_tokens\.json the piece <a> has the id 3, but .* get 260", folder)


@pytest.mark.parametrize(
    "family, key, value, own",
    [
        ("bert", "cls_token", "[SEP]", "[CLS]"),
        ("bert", "sep_token", "[PAD]", "[SEP]"),
        ("bert", "unk_token", "[PAD]", "[UNK]"),
        ("roberta", "cls_token", "<pad>", "<s>"),
        ("camembert", "bos_token", "<pad>", "<s>"),
        ("camembert", "eos_token", "<s>", "</s>"),
        ("camembert", "unk_token", "<pad>", "<unk>"),
        ("camembert", "add_prefix_space", False, True),
        ("xlm-roberta", "add_prefix_space", False, True),
        ("albert", "add_prefix_space", False, True),
        ("albert", "do_lower_case", False, True),
        ("albert", "keep_accents", True, False),
    ],
)
def test_what_two_files_of_a_tokenizer_say_differently(
    family: str, key: str, value: object, own: object, tmp_path: Path
) -> None:
    folder = copy_family(family, tmp_path / "family")
    path = folder / "tokenizer_config.json"
    change_json(path, **{key: value})
    said = re.escape(f"tokenizer_config.json {key} is {value}, in tokenizer.json it is {own}. ")
    refuse(rf"\[E357\] According to .*{said}", folder)
    change_json(path, **{key: own})
    read_bert(folder)


def test_a_role_without_a_row_in_the_table(tmp_path: Path) -> None:
    """transformers cuts the piece of every role out of texts, be it a space."""
    folder = copy_family("electra", tmp_path / "family")
    change_json(folder / "tokenizer_config.json", pad_token=" ")
    refuse(r"\[E338\] ", folder)


def test_a_role_of_an_ordinary_piece(tmp_path: Path) -> None:
    """It is cut out of longer words, too."""
    folder = copy_family("bert", tmp_path / "family")
    change_json(folder / "tokenizer_config.json", pad_token="t")
    tokens = Tokenizer.from_str(read_bert(folder).tokenizer).encode("atat").tokens
    assert tokens.count("t") == 2


def test_a_switch_that_is_none(tmp_path: Path) -> None:
    folder = copy_family("albert", tmp_path / "family")
    change_json(folder / "tokenizer_config.json", keep_accents=100_000)
    refuse(r"\[E333\] .*tokenizer_config\.json, keep_accents is 100000; expected true or f", folder)
