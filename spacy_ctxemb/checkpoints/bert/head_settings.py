"""What config.json says of a head: its labels, and what its scores mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import Field

from ...errors import Errors
from ..read_json import Size, Switch, Typed, expect, one_of, shorten
from .config_json_types import Activation
from .read_weight_files import Stored

#: What scores become, by transformers' problem_type.
KINDS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}

#: For models that do not say it, of several labels and of one.
MANY, ONE = "single_label", "multi_label"


class Saved(Typed):
    """What sentence-transformers stores of a cross-encoder: today in a file of its own."""

    activation_fn: Annotated[str | None, expect("a name, or null")] = None


class HeadConfig(Typed):
    """What config.json says of heads, with defaults as transformers has them."""

    architectures: Annotated[list[str] | None, expect("a list of names, or null")] = None
    id2label: Annotated[dict[str, str] | None, expect("an object of names, or null")] = None
    num_labels: Size | None = None
    problem_type: Annotated[str | None, one_of(*KINDS, None)] = None
    tie_word_embeddings: Switch = True
    decoder_bias: Switch = True
    activation: Activation = Field("gelu", alias="classifier_activation")
    dense_bias: Switch = Field(False, alias="classifier_bias")
    pooling: Annotated[str, one_of("cls", "mean")] = Field("cls", alias="classifier_pooling")
    sentence_transformers: Saved = Saved()
    older_activation_fn: Annotated[str | None, expect("a name, or null")] = Field(
        None, alias="sbert_ce_default_activation_function"
    )

    @property
    def architecture(self) -> str:
        return (self.architectures or [""])[0]

    @property
    def function(self) -> str | None:
        """What becomes of scores, as older versions of sentence-transformers say it."""
        return self.sentence_transformers.activation_fn or self.older_activation_fn


def fit_labels(own: HeadConfig, name: str, tensors: Mapping[str, Stored]) -> HeadConfig:
    """Without the labels of a base where the output, the tensor of this name, has more or fewer."""
    if name not in tensors or tensors[name].value.ndim != 2:
        return own
    n_labels = len(tensors[name].value)
    if own.id2label is not None and len(own.id2label) == n_labels:
        return own
    return own.model_copy(update={"id2label": None, "num_labels": n_labels})


def read_labels(own: HeadConfig, path: Path) -> list[str]:
    """The names of the classes in order. Raises E382 for names that are no list of labels."""
    if own.id2label is None:
        n_labels = 2 if own.num_labels is None else own.num_labels
        return [f"LABEL_{i}" for i in range(n_labels)]
    labels = [own.id2label.get(str(i), "") for i in range(len(own.id2label))]
    if not labels or not all(labels) or len(set(labels)) < len(labels):
        expected = "names that differ, from 0 without gaps"
        raise_wrong(path, "id2label", own.id2label, expected)
    if own.num_labels not in (None, len(labels)):
        raise_wrong(path, "num_labels", own.num_labels, f"{len(labels)}, as in id2label")
    return labels


def read_kind(own: HeadConfig, function: str | None, n_labels: int, path: Path) -> str:
    """What becomes of the scores of texts. Raises E382 for what there is no such thing for.

    What sentence-transformers stores comes first: other programs would show other numbers.
    """
    kinds = {"Sigmoid": "multi_label", "Identity": "regression" if n_labels == 1 else None}
    name = (function or "Identity").rpartition(".")[2]
    if name not in kinds:
        raise_wrong(path, "activation_fn", function, "Sigmoid or Identity")
    if function and kinds[name]:
        return str(kinds[name])
    if own.problem_type == "single_label_classification" and n_labels == 1:
        raise_wrong(path, "problem_type", own.problem_type, "another one for a single label")
    return KINDS[own.problem_type] if own.problem_type else MANY if n_labels > 1 else ONE


def raise_wrong(path: Path, key: str, found: object, expected: str) -> NoReturn:
    raise ValueError(
        Errors.E382.format(path=path, key=key, found=shorten(found), expected=expected)
    )
