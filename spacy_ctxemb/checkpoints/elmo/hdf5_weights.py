"""The HDF5 file of an ELMo model: reading and writing its datasets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...encoders import BiLM
from ...errors import Errors
from ...read_files import coding_errors
from ..check_finite import check_finite
from .check_hdf5_storage import check_storage
from .datasets import Dataset, cell_name, check_names, check_shape, check_sizes, find_datasets
from .find_files import ModelFiles
from .options_json import find_projections

if TYPE_CHECKING:
    import h5py

#: A file with more groups and datasets is not searched.
MOST_OBJECTS = 10_000


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write all datasets as float32, without times, so that equal values give equal bytes.

    The file is made in memory: on a full disk, HDF5 cannot close a file of its own.
    """
    import h5py

    content = BytesIO()
    with h5py.File(content, "w") as file:
        for name, _, values in find_datasets(tensors):
            data = torch.cat([value.detach().float().cpu() for value in values]).numpy()
            file.create_dataset(name, data=data, track_times=False)
    path.write_bytes(content.getbuffer())


def read_weights(
    files: ModelFiles, settings: dict[str, Any]
) -> tuple[dict[str, bool], dict[str, Tensor]]:
    """Which projections there are, as settings of a BiLM, and the values of its parameters.

    settings: of the BiLM, from the options.
    Raises E305 to E309, E312, E313 or E314. No value is read before all else is checked.
    """
    with open_hdf5(files) as file:
        found = list_datasets(file)
        if "char_embed" not in found and "embedding" in found:
            message = Errors.E312.format(path=files.weights.name, found="a dataset `embedding`")
            raise ValueError(message)
        check_sizes(found, settings, files)
        projections = find_projections(settings | look_for_projections(found))
        with torch.device("meta"):
            shapes = BiLM(**settings | projections).state_dict()
        datasets = list(find_datasets(shapes))
        check_names(file, found, datasets, settings, files)
        for dataset in datasets:
            check_shape(found[dataset.name], dataset, files)
        check_storage({dataset.name: found[dataset.name] for dataset in datasets}, files.weights)
        tensors = {name: torch.zeros(t.shape) for name, t in shapes.items()}
        for dataset in find_datasets(tensors):
            copy_values(found[dataset.name], dataset, files.weights.name)
    return projections, tensors


@contextmanager
def open_hdf5(files: ModelFiles) -> "Iterator[h5py.File]":
    """The file of weights. Raises E305 for what h5py raises inside, which may be of any kind."""
    import h5py

    with (
        coding_errors(Errors.E305, path=files.weights.name),
        h5py.File(files.weights.path, "r") as file,
    ):
        yield file


def list_datasets(file: "h5py.File") -> "dict[str, h5py.Dataset]":
    """All datasets by their paths; none to which only a soft or external link leads."""
    import h5py

    names: list[str | bytes] = []

    def collect(name: str | bytes) -> bool | None:
        names.append(name)
        return len(names) > MOST_OBJECTS or None  # anything but None ends the visit

    if file.visit(collect):
        raise RuntimeError(f"it has more than {MOST_OBJECTS:,} groups and datasets")
    items = {name: file[name] for name in names if isinstance(name, str)}  # bytes: no UTF-8
    return {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}


def look_for_projections(found: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "project_filters": "CNN_proj/W_proj" in found,
        "project_hidden": f"{cell_name(0, 0)}/W_P_0" in found,
    }


def copy_values(found: "h5py.Dataset", dataset: Dataset, path: str) -> None:
    """Copy a dataset into its tensors. Raises E309 or E313 for what no training leaves."""
    data = torch.from_numpy(found.astype("f4")[...])
    check_finite(data, name=dataset.name, path=path)
    if data.dim() > 1 and not data.any():
        reason = "all of them are 0, as if they had never been written"
        raise ValueError(Errors.E313.format(path=path, name=dataset.name, reason=reason))
    parts = data.split([len(value) for value in dataset.values])
    for value, part in zip(dataset.values, parts, strict=True):
        value.copy_(part)
