"""The datasets of ELMo's HDF5 files: their names for our parameters, and whether all are there."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from ...errors import Errors
from .find_files import ModelFiles, clean


class Dataset(NamedTuple):
    """A dataset: its values are those of one or two tensors, one above the other.

    shape: in the file. values: views of our parameters, with the file's axes.
    """

    name: str
    shape: tuple[int, ...]
    values: tuple[Tensor, ...]


def find_datasets(tensors: Mapping[str, Tensor]) -> Iterator[Dataset]:
    """The datasets of a BiLM. tensors: by parameter; they also tell which layers there are.

    Matrices of the file are for row vectors, y = x W. Its `carry` gate is our gate.
    """
    for name, values in find_values(tensors):
        rows = sum(len(value) for value in values)
        yield Dataset(name, (rows, *values[0].shape[1:]), values)


def find_values(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    cnn = {
        name.removeprefix("token_encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("token_encoder.")
    }
    yield "char_embed", (cnn["embedding.weight"][1:],)  # without the mask
    for i in range(count(cnn, "convolutions")):
        weight = cnn[f"convolutions.{i}.weight"]  # (count, character width, size)
        yield f"CNN/W_cnn_{i}", (weight.permute(2, 1, 0)[None],)
        yield f"CNN/b_cnn_{i}", (cnn[f"convolutions.{i}.bias"],)
    for k in range(count(cnn, "highways")):
        for theirs, ours in (("carry", "gate"), ("transform", "transform")):
            yield f"CNN_high_{k}/W_{theirs}", (cnn[f"highways.{k}.{ours}.weight"].T,)
            yield f"CNN_high_{k}/b_{theirs}", (cnn[f"highways.{k}.{ours}.bias"],)
    if "projection.weight" in cnn:
        yield "CNN_proj/W_proj", (cnn["projection.weight"].T,)
        yield "CNN_proj/b_proj", (cnn["projection.bias"],)
    for direction in (0, 1):
        stack = f"directions.{direction}"
        lstms = {k.removeprefix(f"{stack}."): v for k, v in tensors.items() if k.startswith(stack)}
        for i in range(len({name.split(".")[0] for name in lstms})):
            cell = cell_name(direction, i)
            parts = ("weight_input", "weight_hidden")
            yield f"{cell}/W_0", tuple(lstms[f"{i}.{part}"].T for part in parts)
            yield f"{cell}/B", (lstms[f"{i}.bias"],)
            if f"{i}.projection" in lstms:
                yield f"{cell}/W_P_0", (lstms[f"{i}.projection"].T,)


def count(tensors: Mapping[str, Tensor], name: str) -> int:
    """The modules in a list of modules."""
    return len({key.split(".")[1] for key in tensors if key.startswith(f"{name}.")})


def cell_name(direction: int, layer: int) -> str:
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


if TYPE_CHECKING:
    import h5py

#: What the options say about a dataset that is one too many.
LIMITS = (
    (r"CNN/[Wb]_cnn_\d+$", "`filters` has {n_filters} entries"),
    (r"CNN_high_\d+/", "`n_highway` is {n_highways}"),
    (r"RNN_[01]/RNN/MultiRNNCell/Cell\d+/LSTMCell/(W_0|B)$", "`n_layers` is {n_lstm_layers}"),
    (r"RNN_[01]/.*/W_P_0$", "`n_layers` is {n_lstm_layers}, or other cells have no such matrix"),
    (r"RNN_\d+/", "there are two directions, RNN_0 and RNN_1"),
    (r"CNN", "the format has no such dataset, or not without its fellow"),
)


def check_sizes(
    found: "dict[str, h5py.Dataset]", settings: dict[str, Any], files: ModelFiles
) -> None:
    """Raise E314 for layers and widths beyond anything in the file, before they are built."""
    filters, n = settings["filters"], len(found)
    widest = max((max(dataset.shape or (0,)) for dataset in found.values()), default=0)
    claims = {
        f"{n} datasets": {
            "char_cnn.n_highway": settings["n_highways"],
            "lstm.n_layers": settings["n_lstm_layers"],
            "the length of char_cnn.filters": len(filters),
        },
        f"no dataset with more than {widest} rows": {
            "the largest of char_cnn.filters": max(map(max, filters)),
            "char_cnn.embedding.dim": settings["character_width"],
            "lstm.dim": settings["hidden_width"],
            "lstm.projection_dim": settings["width"] // 2,
        },
    }
    for (reason, values), most in zip(claims.items(), (n, widest), strict=True):
        for key, value in values.items():
            if value > most:
                raise ValueError(
                    Errors.E314.format(**name_files(files), key=key, value=value, reason=reason)
                )


def check_names(
    file: "h5py.File",
    found: "dict[str, h5py.Dataset]",
    datasets: list[Dataset],
    settings: dict[str, Any],
    files: ModelFiles,
) -> None:
    """Raise E308 for a dataset that the options do not ask for, E306 for one that is missing.

    Datasets with names of another kind are ignored. Raises E313 for a link in the place of one.
    """
    for extra in sorted(found.keys() - {dataset.name for dataset in datasets}):
        for pattern, reason in LIMITS:
            if re.match(pattern, extra):
                said = reason.format(n_filters=len(settings["filters"]), **settings)
                raise ValueError(
                    Errors.E308.format(**name_files(files), name=clean(extra), reason=said)
                )
    missing = [dataset for dataset in datasets if dataset.name not in found]
    for dataset in missing:
        if link := find_link(file, dataset.name):
            raise ValueError(
                Errors.E313.format(**name_files(files), name=dataset.name, reason=link)
            )
    if missing:
        first, shape, _ = missing[0]
        raise ValueError(
            Errors.E306.format(**name_files(files), name=first, shape=shape, n=len(missing))
        )


def find_link(file: "h5py.File", path: str) -> str | None:
    """The soft or external link on the way to a dataset. It is not followed."""
    import h5py

    parts = path.split("/")
    for i in range(1, len(parts) + 1):
        place = "/".join(parts[:i])
        link = file.get(place, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return None if link is None else f"{place} is a link, {clean(str(link))}"
    return None


def check_shape(found: "h5py.Dataset", dataset: Dataset, files: ModelFiles) -> None:
    """Raise E307 for a dataset of another shape, or without floating-point numbers."""
    if found.shape == dataset.shape and found.dtype.kind == "f":
        return
    hint = f"Pass the weights that belong to {files.options.name}, or correct it."
    rows, *rest = dataset.shape
    if dataset.name == "char_embed" and found.shape == (rows + 1, *rest):
        hint = "The first row, for padding, does not belong into the file: remove it."
    values = {"dtype": found.dtype, "found": found.shape, "expected": dataset.shape}
    raise ValueError(
        Errors.E307.format(**name_files(files), name=dataset.name, hint=hint, **values)
    )


def name_files(files: ModelFiles) -> dict[str, str]:
    """Both files, as messages name them."""
    return {"path": files.weights.name, "options": files.options.name}
