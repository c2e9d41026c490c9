"""Files that claim, hide or smuggle something: each one is refused by a coded error, at once."""

import io
import json
import pickle
import re
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.checkpoints.load_any_huggingface import read_huggingface
from spacy_ctxemb.errors import Errors
from spacy_ctxemb.read_files import coding_errors

from ...bert_models import FAMILIES, change_json, change_tensors, copy_family, make_sentences

READERS: dict[str, Callable[..., Any]] = {"own": read_bert, "wrap": read_huggingface}
TABLE = "embeddings.word_embeddings.weight"
BIAS = "embeddings.LayerNorm.bias"


@pytest.fixture(params=READERS)
def read(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "wrap":
        pytest.importorskip("transformers", reason="transformers is not installed")
    return READERS[request.param]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_family("bert", tmp_path / "model")


def refuse(read: Callable[..., Any], message: str, path: Path) -> None:
    begin = time.process_time()
    with pytest.raises(ValueError, match=message):
        read(path)
    assert time.process_time() - begin < 6


# ---- sizes that no tensor bears out


@pytest.mark.parametrize(
    "key",
    [
        "num_hidden_layers",
        "hidden_size",
        "vocab_size",
        "max_position_embeddings",
        "intermediate_size",
        "type_vocab_size",
    ],
)
@pytest.mark.parametrize("value", [10**5, 10**7, 10**9, 10**400])
def test_sizes(key: str, value: int, read: Callable[..., Any], folder: Path) -> None:
    change_json(folder / "config.json", **{key: value})
    refuse(read, r"\[E(307|333|335|356|113|352)\] .*model", folder)


@pytest.mark.parametrize("name", ["albert", "modernbert"])
def test_layers_that_are_shared_or_listed(
    name: str, read: Callable[..., Any], tmp_path: Path
) -> None:
    folder = copy_family(name, tmp_path / "model")
    change_json(folder / "config.json", num_hidden_layers=10**9, layer_types=...)
    refuse(read, r"\[E(333|356)\] .* num_hidden_layers is 1000000000", folder)


def test_a_compressed_archive(read: Callable[..., Any], folder: Path) -> None:
    """A file of 1 MB could be unpacked to 1 GB."""
    path = save_pickle(folder, {"a": torch.zeros(2)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2_000_000))
    assert path.stat().st_size < 10_000
    refuse(read, r"\[E339\] .*pytorch_model\.bin .* it is compressed", folder)


def test_a_tensor_larger_than_its_file(read: Callable[..., Any], folder: Path) -> None:
    change_json(folder / "config.json", vocab_size=10**7)
    tensors = load_file(folder / "model.safetensors")
    tensors[TABLE] = torch.zeros(1, 12).expand(10**7, 12)
    save_pickle(folder, tensors)
    refuse(read, r"\[E354\] .*pytorch_model\.bin would take 480\d+ bytes", folder)


# ---- pickles


def save_pickle(folder: Path, data: object) -> Path:
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(data, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("is_archive", [False, True])
def test_a_payload_is_refused_and_does_not_run(
    protocol: int, is_archive: bool, read: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "ran"
    import os

    data = pickle.dumps({"a": Payload(os.mkdir, str(target))}, protocol=protocol)
    path = save_pickle(folder, {})
    if is_archive:
        source = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, data if name.endswith("data.pkl") else old.read(name))
    else:
        path.write_bytes(data)
    refuse(read, r"\[E342\] .*model\.bin was refused: .* asks for \w+\.mkdir, .* None was", folder)
    assert not target.exists()


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sparse": lambda value: value.to_sparse(),
    "meta": lambda value: value.to("meta"),
    "complex": lambda value: value.to(torch.complex64),
    "quantised": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_another_kind(kind: str, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_pickle(folder, tensors | {BIAS: KINDS[kind](tensors[BIAS])})
    refuse(read_bert, rf"\[E(307|341|342)\] .*({BIAS}|_rebuild_qtensor)", folder)


# ---- shards


def write_shards(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    folder = copy_family("bert_sharded", tmp_path / "model")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return folder, index["weight_map"]


def test_a_tensor_in_two_shards(read: Callable[..., Any], tmp_path: Path) -> None:
    folder, index = write_shards(tmp_path)
    other = next(name for name in index.values() if name != index[TABLE])
    tensors = load_file(folder / other) | {TABLE: torch.ones(260, 12)}
    save_file(tensors, folder / other, metadata={"format": "pt"})
    refuse(read, rf"\[E351\] .* two tensors {TABLE}, in .*00001-.* and .*0000\d-", folder)


def test_a_tensor_under_two_names(folder: Path) -> None:
    change_tensors(folder, lambda t: t | {f"bert.{TABLE}": t[TABLE] + 1})
    refuse(read_bert, rf"\[E351\] .* two tensors {TABLE}", folder)


def test_an_index_that_names_the_wrong_shard(read: Callable[..., Any], tmp_path: Path) -> None:
    folder, index = write_shards(tmp_path)
    other = next(name for name in index.values() if name != index[TABLE])
    path = folder / "model.safetensors.index.json"
    change_json(path, weight_map=index | {TABLE: other})
    refuse(read, rf"\[E343\] .*index\.json names {TABLE}, .* \(1 missing in all\)", folder)
    change_json(path, weight_map=index | {"a.weight": other})
    refuse(read, r"\[E343\] .*index\.json names a\.weight, ", folder)
    change_json(path, weight_map=index | {TABLE: "..\\model.safetensors"})
    refuse(read, r"\[E331\] .* is no file's name", folder)


# ---- types and numbers

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("config.json", {"layer_norm_eps": 10**400}),
    ("config.json", {"layer_norm_eps": float("nan")}),
    ("config.json", {"layer_norm_eps": 1e-60}),
    ("config.json", {"hidden_size": None}),
    ("config.json", {"is_decoder": 1}),
    ("config.json", {"num_attention_heads": True}),
    ("config.json", {"max_position_embeddings": 1e3}),
    ("tokenizer_config.json", {"do_lower_case": None}),
    ("tokenizer_config.json", {"tokenize_chinese_chars": None}),
    ("tokenizer_config.json", {"strip_accents": "yes"}),
    ("tokenizer_config.json", {"tokenizer_class": ["BertTokenizer"]}),
    ("tokenizer_config.json", {"unk_token": {"text": 3}}),
    ("tokenizer_config.json", {"additional_special_tokens": "that"}),
    ("tokenizer_config.json", {"extra_special_tokens": [3]}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "[PAD]"}}}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "[PAD]"}}}),
]


@pytest.mark.parametrize("file, changes", WRONG, ids=str)
def test_values_of_other_types(file: str, changes: dict[str, Any], folder: Path) -> None:
    change_json(folder / file, **changes)
    refuse(read_bert, rf"\[E(333|345|124)\] .*{file if 'x' not in str(changes) else ''}", folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": 3},
        {"rope_parameters": {"full_attention": [1]}},
        {"rope_parameters": {"full_attention": {"rope_theta": 0}}},
        {"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}},
        {"layer_types": "full_attention"},
        {"layer_types": [[]]},
        {"layer_types": ["full_attention"]},
        {"layer_types": None, "global_attn_every_n_layers": 0},
        {"sliding_window": 2},
    ],
    ids=str,
)
def test_values_of_a_modernbert(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = copy_family("modernbert", tmp_path / "model")
    change_json(folder / "config.json", **changes)
    refuse(read_bert, rf"\[E333\] In .*config\.json, {list(changes)[-1].split('_n')[0]}", folder)


def test_another_name_for_a_setting(tmp_path: Path) -> None:
    folder = copy_family("distilbert", tmp_path / "model")
    change_json(folder / "config.json", num_attention_heads=3)
    refuse(read_bert, r"\[E333\] .* num_attention_heads is 3; expected 2", folder)


FILES = ("config.json", "tokenizer_config.json", "tokenizer.json")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"[" * 100_000,
        b"[]",
        b"null",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b"",
        b'{"vocab_size": ' + b"9" * 5000 + b"}",
    ],
    ids=range(9),
)
def test_files_that_are_no_object(
    file: str, data: bytes, read: Callable[..., Any], folder: Path
) -> None:
    (folder / file).write_bytes(data)
    refuse(read, r"\[E(331|124|352)\] .*model", folder)


def test_a_vocabulary_in_another_encoding(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(b"\xff\xfea\x00")
    refuse(read_bert, r"\[E331\] .*vocab\.txt cannot be used: .* decode", folder)


def test_a_tokenizer_without_its_unknown_piece(folder: Path) -> None:
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    del data["model"]["vocab"]["[UNK]"]
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] != "[UNK]"]
    change_json(folder / "tokenizer.json", **data)
    refuse(read_bert, r"\[E12[45]\] .*\[UNK\]", folder)


def test_a_tokenizer_without_files(read: Callable[..., Any], folder: Path) -> None:
    """transformers makes one of special pieces alone."""
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()
    refuse(read, r"\[E344\] .*model has no tokenizer\.json, no vocab\.txt", folder)


def test_pieces_with_the_same_id(folder: Path) -> None:
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    data["model"]["vocab"]["a"] = data["model"]["vocab"]["b"]
    change_json(folder / "tokenizer.json", **data)
    refuse(read_bert, r"\[E124\] .*: some of its pieces have the same id", folder)


class PanicException(BaseException):
    """As libraries in Rust raise it."""


def test_a_panic_gets_a_code() -> None:
    PanicException.__module__ = "pyo3_runtime"
    with pytest.raises(ValueError, match=r"\[E124\] here is not .*: it broke"):
        with coding_errors(Errors.E124, source="here"):
            raise PanicException("it broke")
    with pytest.raises(ValueError, match=r"\[E124\] here is not .*: \[Errno 22\]"):
        with coding_errors(Errors.E124, source="here"):
            raise OSError(22, "Invalid argument")
    with pytest.raises(KeyboardInterrupt), coding_errors(Errors.E124, source="here"):
        raise KeyboardInterrupt


# ---- vectors that are no numbers


def test_values_that_are_too_large(read: Callable[..., Any], folder: Path) -> None:
    change_tensors(folder, lambda t: t | {BIAS: torch.full((12,), 1e20)})
    refuse(
        read, r"\[E309\] In .*LayerNorm\.bias has 12 values that are not finite, or above", folder
    )


def test_vectors_that_are_not_finite(read: Callable[..., Any], folder: Path) -> None:
    change_tensors(folder, lambda t: {k: v * 1e13 for k, v in t.items()})
    refuse(read, r"\[E353\] The vectors of the model in .*model are not finite", folder)


# ---- what changes vectors


@pytest.mark.parametrize("key", ["quantization_config", "transformers_weights"])
def test_weights_of_another_kind(key: str, read: Callable[..., Any], folder: Path) -> None:
    change_json(folder / "config.json", **{key: "other.safetensors"})
    refuse(read, rf"\[E(333|356)\] In .*config\.json, {key} is ", folder)


@pytest.mark.parametrize("key, value", [("@misc", "a"), ("a.b", 1), ("x", "${paths.a}")])
def test_what_a_config_of_spacy_would_run(key: str, value: object, folder: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    change_json(folder / "config.json", extra={key: value})
    refuse(read_huggingface, r"\[E356\] .* extra\..*: spaCy's configs do not keep it", folder)


def test_a_dtype_rounds_no_weights(folder: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    change_json(folder / "config.json", dtype="bfloat16")
    found = read_huggingface(folder).tensors[f"model.{TABLE}"]
    assert torch.equal(found, load_file(FAMILIES / "bert" / "model.safetensors")[TABLE])


def test_vectors_of_texts_that_are_cut(read: Callable[..., Any], folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    change_json(path / "config_sentence_transformers.json", truncate_dim=4)
    refuse(read, r"\[E355\] .* to 4 values .* take doc\.vector\[:4\] yourself", path)
    assert read(path, with_pooling=False).sentences.doc_pooling is None


def test_a_dense_layer_matters_for_texts_alone(read: Callable[..., Any], folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling", "Dense")
    refuse(read, r"\[E347\] .*--no-pooling", path)
    assert read(path, with_pooling=False).sentences.doc_pooling is None


@pytest.mark.parametrize("place", ["../0_Transformer", "/0_Transformer", "a\\..\\..\\b", "c:\\a"])
def test_a_module_outside_the_folder(place: str, read: Callable[..., Any], folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    modules = json.loads((path / "modules.json").read_text())
    modules[0]["path"] = place
    (path / "modules.json").write_text(json.dumps(modules))
    refuse(read, r"\[E331\] .*modules\.json .* lies outside the folder", path)


def test_a_module_of_another_package(read: Callable[..., Any], folder: Path) -> None:
    path = make_sentences(folder, "Transformer", "Pooling")
    modules = json.loads((path / "modules.json").read_text())
    modules[1]["type"] = "custom.Pooling"
    (path / "modules.json").write_text(json.dumps(modules))
    refuse(read, r"\[E347\] .* \['Transformer', 'custom\.Pooling'\]", path)


@pytest.mark.parametrize(
    "file, changes",
    [
        ("1_Pooling/config.json", {"pooling_mode": 3}),
        ("1_Pooling/config.json", {"pooling_mode": [["mean"]]}),
        ("1_Pooling/config.json", {"pooling_mode": {"mean": 1}}),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": "yes"}),
        ("config_sentence_transformers.json", {"prompts": ["a"]}),
        ("config_sentence_transformers.json", {"prompts": {"a": 3}}),
        ("config_sentence_transformers.json", {"default_prompt_name": []}),
        ("config_sentence_transformers.json", {"truncate_dim": "4"}),
        ("0_Transformer/sentence_bert_config.json", {"max_seq_length": "64"}),
        ("0_Transformer/sentence_bert_config.json", {"do_lower_case": "yes"}),
        ("0_Transformer/sentence_bert_config.json", {"model_args": {"dtype": "float16"}}),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}),
    ],
    ids=str,
)
def test_settings_of_sentence_transformers(
    file: str, changes: dict[str, Any], read: Callable[..., Any], folder: Path
) -> None:
    path = make_sentences(folder, "Transformer", "Pooling", "Normalize")
    (path / "2_Normalize").mkdir()
    change_json(path / file, **changes)
    refuse(read, r"\[E(333|346)\] In ", path)


@pytest.mark.parametrize("name", ["bert", "camembert", "roberta"])
def test_boundaries_of_other_ids_than_in_the_vocabulary(name: str, tmp_path: Path) -> None:
    """transformers takes the ids of the vocabulary, the library those of the file."""
    folder = copy_family(name, tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    boundary = "[SEP]" if name == "bert" else "</s>"
    processor = tokenizer["post_processor"]
    if "sep" in processor:
        processor["sep"][1] += 1
    else:
        processor["special_tokens"][boundary]["ids"] = [7]
    change_json(folder / "tokenizer.json", post_processor=processor)
    refuse(read_bert, rf"\[E124\] .*puts around texts {re.escape(boundary)} with the id", folder)


@pytest.mark.parametrize("padding", [0, 2, 3, 9])
def test_padding_that_stands_in_texts(padding: int, tmp_path: Path) -> None:
    """Positions are counted from its id, and transformers skips it wherever it stands."""
    folder = copy_family("xlm-roberta", tmp_path / "model")
    change_json(folder / "config.json", pad_token_id=padding)
    refuse(read_bert, r"\[E356\] In .*config\.json, pad_token_id is \d, .*stands in texts", folder)
