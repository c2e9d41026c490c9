"""Every message a user can meet: what went wrong, the values seen, the next step.

A file for each hundred of the codes.
"""

import re
from typing import Any

from .alignment import AlignmentErrors
from .benchmark import BenchmarkErrors
from .commands import CommandErrors
from .encoders import EncoderErrors
from .explain import ExplainErrors
from .heads import HeadErrors
from .pipeline import PipelineErrors
from .pretraining import PretrainingErrors
from .published_models import PublishedModelErrors
from .scale import ScaleErrors
from .search import SearchErrors
from .serving import ServingErrors
from .training import TrainingErrors
from .warnings import Warnings


class _Coded(type):
    """Puts its code before each message."""

    def __getattribute__(cls, name: str) -> Any:
        value = super().__getattribute__(name)
        return f"[{name}] {value}" if name[0] in "EW" and name[1:].isdigit() else value


class Errors(
    PipelineErrors,
    EncoderErrors,
    TrainingErrors,
    PublishedModelErrors,
    PretrainingErrors,
    CommandErrors,
    HeadErrors,
    ExplainErrors,
    SearchErrors,
    AlignmentErrors,
    ScaleErrors,
    ServingErrors,
    BenchmarkErrors,
    Warnings,
    metaclass=_Coded,
):
    """All messages: `Errors.E001.format(...)`."""


def is_coded(error: BaseException) -> bool:
    """Whether the message of an error begins with a code: one of these, or of spaCy's."""
    return re.match(r"\[[EW]\d{3,4}\] ", str(error)) is not None
