"""A head as a family of BERT has it: the names of its tensors, and what config.json says of it."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from .config_json_types import ACTIVATIONS
from .families_and_tensor_names import FAMILIES
from .head_names import HEADS, OF_HEAD, TASKS
from .head_settings import KINDS, HeadConfig
from .read_head import WEIGHT, PublishedHead, choose_settings

#: Arguments of `Head` that are no part of the format, and the defaults of those that are.
NOT_STORED = ("dropout",)
DEFAULTS = {
    **{"activation": None, "dense_width": None, "dense_bias": True},
    **{"norm_epsilon": None, "norm_bias": False, "normalize": False},
}


def name_architecture(model_type: str, task: str) -> str:
    """The name in transformers of a model with a head; "" where it has none."""
    ending = next(ending for ending, known in TASKS.items() if known == task)
    encoder = FAMILIES[model_type].architecture
    return "" if encoder is None else encoder.removesuffix("Model") + ending


def find_head_obstacles(
    head: PublishedHead, model_type: str, encoder: dict[str, Any]
) -> Iterator[str]:
    """Why a head would not be the same in a family. encoder: its settings."""
    names = HEADS[model_type][head.task]
    given = DEFAULTS | {n: v for n, v in head.settings.items() if n not in NOT_STORED}
    own = HeadConfig.model_construct(activation=given["activation"], dense_bias=given["dense_bias"])
    expected = DEFAULTS | choose_settings(names, own, encoder, head.task, given["n_classes"])
    for name, value in expected.items():
        if given[name] != value:
            yield f"{name} of the head is {given[name]} where it has {value}"
    if names.activation == OF_HEAD and given["activation"] not in ACTIVATIONS.values():
        yield f"activation of the head is {given['activation']}, which its config.json has not"
    if head.reads == "mean" and names.activation != OF_HEAD:
        yield "the head reads the mean of all states where it has the first"
    if head.reads == "piece_mean":
        yield "the head reads the mean of pieces without the first and the last state"


def to_head_tensors(head: PublishedHead, model_type: str) -> dict[str, Tensor]:
    """A family's tensors of a head."""
    names, prefix = HEADS[model_type][head.task], FAMILIES[model_type].prefix
    found = {}
    for parameter, value in head.tensors.items():
        module, _, kind = parameter.rpartition(".")
        name = f"{names.modules[module]}.{kind}"
        if name.startswith("pooler"):  # of the encoder, to transformers
            name = prefix + name
        found[name] = value.detach().float().cpu().contiguous()
    if names.bias:  # one parameter of two names, unless the table of pieces is not the output's
        found[names.bias] = found[f"{names.output}.bias"].clone()
    return found


def to_head_config(head: PublishedHead, model_type: str) -> dict[str, Any]:
    """What config.json says of a head."""
    config: dict[str, Any] = {"architectures": [name_architecture(model_type, head.task)]}
    if head.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(head.labels)}
        config["label2id"] = {label: i for i, label in enumerate(head.labels)}
    if head.task == "text":
        config["problem_type"] = next(name for name, kind in KINDS.items() if kind == head.kind)
    if head.task == "masked":
        config["tie_word_embeddings"] = WEIGHT not in head.tensors
    if HEADS[model_type][head.task].activation == OF_HEAD:
        theirs = {ours: name for name, ours in reversed(ACTIVATIONS.items())}
        config["classifier_activation"] = theirs[head.settings["activation"]]
        config["classifier_bias"] = head.settings.get("dense_bias", True)
        config["classifier_pooling"] = "mean" if head.reads == "mean" else "cls"
    return config
