"""Names of datasets in the files of ELMo models, and of our parameters: a table for both ways."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor


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
