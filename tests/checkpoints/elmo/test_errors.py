"""Files that cannot be read: what each message says."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spacy_ctxemb.checkpoints.elmo.checkpoint import read_elmo

from ...elmo_models import Files, change_weights, to_json, write_json, write_model
from ...encoders.bilm_loop import Options, cell_name
from .test_checkpoint import REMOVED, read_changed


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_model(tmp_path / "model")


def refuse(message: str, *paths: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_elmo(*paths)


def pack(path: Path, **members: Path | str) -> Path:
    """A ZIP file. members: files or texts by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            data = content.read_bytes() if isinstance(content, Path) else content.encode()
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("char_cnn.activation", REMOVED, "activation is missing; expected 'relu' or 'tanh'"),
        ("char_cnn.activation", "gelu", "activation is \"gelu\"; expected 'relu' or 'tanh'"),
        ("char_cnn.activation", ["relu"], r'activation is \["relu"\]; expected'),
        ("char_cnn.embedding", REMOVED, "char_cnn.embedding is missing; expected an object"),
        ("char_cnn.embedding", 16, "char_cnn.embedding is 16; expected an object"),
        ("char_cnn.embedding.dim", "16", 'dim is "16"; expected a whole number from 1'),
        ("char_cnn.embedding.dim", True, "dim is true; expected a whole number from 1"),
        ("char_cnn.embedding.dim", None, "dim is null; expected a whole number from 1"),
        ("char_cnn.filters", [], r"filters is \[\]; expected a list of \[width, count\]"),
        ("char_cnn.filters", [[1]], r"filters is \[\[1\]\]; expected a list"),
        ("char_cnn.filters", [[1, 0]], r"filters is \[\[1, 0\]\]; expected a list"),
        ("char_cnn.max_characters_per_token", 2, "token is 2; expected a whole number from 3"),
        ("char_cnn.n_characters", REMOVED, "char_cnn.n_characters is missing; expected a whole"),
        ("char_cnn.n_characters", 60, "char_cnn.n_characters is 60; expected 262"),
        ("char_cnn.n_highway", -1, "n_highway is -1; expected a whole number from 0"),
        ("lstm", REMOVED, "lstm is missing; expected an object"),
        ("lstm.cell_clip", -3, "lstm.cell_clip is -3; expected a number from 0, or null"),
        ("lstm.proj_clip", float("nan"), "lstm.proj_clip is NaN; expected a number from 0"),
        ("lstm.dim", REMOVED, "lstm.dim is missing; expected a whole number from 1"),
        ("lstm.dim", 7.0, "lstm.dim is 7.0; expected a whole number"),
        ("lstm.n_layers", 0, "lstm.n_layers is 0; expected a whole number from 1"),
        ("lstm.projection_dim", REMOVED, "lstm.projection_dim is missing"),
        ("lstm.use_skip_connections", "yes", 'skip_connections is "yes"; expected true or false'),
    ],
)
def test_options_that_are_wrong(key: str, value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"\[E303\] In .*options\.json, .*{message}"):
        read_changed(tmp_path, {key: value})


@pytest.mark.parametrize(
    "key",
    [
        "char_cnn.max_characters_per_token",
        "char_cnn.embedding.dim",
        "char_cnn.n_characters",
        "char_cnn.n_highway",
        "lstm.dim",
        "lstm.n_layers",
        "lstm.projection_dim",
    ],
)
@pytest.mark.parametrize("value", [10**9, 10**400])
def test_sizes_that_no_model_has(key: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"\[E303\] In .*, {key} is 10+(\.{{3}})?; expected"):
        read_changed(tmp_path, {key: value})


@pytest.mark.parametrize(
    "key, value",
    [
        ("char_cnn.filters", 5000 * [[1, 1]]),
        ("char_cnn.filters", [[1, 10**9]]),
        ("char_cnn.filters", [[1, True]]),
        ("lstm.cell_clip", 10**400),
        ("lstm.proj_clip", True),
    ],
)
def test_numbers_out_of_range(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"\[E303\] In .*options\.json, {key} is "):
        read_changed(tmp_path, {key: value})


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"\xff"])
def test_options_that_cannot_be_parsed(data: bytes, files: Files) -> None:
    files.options.write_bytes(data)
    refuse(r"\[E302\] .*options\.json is not the options", *files)


def test_vectors_that_are_not_finite(files: Files) -> None:
    """No value is infinite, but what is computed from them."""
    with h5py.File(files.weights, "r") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        large = {name: np.asarray(file[name]) * 1e13 for name in names}
    change_weights(files.weights, **large)
    refuse(r"\[E353\] The vectors of the model in .*weights\.hdf5 are not finite", *files)


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"activation is \"x{56}\.\.\.; expected"):
        read_changed(tmp_path, {"char_cnn.activation": 100 * "x"})


def test_a_filter_longer_than_a_token(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[E102\] .* width 9 .* max_characters of 8"):
        read_changed(tmp_path, {"char_cnn.filters": [[9, 2]]})


@pytest.mark.parametrize(
    "text, reason", [("{", "Expecting property name"), ("[1]", r"it holds \[1\]")]
)
def test_options_that_are_no_json_object(text: str, reason: str, files: Files) -> None:
    files.options.write_text(text)
    refuse(rf"\[E302\] .*options\.json is not the options.*: {reason}", *files)


def test_files_in_the_wrong_order(files: Files) -> None:
    refuse(r"\[E302\] .*weights\.hdf5 is not .* Pass the options first", *files[::-1])


@pytest.mark.parametrize("i", [0, 1])
def test_a_file_that_is_not_there(i: int, files: Files) -> None:
    files[i].unlink()
    refuse(rf"\[E300\] {re.escape(str(files[i]))} is not there\.", *files)


def test_a_folder(files: Files) -> None:
    refuse(r"\[E300\] .*model is a folder\.", files.options.parent, files.weights)


def test_an_address(files: Files) -> None:
    address = "https://example.com/elmo/options.json"
    refuse(rf"\[E300\] {address} is an address; download it\.", Path(address), files.weights)


def test_weights_left_out(files: Files) -> None:
    refuse(r"\[E304\] .*options\.json is not a ZIP file, so the weights", files.options)


BIAS = f"{cell_name(1, 0)}/B"
SHAPES: list[tuple[str, Any, str]] = [
    ("char_embed", np.ones((260, 3), "f4"), r"float32 of shape \(260, 3\); .* \(261, 3\)"),
    ("char_embed", np.ones((262, 3), "f4"), r"\(262, 3\); .* \(261, 3\)\. The first row, for pad"),
    ("CNN/W_cnn_1", np.ones((1, 2, 3, 4), "f4"), r"\(1, 2, 3, 4\); .* \(1, 2, 3, 5\)"),
    (BIAS, np.ones(29, "f4"), r"\(29,\); expected floats of shape \(28,\). .* belong to .*json"),
    (BIAS, np.ones(28, "i8"), r"int64 of shape \(28,\); expected floats of shape \(28,\)"),
    (BIAS, np.float32(1), r"float32 of shape \(\); expected floats of shape \(28,\)"),
]


@pytest.mark.parametrize("name, values, message", SHAPES)
def test_datasets_of_another_shape(name: str, values: Any, message: str, files: Files) -> None:
    change_weights(files.weights, **{name: values})
    refuse(rf"\[E307\] In .*weights\.hdf5, {name} is .*{message}", *files)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("char_embed", "(261, 3)"),
        ("CNN/b_cnn_2", "(6,)"),
        ("CNN_high_0/W_carry", "(15, 15)"),
        ("CNN_proj/W_proj", "(15, 5)"),
        (f"{cell_name(0, 1)}/W_0", "(10, 28)"),
        (f"{cell_name(1, 1)}/W_P_0", "(7, 5)"),
    ],
)
def test_a_dataset_is_missing(name: str, shape: str, files: Files) -> None:
    change_weights(files.weights, **{name: None})
    expected = rf"lacks the dataset {name} of shape {re.escape(shape)} \(1 missing in all\)"
    refuse(rf"\[E306\] .*weights\.hdf5 {expected}, which .*options\.json asks for", *files)


@pytest.mark.parametrize(
    "changes, name, reason",
    [
        ({"n_highways": 2}, "CNN_high_1/W_carry", "`n_highway` is 1"),
        ({"filters": Options().filters + ((1, 1),)}, "CNN/W_cnn_3", "`filters` has 3 entries"),
        ({"n_layers": 3}, f"{cell_name(0, 2)}/B", "`n_layers` is 2"),
    ],
)
def test_weights_with_more_than_the_options(
    changes: dict[str, Any], name: str, reason: str, tmp_path: Path, files: Files
) -> None:
    other = write_model(tmp_path / "other", Options(**changes))
    found = rf"\[E308\] .*other.weights\.hdf5 has a dataset {name}, but .*json {reason}\."
    refuse(found, files.options, other.weights)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("RNN_2/RNN/MultiRNNCell/Cell0/LSTMCell/B", "there are two directions, RNN_0 and RNN_1"),
        (f"{cell_name(1, 1)}/W_P_0", "`n_layers` is 2, or other cells have no such matrix"),
        ("CNN_proj/b_proj", "the format has no such dataset, or not without its fellow"),
    ],
)
def test_datasets_that_do_not_belong_together(name: str, reason: str, tmp_path: Path) -> None:
    files = write_model(tmp_path, Options(width=15, hidden_width=15))
    change_weights(files.weights, **{name: np.ones(3, "f4")})
    refuse(rf"\[E308\] .* has a dataset {name}, but .* {reason}\.", *files)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(value: float, files: Files) -> None:
    bias = np.zeros(28)
    bias[:3] = value
    change_weights(files.weights, **{BIAS: bias})
    refuse(rf"\[E309\] In .*weights\.hdf5, {BIAS} has 3 values that are not finite", *files)


def test_weights_that_were_cut_short(files: Files) -> None:
    files.weights.write_bytes(files.weights.read_bytes()[:-100])
    refuse(r"\[E305\] .*weights\.hdf5 cannot be read as an HDF5 file: .*truncated", *files)


@pytest.mark.parametrize("data", [b"", b"<html>Not found</html>"])
def test_weights_of_another_format(data: bytes, files: Files) -> None:
    files.weights.write_bytes(data)
    refuse(r"\[E305\] .*weights\.hdf5 cannot be read as an HDF5 file: .*download it", *files)


def test_a_model_of_word_ids(files: Files) -> None:
    change_weights(files.weights, char_embed=None, embedding=np.ones((9, 5), "f4"))
    refuse(r"\[E312\] .*weights\.hdf5 has a dataset `embedding`: .* on word ids", *files)
    data = to_json(Options())
    write_json(files.options, {"lstm": data["lstm"], "n_tokens_vocab": 9})
    refuse(r"\[E312\] .*options\.json has no char_cnn: .* on word ids", *files)


@pytest.mark.parametrize(
    "config", [{"token_embedder": {}, "encoder": {}, "classifier": {}}, {"config_path": "x.json"}]
)
def test_options_of_elmo_for_many_langs(config: dict[str, Any], files: Files) -> None:
    write_json(files.options, config)
    refuse(r"\[E311\] .*options\.json is a model of ELMoForManyLangs, another format", *files)


def test_files_of_elmo_for_many_langs(tmp_path: Path) -> None:
    (tmp_path / "char.dic").write_text("")
    refuse(rf"\[E311\] {re.escape(str(tmp_path))} is a model of ELMoForManyLangs", tmp_path)
    path = pack(tmp_path / "161.zip", **{"161/encoder.pkl": "", "161/config.json": "{}"})
    refuse(r"\[E311\] .*161\.zip is a model of ELMoForManyLangs", path)


@pytest.mark.parametrize("folder", ["", "elmo/"])
def test_a_zip_file_holds_both(folder: str, files: Files, tmp_path: Path) -> None:
    members: dict[str, Path | str] = {
        f"{folder}model.hdf5": files.weights,
        f"{folder}options.json": files.options,
        f"{folder}vocab.txt": "the",
        "meta.json": "{}",
        f"__MACOSX/{folder}._options.json": "",
    }
    model, expected = read_elmo(pack(tmp_path / "22.zip", **members)), read_elmo(*files)
    assert model.settings == expected.settings
    for name, values in expected.tensors.items():
        assert np.array_equal(values, model.tensors[name])


def test_messages_name_the_member_of_a_zip_file(files: Files, tmp_path: Path) -> None:
    change_weights(files.weights, char_embed=None)
    path = pack(tmp_path / "22.zip", **{"a/model.hdf5": files.weights, "options.json": files[0]})
    refuse(r"\[E306\] .*22\.zip/a/model\.hdf5 lacks .* which .*22\.zip/options\.json asks", path)


def test_a_zip_file_and_weights(files: Files, tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **{"options.json": files.options})
    refuse(r"\[E301\] .*22\.zip is a ZIP file, .* but .*weights\.hdf5 was passed", path, files[1])


@pytest.mark.parametrize(
    "names, listed",
    [
        ([], "nothing"),
        (["a.txt", "options.json"], r"a\.txt, options\.json"),
        (["options.json", "a.hdf5", "b.hdf5"], r"options\.json, a\.hdf5, b\.hdf5"),
        ([f"{i}.txt" for i in range(12)], r"0\.txt, .*, 9\.txt and 2 more"),
    ],
)
def test_a_zip_file_with_other_members(names: list[str], listed: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **dict.fromkeys(names, ""))
    refuse(rf"\[E310\] .*22\.zip no ELMo model can be read: it holds {listed}\. It should", path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-100],
        lambda data: data[:3000] + bytes(100) + data[3100:],
    ],
    ids=["cut short", "overwritten"],
)
def test_a_damaged_zip_file(damage: Callable[[bytes], bytes], files: Files, tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **{"model.hdf5": files[1], "options.json": files[0]})
    path.write_bytes(damage(path.read_bytes()))
    refuse(r"\[E310\] .*22\.zip no ELMo model can be read: ", path)


def test_options_are_utf8(files: Files) -> None:
    data = to_json(Options()) | {"comment": "naïve"}
    files.options.write_text(json.dumps(data, ensure_ascii=False), encoding="utf8")
    assert read_elmo(*files).settings["width"] == 10
