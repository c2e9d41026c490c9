"""What the functions know that a listener has in place of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from spacy.tokens import Doc

from ..errors import Errors


@dataclass
class Guard:
    """What a guarded listener knows.

    wanted: the upstream that the config names, or "*". upstream, component: the names of the pipe
    that writes the vectors and of the one that reads.
    grad_factor: of the gradient that goes upstream.
    last_readers: where this component is the last to read, and is to drop what it has read: how
        many listeners of it read from each Doc first. 0 elsewhere.
    sender: the id of the upstream's model, which sends it what it makes in training; 0 where spaCy
        has linked components again while this one was disabled.
    last_sender: the same, or that of the last upstream, here or in the pipeline it comes from.
    obstacle: why it has none here; raised when it is used, since spaCy links components before it
        has loaded what they need to know each other.
    sample: Docs for which zeros will do, since a model infers its shapes from them.
    """

    wanted: str
    upstream: str
    component: str = ""
    grad_factor: float = 1.0
    last_readers: int = 0
    last_sender: int = 0
    sender: int = 0
    obstacle: str = ""
    sample: Sequence[Doc] = field(default_factory=list)

    def check(self, *, is_train: bool = False) -> None:
        """Raise ValueError where the listener could not be linked, E037 where it learns alone."""
        if self.obstacle:
            raise ValueError(self.obstacle)
        if is_train and self.is_unlinked:
            raise ValueError(self.explain())

    @property
    def is_linked(self) -> bool:
        """Whether it has had an upstream."""
        return self.last_sender != 0

    @property
    def is_unlinked(self) -> bool:
        """Whether it had an upstream, which does not know it any more."""
        return self.is_linked and not self.sender

    def explain(self) -> str:
        """What to do where it is unlinked."""
        return Errors.E037.format(component=self.component, upstream=self.upstream)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle has no Docs, which would bring their whole vocabulary along."""
        values = [getattr(self, one.name) for one in fields(self) if one.name != "sample"]
        return Guard, tuple(values)
