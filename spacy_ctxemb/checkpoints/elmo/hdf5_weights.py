"""The HDF5 file of an ELMo model: reading and writing its datasets."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...encoders import BiLM
from ...errors import Errors
from ..check_finite import check_finite
from .dataset_names import Dataset, cell_name, find_datasets
from .find_files import Source
from .options_json import find_projections

if TYPE_CHECKING:
    import h5py


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write all datasets as float32, without times, so that equal values give equal bytes."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, _, values in find_datasets(tensors):
            data = torch.cat([value.detach().float().cpu() for value in values]).numpy()
            file.create_dataset(name, data=data, track_times=False)


def read_weights(
    source: Source, settings: dict[str, Any], *, options: Source
) -> tuple[dict[str, bool], dict[str, Tensor]]:
    """Which projections there are, as settings of a BiLM, and the values of its parameters.

    settings: of the BiLM, from the file `options`.
    """
    with open_hdf5(source) as file:
        found = list_datasets(file)
        if "char_embed" not in found and "embedding" in found:
            raise ValueError(Errors.E312.format(path=source.name, found="a dataset `embedding`"))
        projections = find_projections(settings | look_for_projections(found))
        with torch.device("meta"):
            encoder = BiLM(**settings | projections)
        tensors = {name: torch.zeros(t.shape) for name, t in encoder.state_dict().items()}
        datasets = list(find_datasets(tensors))
        check_names(found, datasets, settings, source, options)
        for dataset in datasets:
            check_shape(found[dataset.name], dataset, source, options)
        for dataset in datasets:
            copy_values(found[dataset.name], dataset, source)
    return projections, tensors


@contextmanager
def open_hdf5(source: Source) -> "Iterator[h5py.File]":
    """An HDF5 file; what is wrong with it may only show when it is read."""
    import h5py

    try:
        with h5py.File(source.path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(Errors.E305.format(path=source.name, reason=error)) from error


def list_datasets(file: "h5py.File") -> "dict[str, h5py.Dataset]":
    """All datasets by their paths."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(collect)
    return found


def look_for_projections(found: Mapping[str, Any]) -> dict[str, bool]:
    """The projections in a file."""
    return {
        "project_filters": "CNN_proj/W_proj" in found,
        "project_hidden": f"{cell_name(0, 0)}/W_P_0" in found,
    }


#: What the options say about a dataset that is one too many.
LIMITS = (
    (r"CNN/[Wb]_cnn_\d+$", "`filters` has {n_filters} entries"),
    (r"CNN_high_\d+/", "`n_highway` is {n_highways}"),
    (r"RNN_[01]/RNN/MultiRNNCell/Cell\d+/LSTMCell/(W_0|B)$", "`n_layers` is {n_lstm_layers}"),
    (r"RNN_[01]/.*/W_P_0$", "`n_layers` is {n_lstm_layers}, or other cells have no such matrix"),
    (r"RNN_\d+/", "there are two directions, RNN_0 and RNN_1"),
    (r"CNN", "the format has no such dataset, or not without its fellow"),
)


def check_names(
    found: Mapping[str, Any],
    datasets: list[Dataset],
    settings: dict[str, Any],
    source: Source,
    options: Source,
) -> None:
    """Raise E308 for a dataset that the options do not ask for, E306 for one that is missing.

    Datasets with names of another kind are ignored.
    """
    names = {dataset.name for dataset in datasets}
    for name in sorted(found.keys() - names):
        for pattern, reason in LIMITS:
            if re.match(pattern, name):
                said = reason.format(n_filters=len(settings["filters"]), **settings)
                message = Errors.E308.format(
                    path=source.name, name=name, options=options.name, reason=said
                )
                raise ValueError(message)
    missing = [dataset for dataset in datasets if dataset.name not in found]
    if missing:
        name, shape, _ = missing[0]
        message = Errors.E306.format(
            path=source.name, name=name, shape=shape, n=len(missing), options=options.name
        )
        raise ValueError(message)


def check_shape(found: "h5py.Dataset", dataset: Dataset, source: Source, options: Source) -> None:
    """Raise E307 for a dataset of another shape, or without floating-point numbers."""
    if found.shape == dataset.shape and found.dtype.kind == "f":
        return
    hint = f"Pass the weights that belong to {options.name}, or correct it."
    rows, *rest = dataset.shape
    if dataset.name == "char_embed" and found.shape == (rows + 1, *rest):
        hint = "The first row, for padding, does not belong into the file: remove it."
    raise ValueError(
        Errors.E307.format(
            path=source.name,
            name=dataset.name,
            dtype=found.dtype,
            found=found.shape,
            expected=dataset.shape,
            hint=hint,
        )
    )


def copy_values(found: "h5py.Dataset", dataset: Dataset, source: Source) -> None:
    """Copy a dataset into its tensors."""
    data = torch.from_numpy(found.astype("f4")[...])
    check_finite(data, name=dataset.name, path=source.name)
    parts = data.split([len(value) for value in dataset.values])
    for value, part in zip(dataset.values, parts, strict=True):
        value.copy_(part)
