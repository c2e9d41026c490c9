"""The [pretrain] section of a config."""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any

from spacy.util import registry
from thinc.api import Config
from torch import nn
from torch.optim import Optimizer

from ..errors import Errors
from ..schedules import StepFunction, as_function
from .tasks.base import BuildTask
from .text.raw_text import TextCorpus

SECTION = "pretrain"
PRECISIONS = ("fp32", "bf16", "fp16")
PARALLEL = ("ddp", "fsdp")

#: What a setting of a type may be.
KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "text in quotes"),
}

BuildOptimizer = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """How to pretrain.

    train, held_out: text to learn from, and to evaluate on.
    objective: what is learned, and the size of a micro-batch: `spacy-ctxemb.PretrainBiLM.v1`,
        `spacy-ctxemb.PretrainMaskedLM.v1` or `spacy-ctxemb.Distil.v1`.
    optimizer: `spacy-ctxemb.AdamW.v1` or `spacy-ctxemb.Adagrad.v1`.
    learn_rate: from the step; in a config a schedule of Thinc's, or a number.
    max_steps: steps in all. One step reads `accumulate` micro-batches in each process.
    component: the name of the component to pretrain.
    seed: of all that is random.
    accumulate: micro-batches whose gradients are added up for one step. 1 to 64.
    precision: "fp32"; "bf16" for CPUs and GPUs that compute in it; "fp16" for GPUs.
    grad_clip: the largest norm of all gradients together; 0 for any. 1.0; ELMo: 0.5, for which see
        Adagrad.v1.
    eval_every, checkpoint_every: in steps. 100 to 5000.
    keep_checkpoints: the last ones that are kept, at least 2, so that one may be damaged.
    parallel: with several processes "ddp"; "fsdp" divides parameters among them, for encoders
        that one GPU cannot hold, and shows no neighbours.
    compile: whether to compile the feed-forward layers of a Transformer with `torch.compile`, which
        takes half a minute. Meant for GPUs; on CPUs steps take as long as without.
    n_workers: processes that tokenise the text beforehand.
    neighbours: words whose nearest neighbours in context are printed at each evaluation.
    tensorboard: whether to log to OUTPUT/tensorboard. wandb_project: of Weights & Biases; null
        for none. Both through their own packages.

    Raises E465 for a value of another type, that is too low, or not among its options.
    """

    train: TextCorpus
    held_out: TextCorpus
    objective: BuildTask
    optimizer: BuildOptimizer
    learn_rate: StepFunction
    max_steps: int
    component: str = "ctxemb"
    seed: int = 0
    accumulate: int = 1
    precision: str = "fp32"
    grad_clip: float = 1.0
    eval_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    parallel: str = "ddp"
    compile: bool = False
    n_workers: int = 1
    neighbours: tuple[str, ...] = ()
    tensorboard: bool = False
    wandb_project: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            types, expected = KINDS.get(field.type, ((type(value),), ""))
            self._require(type(value) in types, name, expected)
        least = {"seed": 0, "max_steps": 1, "accumulate": 1, "eval_every": 1, "checkpoint_every": 1}
        least |= {"keep_checkpoints": 2, "n_workers": 1, "grad_clip": 0}
        for name, bound in least.items():
            self._require(getattr(self, name) >= bound, name, f"at least {bound}")
        for name, options in (("precision", PRECISIONS), ("parallel", PARALLEL)):
            self._require(getattr(self, name) in options, name, f"one of {options}")

    def _require(self, is_valid: bool, name: str, expected: str) -> None:
        if not is_valid:
            value = getattr(self, name)
            raise ValueError(Errors.E465.format(name=name, value=value, expected=expected))


def read_settings(config: Config) -> PretrainSettings:
    """Resolve the [pretrain] section of a config without variables.

    Raises E450 if there is none, E453 for unknown and missing settings.

    Example:
        settings = read_settings(load_config("pretrain.cfg").interpolate())
        settings.learn_rate(0)
    """
    if SECTION not in config:
        raise ValueError(Errors.E450.format(sections=sorted(config)))
    section: dict[str, Any] = config[SECTION]
    known = {field.name: field for field in fields(PretrainSettings)}
    unknown = sorted(set(section) - set(known))
    required = {name for name, field in known.items() if field.default is MISSING}
    missing = sorted(required - set(section))
    if unknown or missing:
        raise ValueError(Errors.E453.format(unknown=unknown, missing=missing, known=sorted(known)))
    resolved = registry.resolve({SECTION: section})[SECTION]
    resolved["neighbours"] = tuple(resolved.get("neighbours", ()))
    resolved["learn_rate"] = as_function(resolved["learn_rate"])
    return PretrainSettings(**resolved)
