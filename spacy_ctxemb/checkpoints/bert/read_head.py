"""The trained head of a Hugging Face checkpoint: its layers, and what its scores are of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import Errors
from ..read_json import read_typed
from ..sentence_transformers import read_sentences
from .head_names import HEADS, OF_ENCODER, OF_HEAD, TASKS, HeadNames
from .head_settings import HeadConfig, Saved, fit_labels, raise_wrong, read_kind, read_labels
from .read_weight_files import Stored, add_once, check_folder, read_tensors, refuse_names
from .settings_from_config_json import Config, read_config
from .weights_to_and_from_encoder import Part, check_values, standardise

#: What may be the table of pieces.
WEIGHT = "output.weight"


class PublishedHead(NamedTuple):
    """A head, and what its scores mean.

    task: "token", "text", "question" (the start and the end of an answer) or "masked" (the pieces
        of the vocabulary).
    settings: arguments of `Head`. tensors: by the names of its parameters.
    labels: of the classes, in order; none for "question" and "masked".
    kind: "single_label" for a softmax of the scores, "multi_label" for a sigmoid of each,
        "regression" for the scores themselves.
    reads: the states of the last layer that have scores: those of all "pieces", of the "first", or
        the "mean" of them, the boundaries included.
    architecture: the model's name in transformers, where it was read.
    """

    task: str
    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    labels: list[str]
    kind: str
    reads: str
    architecture: str = ""

    def tie(self, table: Tensor) -> "PublishedHead":
        """Without the output's weight, where that is the table of pieces."""
        weight = self.tensors.get(WEIGHT)
        if self.task != "masked" or weight is None or not torch.equal(weight.to(table), table):
            return self
        return self._replace(tensors={n: v for n, v in self.tensors.items() if n != WEIGHT})


def read_head(
    folder: Path, *, task: str | None = None, has_own_config: bool = True
) -> PublishedHead | None:
    """Read the head from the directory that transformers or sentence-transformers saved.

    task: of the head; None for that of the architecture in config.json, or for the only one that
        has all of its tensors. Returns None for an encoder without a head.
    has_own_config: whether config.json is of the model with this head, not of an adapter's base,
        whose labels count only where the weights have as many.
    Raises E380 for a head that is unknown or not there, E381 where the task must be said, E382 for
    labels or settings that cannot be; E307, E309 and E330 to E356 as `read_bert` does.

        published = read_head(Path("bert-base-NER"))
        head = Head(**published.settings)
        head.load_state_dict(published.tensors)
    """
    place = read_sentences(folder, with_pooling=False).folder
    check_folder(place)
    path = place / "config.json"
    config, own = read_config(path), read_typed(path, HeadConfig)
    saved = read_typed(folder / "config_sentence_transformers.json", Saved)
    function = saved.activation_fn or own.function
    tensors: dict[str, Stored] = {}
    for name, stored in read_tensors(place).items():
        add_once(tensors, standardise(name, config.family), stored)
    heads = HEADS[config.model_type]
    task = find_task(own, heads, tensors, path) if task is None else task
    if task is None:
        return None
    if task not in heads:
        raise ValueError(Errors.E380.format(path=path, found=task, known=list(heads)))
    if not has_own_config:
        own = fit_labels(own, f"{heads[task].modules['output']}.weight", tensors)
    labels = read_labels(own, path) if task in ("token", "text") else []
    settings = choose_settings(heads[task], own, config.settings, task, len(labels))
    parts = find_parts(heads[task], settings, tensors)
    if task == "masked":
        tie(parts, own, config, tensors)
    refuse_names(Errors.E335, [part.name for part in parts if part.name not in tensors], path=place)
    n_rows = tensors[parts[-1].name].value.numel()
    if labels and n_rows != len(labels):
        raise_wrong(path, "the number of labels", len(labels), f"{n_rows}, as in the weights")
    return PublishedHead(
        task=task,
        settings=settings,
        tensors={part.parameter: check_values(tensors[part.name], part) for part in parts},
        labels=labels,
        kind=read_kind(own, function, len(labels), path) if task == "text" else "single_label",
        reads="pieces" if task != "text" else {"cls": "first", "mean": "mean"}[own.pooling],
        architecture=own.architecture,
    )


def find_task(
    own: HeadConfig, heads: dict[str, HeadNames], tensors: Mapping[str, Stored], path: Path
) -> str | None:
    """The task of the head that is there. Raises E380 for an unknown one, E381 for several."""
    there = [
        task
        for task, names in heads.items()
        if all(f"{module}.weight" in tensors for module in names.list_own())
    ]
    for ending, task in TASKS.items():
        if own.architecture.endswith(ending):
            # A model that was pretrained is often published without its head.
            return None if task == "masked" and task not in there else task
    if own.architecture and not own.architecture.endswith("Model"):
        raise ValueError(Errors.E380.format(path=path, found=own.architecture, known=list(heads)))
    if len(there) > 1 and not own.architecture:
        raise ValueError(Errors.E381.format(path=path, found=there))
    return there[0] if there and not own.architecture else None


def choose_settings(
    names: HeadNames, own: HeadConfig, encoder: dict[str, Any], task: str, n_labels: int
) -> dict[str, Any]:
    """The arguments of `Head`, but for those that have their defaults. encoder: its settings."""
    n_classes = {"question": 2, "masked": encoder["vocab_size"]}.get(task, n_labels)
    settings: dict[str, Any] = {"width": encoder["width"], "n_classes": n_classes}
    is_modern = names.activation == OF_HEAD
    if names.activation is not None:
        found = {OF_ENCODER: encoder["activation"], OF_HEAD: own.activation}
        settings["activation"] = found.get(names.activation, names.activation)
    if is_modern and not own.dense_bias:
        settings["dense_bias"] = False
    if names.norm is not None:
        settings |= {"norm_epsilon": encoder["layer_norm_epsilon"], "norm_bias": not is_modern}
    if task == "masked" and encoder.get("embedding_width"):
        settings["dense_width"] = encoder["embedding_width"]
    return settings


def find_parts(
    names: HeadNames, settings: dict[str, Any], tensors: Mapping[str, Stored]
) -> list[Part]:
    """What the files hold of the parameters of a `Head`, the bias of its output last."""
    D, C = settings["width"], settings["n_classes"]
    E = settings.get("dense_width", D)
    shapes = {"dense": (E, D), "norm": (E,), "output": (C, E)}
    without_bias = {"dense": not settings.get("dense_bias", True)}
    without_bias["norm"] = not settings.get("norm_bias", True)
    parts = []
    for module, theirs in names.modules.items():
        parts.append(Part(f"{module}.weight", f"{theirs}.weight", shapes[module]))
        if not without_bias.get(module):
            own_bias = names.bias if module == "output" and names.bias in tensors else None
            bias = own_bias or f"{theirs}.bias"
            parts.append(Part(f"{module}.bias", bias, shapes[module][:1]))
    return parts


def tie(parts: list[Part], own: HeadConfig, config: Config, tensors: dict[str, Stored]) -> None:
    """Let the table of pieces be the output's weight where files have it once, and zeros its bias
    where the model has none. Without ties, the output has a bias of its own."""
    weight, bias = parts[-2:]
    own_bias = weight.name.replace(".weight", ".bias")
    if not own.tie_word_embeddings and own_bias in tensors:
        parts[-1] = bias = bias._replace(name=own_bias)
    table = f"{config.family.modules['piece_embedding']}.weight"
    if own.tie_word_embeddings and weight.name not in tensors and table in tensors:
        tensors[weight.name] = tensors[table]
    if not own.decoder_bias and table in tensors:
        tensors[bias.name] = Stored(torch.zeros(bias.shape), tensors[table].path)
