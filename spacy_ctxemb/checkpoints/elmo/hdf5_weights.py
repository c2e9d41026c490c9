"""The HDF5 file of an ELMo model: reading and writing its datasets."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...encoders import BiLM
from ...errors import Errors, is_coded
from ..check_finite import check_finite
from .dataset_names import Dataset, cell_name, find_datasets
from .find_files import Source
from .hdf5_storage import check_storage
from .options_json import find_projections

if TYPE_CHECKING:
    import h5py

#: A file with more groups and datasets is not searched.
MOST_OBJECTS = 10_000

#: Trained weights are below 100. Beyond this, products of a few of them have no end.
LARGEST = 10_000.0


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
    source: Source, settings: dict[str, Any], *, options: Source
) -> tuple[dict[str, bool], dict[str, Tensor]]:
    """Which projections there are, as settings of a BiLM, and the values of its parameters.

    settings: of the BiLM, from the file `options`.
    Raises E305 to E309, E312 and E315 to E318. All but the values is checked before any is read.
    """
    with open_hdf5(source) as file:
        found = list_datasets(file)
        if "char_embed" not in found and "embedding" in found:
            raise ValueError(Errors.E312.format(path=source.name, found="a dataset `embedding`"))
        check_sizes(found, settings, source, options)
        projections = find_projections(settings | look_for_projections(found))
        with torch.device("meta"):
            shapes = BiLM(**settings | projections).state_dict()
        datasets = list(find_datasets(shapes))
        check_names(found, datasets, settings, source, options)
        check_presence(file, found, datasets, source, options)
        for dataset in datasets:
            check_shape(found[dataset.name], dataset, source, options)
        check_storage({dataset.name: found[dataset.name] for dataset in datasets}, source)
        tensors = {name: torch.zeros(t.shape) for name, t in shapes.items()}
        for dataset in find_datasets(tensors):
            copy_values(found[dataset.name], dataset, source)
    return projections, tensors


@contextmanager
def open_hdf5(source: Source) -> "Iterator[h5py.File]":
    """An HDF5 file. Raises E305 for what h5py raises inside, which may be of any kind."""
    import h5py

    try:
        with h5py.File(source.path, "r") as file:
            yield file
    except Exception as error:
        if is_coded(error):
            raise
        raise ValueError(Errors.E305.format(path=source.name, reason=error)) from error


def list_datasets(file: "h5py.File") -> "dict[str, h5py.Dataset]":
    """All datasets by their paths; none to which only a soft or external link leads."""
    import h5py

    names: list[str] = []

    def collect(name: str) -> bool | None:
        names.append(name)
        return len(names) > MOST_OBJECTS or None

    if file.visit(collect):
        raise RuntimeError(f"it has more than {MOST_OBJECTS:,} groups and datasets")
    items = {name: file[name] for name in names}
    return {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}


def check_sizes(
    found: "dict[str, h5py.Dataset]", settings: dict[str, Any], source: Source, options: Source
) -> None:
    """Raise E316 for layers and widths beyond anything in the file, before they are built."""
    n_most = len(found)
    widest = max((max(dataset.shape or (0,)) for dataset in found.values()), default=0)
    has_datasets, has_width = f"{n_most} datasets", f"no dataset with more than {widest} rows"
    filters = settings["filters"]
    for key, value, most, reason in (
        ("char_cnn.n_highway", settings["n_highways"], n_most, has_datasets),
        ("lstm.n_layers", settings["n_lstm_layers"], n_most, has_datasets),
        ("the length of char_cnn.filters", len(filters), n_most, has_datasets),
        ("the largest of char_cnn.filters", max(map(max, filters)), widest, has_width),
        ("char_cnn.embedding.dim", settings["character_width"], widest, has_width),
        ("lstm.dim", settings["hidden_width"], widest, has_width),
        ("lstm.projection_dim", settings["width"] // 2, widest, has_width),
    ):
        if value > most:
            raise ValueError(
                Errors.E316.format(
                    path=source.name, options=options.name, key=key, value=value, reason=reason
                )
            )


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
    """Raise E308 for a dataset that the options do not ask for; others are ignored."""
    names = {dataset.name for dataset in datasets}
    for name in sorted(found.keys() - names):
        for pattern, reason in LIMITS:
            if re.match(pattern, name):
                said = reason.format(n_filters=len(settings["filters"]), **settings)
                message = Errors.E308.format(
                    path=source.name, name=name, options=options.name, reason=said
                )
                raise ValueError(message)


def check_presence(
    file: "h5py.File",
    found: Mapping[str, Any],
    datasets: list[Dataset],
    source: Source,
    options: Source,
) -> None:
    """Raise E306 for a dataset that is missing, E315 if a link stands in its place."""
    missing = [dataset for dataset in datasets if dataset.name not in found]
    for dataset in missing:
        if link := find_link(file, dataset.name):
            message = Errors.E315.format(path=source.name, name=dataset.name, reason=link)
            raise ValueError(message)
    if missing:
        name, shape, _ = missing[0]
        message = Errors.E306.format(
            path=source.name, name=name, shape=shape, n=len(missing), options=options.name
        )
        raise ValueError(message)


def find_link(file: "h5py.File", name: str) -> str | None:
    """The soft or external link on the way to a dataset. It is not followed."""
    import h5py

    parts = name.split("/")
    for i in range(1, len(parts) + 1):
        prefix = "/".join(parts[:i])
        link = file.get(prefix, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return None if link is None else f"{prefix} is a link, {link}"
    return None


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
    """Copy a dataset into its tensors.

    Raises E309, E315 and E318 for values that no training leaves.
    """
    data = torch.from_numpy(found.astype("f4")[...])
    check_finite(data, name=dataset.name, path=source.name)
    largest = float(data.abs().max())
    if largest > LARGEST:
        message = Errors.E318.format(
            path=source.name, name=dataset.name, largest=largest, most=LARGEST
        )
        raise ValueError(message)
    if largest == 0.0 and data.dim() > 1:
        reason = "all of them are 0, as if they had never been written"
        raise ValueError(Errors.E315.format(path=source.name, name=dataset.name, reason=reason))
    parts = data.split([len(value) for value in dataset.values])
    for value, part in zip(dataset.values, parts, strict=True):
        value.copy_(part)
