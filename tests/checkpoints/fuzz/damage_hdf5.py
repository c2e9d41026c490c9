"""Damage to HDF5 files: what the format allows, and a model must not have."""

import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np


def damage_hdf5(path: Path, rng: Random) -> str:
    """Change one dataset; returns what was done."""
    change = rng.choice(CHANGES)
    try:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(lambda name, item: collect(names, name, item))
            if not names:
                return "nothing: no datasets"
            name = rng.choice(names)
            values = np.asarray(file[name][...])
            return f"{path.name}: {name} {change(file, name, values, rng)}"
    except (OSError, RuntimeError, KeyError, ValueError):
        return "nothing: cannot be changed"


def collect(names: list[str], name: str, item: object) -> None:
    if isinstance(item, h5py.Dataset):
        names.append(name)


def store_outside(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    del file[name]
    path = rng.choice(["/etc/passwd", "options.json", "/nothing"])
    file.create_dataset(name, values.shape, "f4", external=[(path, 0, values.nbytes)])
    return f"in {path}"


def make_virtual(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    del file[name]
    layout = h5py.VirtualLayout(values.shape, "f4")
    source = rng.choice([".", "other.hdf5", "/etc/passwd"])
    layout[...] = h5py.VirtualSource(source, "char_embed", values.shape)
    file.create_virtual_dataset(name, layout, fillvalue=rng.choice([0, 1]))
    return f"virtual, from {source}"


def leave_out(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    """Never written, or only the first row."""
    del file[name]
    chunks = tuple(max(1, n // 2) for n in values.shape) if rng.random() < 0.5 else None
    dataset = file.create_dataset(
        name, values.shape, "f4", chunks=chunks, fillvalue=rng.choice([0, 1])
    )
    if chunks and rng.random() < 0.5:
        dataset[0] = values[0]
    return "not written"


def leave_zeros(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    file[name][...] = rng.choice([0.0, -0.0, 1e-30])
    return "zeros"


def link(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    kind = rng.choice(["soft", "dangling", "external", "hard", "group", "loop"])
    if kind == "hard":
        file["elsewhere"] = file[name]
        return "also elsewhere"
    if kind == "loop":
        file["CNN/loop"] = file["/"]
        return "loop of groups"
    place = name.rpartition("/")[0] or name if kind == "group" else name
    file.move(place, "elsewhere")
    links = {"soft": h5py.SoftLink("/elsewhere"), "dangling": h5py.SoftLink("/nothing")}
    links["group"] = links["soft"]
    file[place] = links.get(kind) or h5py.ExternalLink("other.hdf5", "/elsewhere")
    return f"{kind} link"


def filter_values(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    del file[name]
    settings: dict[str, Any] = rng.choice(
        [
            {"compression": "gzip"},
            {"compression": "lzf", "shuffle": True},
            {"fletcher32": True},
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            {"scaleoffset": 2},
            {"chunks": values.shape, "maxshape": (None,) * values.ndim},
        ]
    )
    file.create_dataset(name, data=values, **settings)
    return f"with {settings}"


def filter_unknown(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    """An optional filter that nobody has."""
    del file[name]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(values.shape)
    code = rng.choice([305, 32008, 32015, 60000])
    properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(
        file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, properties, lcpl=make_groups()
    )
    dataset.write_direct_chunk((0,) * values.ndim, values.astype("<f4").tobytes())
    return f"with the filter {code}"


def make_groups() -> Any:
    properties = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    properties.set_create_intermediate_group(True)
    return properties


def explode(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    """A chunk that unpacks to far more than it should."""
    del file[name]
    dataset = file.create_dataset(name, values.shape, "f4", chunks=values.shape, compression="gzip")
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(2**20)) for _ in range(rng.choice([1, 300])))
    dataset.id.write_direct_chunk((0,) * values.ndim, data + packer.flush())
    return "a chunk of zeros without end"


def claim(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    """A shape beyond everything."""
    del file[name]
    n = rng.choice([10**5, 10**9, 2**40])
    shape = tuple(n if i == 0 else 2 for i in range(values.ndim))
    chunks = tuple(min(n, 10 ** rng.choice([1, 5])) for n in shape)
    dataset = file.create_dataset(name, shape, "f4", chunks=chunks, compression="gzip")
    dataset[0] = 1
    return f"of shape {shape}"


def retype(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    del file[name]
    kinds: list[Any] = ["f2", "f8", ">f4", ">f8", "i4", "u1", "c8", "bool", "g", "S4"]
    kind = rng.choice(
        [*kinds, [("a", "f4")], h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype("f4")]
    )
    if isinstance(kind, str):
        file[name] = values.astype(kind)
    else:
        file.create_dataset(name, values.shape, dtype=kind)
    return f"of type {kind}"


def reshape(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    del file[name]
    parts: list[Any] = [
        values.T,
        values[None],
        values.ravel(),
        values[:-1],
        values[:0],
        values.sum(),
    ]
    new = rng.choice([*parts, np.repeat(values, 2, axis=0), h5py.Empty("f4")])
    file[name] = new
    return f"of shape {new.shape}"


def spoil(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    flat = values.astype("f4").ravel()
    value = rng.choice([np.nan, np.inf, -np.inf, 3e38, 1e20, -1e9, 5e3, 50, 1e-40])
    n = rng.choice([1, len(flat)])
    flat[rng.randrange(len(flat)) :][:n] = value
    file[name][...] = flat.reshape(values.shape)
    return f"with {n} values {value}"


def rename(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    new = rng.choice([name.upper(), f"{name}_2", f"x/{name}", name.replace("0", "1"), "embedding"])
    if new not in file:
        file.move(name, new)
    return f"renamed to {new}"


def remove(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    place = rng.choice([name, name.split("/")[0]])
    del file[place]
    return f"{place} removed"


def add(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    new = rng.choice(
        ["softmax/W", "CNN/W_cnn_9", "RNN_2/x", "CNN_proj/W_proj", "CNN_high_7/W_carry"]
    )
    if new not in file:
        file[new] = values
    return f"also as {new}"


def add_attributes(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    item = rng.choice([file, file[name], file[name].parent])
    kind = rng.choice(["text", "big", "reference", "many", "type"])
    if kind == "text":
        item.attrs["shape"] = "\ud83d\ude80" if rng.random() < 0 else "(1, 1)"
    elif kind == "big":
        item.attrs.create("x", np.zeros(7000, "f8"))
    elif kind == "reference":
        item.attrs["DIMENSION_LIST"] = file[name].ref
    elif kind == "many":
        for i in range(300):
            item.attrs[f"a{i}"] = i
    else:
        file["named"] = np.dtype("f4")
        item.attrs["dtype"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    return f"attributes: {kind}"


def put_group(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    """A group or a type where a dataset should be."""
    del file[name]
    if rng.random() < 0.5:
        file.create_group(name)
        return "now a group"
    file[name] = np.dtype("f4")
    return "now a type"


def fill_with_groups(file: h5py.File, name: str, values: Any, rng: Random) -> str:
    n = rng.choice([100, 11_000])
    group = file.create_group("many")
    for i in range(n):
        group.create_group(str(i))
    return f"beside {n} groups"


CHANGES: list[Callable[[h5py.File, str, Any, Random], str]] = [
    *(store_outside, make_virtual, leave_out, leave_zeros, link, link, filter_values),
    *(filter_unknown, explode, claim, retype, retype, reshape, reshape, spoil, spoil, rename),
    *(remove, add, add_attributes, put_group, fill_with_groups),
]
