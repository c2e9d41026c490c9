"""What the functions know that a listener has in place of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from spacy.tokens import Doc


@dataclass
class Guard:
    """What a guarded listener knows.

    wanted: the upstream that the config names, or "*". upstream, component: the names of the pipe
    that writes the vectors and of the one that reads.
    grad_factor: of the gradient that goes upstream.
    last_readers: where this component is the last to read, and is to drop what it has read: how
        many listeners of it read from each Doc first. 0 elsewhere.
    is_linked: whether it has had an upstream, here or in the pipeline it comes from.
    obstacle: why it has none here; raised when it is used, since spaCy links components before it
        has loaded what they need to know each other.
    sample: Docs for which zeros will do, since a model infers its shapes from them.
    """

    wanted: str
    upstream: str
    component: str = ""
    grad_factor: float = 1.0
    last_readers: int = 0
    is_linked: bool = False
    obstacle: str = ""
    sample: Sequence[Doc] = field(default_factory=list)

    def check(self) -> None:
        """Raise ValueError where the listener could not be linked."""
        if self.obstacle:
            raise ValueError(self.obstacle)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle has no Docs, which would bring their whole vocabulary along."""
        values = [getattr(self, one.name) for one in fields(self) if one.name != "sample"]
        return Guard, tuple(values)
