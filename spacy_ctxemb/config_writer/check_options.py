"""What the user chooses, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..errors import Errors

#: Each is a section of config.cfg.jinja.
TASKS = (
    "ner",
    "textcat",
    "textcat_multilabel",
    "tagger",
    "morphologizer",
    "parser",
    "senter",
    "spancat",
    "qa",
)

#: Tasks that a head can do: the factory of each, and its settings besides the model.
HEADS: dict[str, dict[str, str]] = {
    "ner": {"factory": "ctxemb_ner"},
    "textcat": {"factory": "ctxemb_textcat", "kind": "single_label"},
    "textcat_multilabel": {"factory": "ctxemb_textcat", "kind": "multi_label"},
}

#: Tasks that write to doc.cats. A pipeline can have one of them.
WRITE_CATS = {"textcat", "textcat_multilabel"}


class Optimize(str, Enum):
    """efficiency: small and fast. accuracy: larger, with a mix of layers for each task, and with a
    small network for each task beside a frozen encoder."""

    efficiency = "efficiency"
    accuracy = "accuracy"


@dataclass(frozen=True)
class Choices:
    """The choices for one config.

    tasks: names from TASKS.
    encoder: "english", "minilm", "bilm", "transformer", or the path of a pipeline.
    freeze: whether only the tasks learn, and not the encoder.
    lang: of the tokenizer; None for that of the pipeline, or English.
    gpu: whether to train on a GPU.
    vectors: static vectors for the vocabulary.
    listener_mix: whether each task learns its own mix of the encoder's layers.
    cache: whether a frozen encoder runs in the first epoch only.
    cnn: whether each task has a small network of its own beside a frozen encoder.
    head: whether tasks of HEADS are a linear layer on the encoder's last layer.
    few: whether such a layer of texts is fitted to convergence before training. The encoder is
        then frozen by default, and with a frozen encoder there is no training after that.

    Where freeze, listener_mix, cache, cnn or head is None, `optimize` and recipes.py decide.

    Raises E500 for an unknown task, E501 for tasks that cannot share a pipeline, E620 for a head
    where no task can have one, or with what a head does without, E645 for `few` and E625 for
    questions alone likewise.

        choices = Choices(["ner"], encoder="english", freeze=True)
        build_config(choices).config.to_disk("config.cfg")
    """

    tasks: Sequence[str]
    encoder: str = "english"
    optimize: Optimize = Optimize.efficiency
    freeze: bool | None = None
    lang: str | None = None
    gpu: bool = False
    vectors: str | None = None
    listener_mix: bool | None = None
    cache: bool | None = None
    cnn: bool | None = None
    head: bool | None = None
    few: bool = False

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        unfit = [
            f"--{o.replace('_', '-')}" for o in ("listener_mix", "cache", "cnn") if getattr(self, o)
        ]
        if self.few and self.head is False:
            unfit.append("--no-head")
        names = {"tasks": list(self.tasks), "unfit": ", ".join(unfit) or "none"}
        if self.few and (unfit or not set(self.tasks) <= WRITE_CATS):
            raise ValueError(Errors.E645.format(**names))
        if self.head and (unfit or not self.heads):
            raise ValueError(Errors.E620.format(**names, options=list(HEADS)))
        if unfit and not self.reads_docs:
            raise ValueError(Errors.E625.format(**names))

    @property
    def heads(self) -> dict[str, dict[str, str]]:
        """What stands in the sections of the tasks that have a head."""
        return {task: HEADS[task] for task in self.tasks if self.head and task in HEADS}

    @property
    def reads_docs(self) -> bool:
        """Whether a task reads what the encoder makes of Docs; "qa" runs the encoder itself."""
        return any(task != "qa" for task in self.tasks)

    @property
    def is_small(self) -> bool:
        return self.optimize is Optimize.efficiency


def check_tasks(tasks: Sequence[str]) -> None:
    """Raise E500 for an unknown task, E501 for a repeated one or two that write to doc.cats."""
    unknown = [name for name in tasks if name not in TASKS]
    if unknown:
        raise ValueError(Errors.E500.format(unknown=unknown, options=", ".join(TASKS)))
    repeated = sorted({name for name in tasks if tasks.count(name) > 1})
    rivals = [name for name in tasks if name in WRITE_CATS]
    clashing = repeated or (rivals if len(rivals) > 1 else [])
    if clashing:
        raise ValueError(Errors.E501.format(names=clashing))
