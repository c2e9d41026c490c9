"""What a user chooses, and which choices go together."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..errors import Errors


class Optimize(str, Enum):
    """efficiency: small and fast. accuracy: larger, with a mix of layers for each task, and beside
    a frozen encoder a network for each."""

    efficiency = "efficiency"
    accuracy = "accuracy"


#: Tasks of which no two can share a pipeline: each replaces doc.cats.
RIVALS = {"textcat", "textcat_multilabel"}

#: Encoders that begin with random weights, or with those of `init_tok2vec`.
NEW_ENCODERS = ("bilm", "transformer")

#: Encoders whose weights are in the package, by the names of these.
SHIPPED = {"english": "en_bilm_sm"}


@dataclass(frozen=True)
class Choices:
    """Of one config.

    tasks: names of heads, see heads.py. encoder: one of SHIPPED or NEW_ENCODERS, or the path of a
        pipeline.
    freeze: whether only the heads learn. lang: None for that of the pipeline, or English.
    gpu: whether to train on one. vectors: static vectors for the vocabulary.
    listener_mix: whether each task mixes the layers its own way; None for as optimize says.
    cache: whether a frozen encoder runs in the first epoch only; None for as optimize says.
    cnn: whether each task has a network of its own beside a frozen encoder; None for as optimize
        says.
    """

    tasks: Sequence[str]
    encoder: str
    optimize: Optimize
    freeze: bool
    lang: str | None = None
    gpu: bool = False
    vectors: str | None = None
    listener_mix: bool | None = None
    cache: bool | None = None
    cnn: bool | None = None

    @property
    def is_small(self) -> bool:
        return self.optimize is Optimize.efficiency

    @property
    def wants_mix(self) -> bool:
        return not self.is_small if self.listener_mix is None else self.listener_mix

    @property
    def wants_cache(self) -> bool:
        return self.freeze and self.is_small if self.cache is None else self.cache

    @property
    def wants_cnn(self) -> bool:
        return self.freeze and not self.is_small if self.cnn is None else self.cnn


def read_tasks(text: str, known: Sequence[str]) -> list[str]:
    """Names between commas, which must fit together."""
    tasks = [name.strip() for name in text.split(",")]
    unknown = [name for name in tasks if name not in known]
    if unknown:
        raise ValueError(Errors.E185.format(unknown=unknown, options=", ".join(known)))
    rivals = [name for name in tasks if name in RIVALS]
    clashing = sorted({name for name in tasks if tasks.count(name) > 1})
    clashing = clashing or (rivals if len(rivals) > 1 else [])
    if clashing:
        raise ValueError(Errors.E186.format(names=clashing))
    return tasks


def check(choices: Choices) -> None:
    """Refuse choices that contradict each other."""
    if choices.cache and not choices.freeze:
        raise ValueError(Errors.E191)
    if choices.cnn and not choices.freeze:
        raise ValueError(Errors.E089)
