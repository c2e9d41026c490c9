"""How the datasets of an HDF5 file are stored: what must hold before their values are read.

The format lets a dataset take its values from any other file, run a filter that a plug-in brings,
or leave values out. All of that is refused by name.
"""

import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import Errors
from .find_files import Source, show_size

if TYPE_CHECKING:
    import h5py

DEFLATE = 1
#: Filters that may be on values, those of h5py's `create_dataset`: gzip, shuffle, fletcher32, lzf.
FILTERS = {DEFLATE, 2, 3, 32000}
COMPRESSIONS = {DEFLATE, 32000}

#: Bytes that any file may unpack to; a larger model has at most RATIO times the size of its file.
#: Trained weights hardly compress at all.
SMALL = 2**26
RATIO = 50


def check_storage(datasets: "dict[str, h5py.Dataset]", source: Source) -> None:
    """Raise E313 for values that are not in the file, not as a whole, or unpack to too much."""
    refuse(datasets, find_fault, source)
    sizes = {name: count_bytes(dataset) for name, dataset in datasets.items()}
    stored = source.path.stat().st_size
    if sum(sizes.values()) > max(SMALL, RATIO * stored):
        name = max(sizes, key=sizes.__getitem__)
        reason = f"they unpack to {show_size(sizes[name])}, from a file of {show_size(stored)}"
        raise ValueError(Errors.E313.format(path=source.name, name=name, reason=reason))
    refuse(datasets, find_long_chunk, source)


def refuse(
    datasets: "dict[str, h5py.Dataset]",
    find: "Callable[[h5py.Dataset], str | None]",
    source: Source,
) -> None:
    """Raise E313 for the first dataset in which a fault is found."""
    for name, dataset in datasets.items():
        if reason := find(dataset):
            raise ValueError(Errors.E313.format(path=source.name, name=name, reason=reason))


def find_fault(dataset: "h5py.Dataset") -> str | None:
    """Where the values of a dataset are, if they are not in the file as HDF5 itself reads them."""
    import h5py

    if dataset.external:
        return f"they lie in another file, {dataset.external[0][0]!r}"
    if dataset.is_virtual:
        return "they are those of other datasets, by a virtual dataset"
    if dataset.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        return "they were never written, or only a part of them"
    filters = list_filters(dataset)
    for code, name in filters.items():
        if code not in FILTERS:
            return f"they went through the filter {code} ({name!r})"
    n = dataset.id.get_create_plist().get_nfilters()
    if n > len(filters) or COMPRESSIONS <= filters.keys():
        return "they are compressed more than once"
    return None


def list_filters(dataset: "h5py.Dataset") -> dict[int, str]:
    """The filters of a dataset, in their order: names by numbers."""
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return {code: name.decode(errors="replace") for code, _, _, name in found}


def find_long_chunk(dataset: "h5py.Dataset") -> str | None:
    """Whether gzip unpacks a chunk to more than a chunk has; HDF5 would read it to its end."""
    filters = list(list_filters(dataset))
    if DEFLATE not in filters:
        return None
    position = filters.index(DEFLATE)
    longest = count_chunk_bytes(dataset) + 4  # and a checksum
    chunks: list[h5py.h5d.StoreInfo] = []
    dataset.id.chunk_iter(chunks.append)
    for chunk in chunks:
        _, data = dataset.id.read_direct_chunk(chunk.chunk_offset)
        is_packed = not chunk.filter_mask >> position & 1
        if is_packed and len(zlib.decompressobj().decompress(data, longest + 1)) > longest:
            return "they unpack to more than their shape says"
    return None


def count_bytes(dataset: "h5py.Dataset") -> int:
    """What it takes to read a dataset: its values, or a chunk that is larger."""
    return max(int(dataset.nbytes), count_chunk_bytes(dataset))


def count_chunk_bytes(dataset: "h5py.Dataset") -> int:
    return math.prod(dataset.chunks or (0,)) * int(dataset.dtype.itemsize)
