"""Files that HDF5 and ZIP allow, and that no model should be: refused before bytes are read."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spacy_ctxemb.checkpoints.elmo.checkpoint import read_elmo

from ...elmo_models import Files, change_weights, to_json, write_json, write_model
from ...encoders.bilm_loop import Options, cell_name
from ...encoders.published_weights import draw_weights
from .test_errors import pack, refuse

NAME = "CNN_high_0/W_carry"
SHAPE = (15, 15)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_model(tmp_path / "model")


def change(files: Files, name: str, put: Callable[[h5py.File], Any]) -> None:
    """Put something else in the place of a dataset."""
    with h5py.File(files.weights, "r+") as file:
        del file[name]
        put(file)


def test_values_in_another_file(files: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 225))
    place = [(str(secret), 0, 4 * 225)]
    change(files, NAME, lambda f: f.create_dataset(NAME, SHAPE, "f4", external=place))
    refuse(rf"\[E313\] In .*hdf5, the values of {NAME} .* lie in another file, .*secret", *files)


@pytest.mark.parametrize("source", [".", "other.hdf5"])
def test_a_virtual_dataset(source: str, files: Files) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource(source, "CNN_high_0/W_transform", SHAPE)
    change(files, NAME, lambda f: f.create_virtual_dataset(NAME, layout))
    refuse(rf"\[E313\] .* {NAME} cannot be used: .* by a virtual dataset", *files)


def test_values_that_were_never_written(files: Files) -> None:
    change(files, NAME, lambda f: f.create_dataset(NAME, SHAPE, "f4"))
    refuse(rf"\[E313\] .* {NAME} cannot be used: they were never written", *files)


def test_values_of_which_a_part_was_written(files: Files) -> None:
    def put(file: h5py.File) -> None:
        file.create_dataset(NAME, SHAPE, "f4", chunks=(5, 15), fillvalue=1)[:5] = 1

    change(files, NAME, put)
    refuse(rf"\[E313\] .* {NAME} .* never written, or only a part of them", *files)


def test_a_matrix_of_zeros(files: Files) -> None:
    """What a file has that was made in its full size, and never filled."""
    change_weights(files.weights, **{NAME: np.zeros(SHAPE, "f4")})
    refuse(rf"\[E313\] .* {NAME} cannot be used: all of them are 0", *files)
    write_model(files.options.parent)
    change_weights(files.weights, **{"CNN_high_0/b_carry": np.zeros(15, "f4")})
    assert not read_elmo(*files).tensors["token_encoder.highways.0.gate.bias"].any()


@pytest.mark.parametrize(
    "link, target",
    [
        (h5py.SoftLink("/elsewhere"), 'SoftLink to "/elsewhere"'),
        (h5py.SoftLink("/nothing"), 'SoftLink to "/nothing"'),
        (h5py.ExternalLink("b.hdf5", "/x"), 'ExternalLink to "/x" in file "b.hdf5"'),
    ],
)
@pytest.mark.parametrize("place", [NAME, "CNN_high_0"])
def test_links(link: Any, target: str, place: str, files: Files) -> None:
    with h5py.File(files.weights, "r+") as file:
        file.move(place, "elsewhere")
        file[place] = link
    with h5py.File(files.weights.parent / "b.hdf5", "w") as other:
        other["x"] = np.ones(SHAPE, "f4")
    refuse(rf"\[E313\] .* {place}.* cannot be used: {place} is a link, <{target}", *files)


def test_names_of_datasets_are_shown_without_control_characters(files: Files) -> None:
    with h5py.File(files.weights, "r+") as file:
        file[b"CNN_\xff"] = np.ones(3, "f4")  # no UTF-8, and so no name of a model's
    read_elmo(*files)
    with h5py.File(files.weights, "r+") as file:
        file["CNN_\x1b[31m"] = np.ones(3, "f4")
    refuse(r"\[E308\] .*hdf5 has a dataset CNN_\\x1b\[31m, but", *files)


def test_an_unknown_filter(files: Files) -> None:
    def put(file: h5py.File) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(SHAPE)
        properties.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(SHAPE)
        dataset = h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.IEEE_F32LE, space, properties)
        dataset.write_direct_chunk((0, 0), np.ones(SHAPE, "<f4").tobytes())

    change(files, NAME, put)
    refuse(rf"\[E313\] .* {NAME} cannot be used: they went through the filter 32008", *files)


def test_values_that_were_compressed_twice(files: Files) -> None:
    def put(file: h5py.File) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(SHAPE)
        properties.set_deflate(9)
        properties.set_deflate(9)
        space = h5py.h5s.create_simple(SHAPE)
        h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.IEEE_F32LE, space, properties)
        file[NAME][...] = 1

    change(files, NAME, put)
    refuse(rf"\[E313\] .* {NAME} cannot be used: they are compressed more than once", *files)


@pytest.mark.parametrize(
    "settings",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": (4, 15)},
        {"compression": "lzf"},
        {"chunks": (2, 2), "maxshape": (None, None)},
    ],
)
def test_filters_that_are_read(settings: dict[str, Any], files: Files) -> None:
    values = draw_weights(Options())[NAME]
    change(files, NAME, lambda f: f.create_dataset(NAME, data=values, **settings))
    found = read_elmo(*files).tensors["token_encoder.highways.0.gate.weight"]
    assert np.array_equal(found, values.T)


def test_a_chunk_that_unpacks_to_more_than_it_holds(files: Files) -> None:
    def put(file: h5py.File) -> None:
        dataset = file.create_dataset(NAME, SHAPE, "f4", chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**24)))

    change(files, NAME, put)
    refuse(rf"\[E313\] .* {NAME} .*: they unpack to more than their shape says", *files)


def test_chunks_beyond_all_measure(files: Files) -> None:
    def put(file: h5py.File) -> None:
        settings = {"chunks": (2**14, 2**14), "maxshape": (None, None), "compression": "gzip"}
        dataset = file.create_dataset(NAME, SHAPE, "f4", **settings)
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(100)))

    change(files, NAME, put)
    refuse(rf"\[E313\] .* {NAME} .*: they unpack to 1,073\.7 MB, from a file of 0\.0 MB", *files)


@pytest.mark.parametrize(
    "dtype", ["i4", "bool", "c8", "S4", h5py.ref_dtype, h5py.string_dtype(), [("a", "f4")]]
)
def test_values_that_are_no_floats(dtype: Any, files: Files) -> None:
    change(files, NAME, lambda f: f.create_dataset(NAME, SHAPE, dtype))
    refuse(rf"\[E307\] In .*hdf5, {NAME} is .* expected floats of shape \(15, 15\)", *files)


@pytest.mark.parametrize("value", [3e38, -1e16])
def test_values_that_no_training_leaves(value: float, files: Files) -> None:
    bias = np.zeros(28, "f4")
    bias[3] = value
    change_weights(files.weights, **{f"{cell_name(1, 0)}/B": bias})
    refuse(r"\[E309\] In .*hdf5, .*/B has 1 values that are not finite, or above 1e15", *files)


@pytest.mark.parametrize(
    "key, value, reason",
    [
        ("char_cnn.n_highway", 10**9, "25 datasets"),
        ("lstm.n_layers", 10**9, "25 datasets"),
        ("char_cnn.filters", [[1, 1]] * 31, "25 datasets"),
        ("char_cnn.filters", [[1, 10**18]], "no dataset with more than 261 rows"),
        ("char_cnn.embedding.dim", 10**18, "no dataset with more than 261 rows"),
        ("lstm.dim", 10**18, "no dataset with more than 261 rows"),
        ("lstm.projection_dim", 10**18, "no dataset with more than 261 rows"),
    ],
)
def test_options_beyond_the_weights(key: str, value: Any, reason: str, files: Files) -> None:
    data = to_json(Options())
    *parents, name = key.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    place[name] = value
    write_json(files.options, data)
    with pytest.raises(ValueError, match=r"\[E3(14|03)\] .*") as caught:
        read_elmo(*files)
    if "E314" in str(caught.value):
        assert f"{key} is" in str(caught.value) and reason in str(caught.value)


def test_more_characters_than_memory_holds(files: Files) -> None:
    data = to_json(Options(max_characters=10**9))
    write_json(files.options, data)
    refuse(r"\[E303\] .* char_cnn\.max_characters_per_token is 1000000000; expected", *files)


def test_a_file_of_many_groups(files: Files) -> None:
    with h5py.File(files.weights, "r+") as file:
        for i in range(10_001):
            file.create_group(f"many/{i}")
    refuse(r"\[E305\] .*hdf5 cannot be read .* more than 10,000 groups and datasets", *files)


def test_attributes_change_nothing(files: Files) -> None:
    expected = read_elmo(*files).tensors
    with h5py.File(files.weights, "r+") as file:
        for item in (file, file["CNN"], file[NAME]):
            item.attrs["shape"] = (1, 1)
            item.attrs["reference"] = file[NAME].ref
            item.attrs["DIMENSION_LIST"] = "x" * 1000
    found = read_elmo(*files).tensors
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_zip_file_that_unpacks_to_much(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "22.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(files.options, "options.json")
        with archive.open("model.hdf5", "w", force_zip64=True) as member:
            for _ in range(20):
                member.write(bytes(10**6))
    message = r"\[E315\] .*22\.zip unpacks to 20\.0 MB, more than the limit of 10\.0 MB\. .*"
    with pytest.raises(ValueError, match=message + "--unpack-limit"):
        read_elmo(path, unpack_limit=10**7)
    refuse(r"\[E305\] .*22\.zip/model\.hdf5 cannot be read", path)


def test_a_zip_file_that_holds_more_than_it_says(files: Files, tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **{"options.json": files[0], "m.hdf5": files[1]})
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("m.hdf5").file_size
    data = path.read_bytes()
    path.write_bytes(data.replace(size.to_bytes(4, "little"), (99).to_bytes(4, "little")))
    refuse(r"\[E310\] .*22\.zip no ELMo model can be read: ", path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_file_with_one_name_twice(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "22.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in (("options.json", 0), ("m.hdf5", 1), ("options.json", 0)):
            archive.write(files[file], name)
    refuse(r"\[E310\] .* it holds options\.json, m\.hdf5, options\.json\.", path)


def test_names_of_members_are_no_paths(files: Files, tmp_path: Path) -> None:
    members = {"../../../evil/options.json": files.options, "/tmp/evil/m.hdf5": files.weights}
    assert read_elmo(pack(tmp_path / "22.zip", **members)).settings["width"] == 10
    assert not list(tmp_path.parent.rglob("evil")) and not Path("/tmp/evil").exists()


def test_names_of_members_are_shown_without_control_characters(tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **{"\x1b[31mred": "", "n" * 5000: ""})
    refuse(rf"it holds \\x1b\[31mred, {'n' * 57}\.\.\.\. It should", path)


def test_a_link_in_a_zip_file_is_not_followed(files: Files, tmp_path: Path) -> None:
    path = pack(tmp_path / "22.zip", **{"options.json": files.options})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("m.hdf5")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(files.weights))
    refuse(r"\[E305\] .*22\.zip/m\.hdf5 cannot be read as an HDF5 file", path)


@pytest.mark.parametrize("i", [0, 1])
def test_a_file_without_permission(i: int, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse_one(self: Path, *arguments: Any, **settings: Any) -> Any:
        if self == files[i]:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **settings)

    monkeypatch.setattr(Path, "open", refuse_one)
    refuse(r"\[E300\] .* cannot be read \(Permission denied\)\.", *files)


def test_a_name_that_is_too_long(files: Files) -> None:
    refuse(r"\[E300\] .* cannot be read \(File name too long\)\.", Path("x" * 5000), files.weights)
