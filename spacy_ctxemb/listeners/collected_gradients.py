"""A batch whose gradients are on their way back from the components that listen."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.tokens import Doc

#: One array a Doc.
Gradients = list[Any]

#: Takes the gradients of vectors and of layers; None where none has come.
Backprop = Callable[[Gradients | None, Gradients | None], Any]


class PendingUpdate:
    """Adds up what listeners send back.

    docs: of the batch.
    losses, name: where the squares of all gradients are added, which spaCy shows as the loss of an
        encoder.
    """

    def __init__(
        self, docs: Sequence[Doc], backprop: Backprop, losses: dict[str, float], name: str
    ) -> None:
        self.docs = docs
        self._backprop = backprop
        self._losses = losses
        self._name = name
        self._d_vectors: Gradients | None = None
        self._d_layers: Gradients | None = None

    @property
    def arrived(self) -> bool:
        """Whether any gradient has come."""
        return self._d_vectors is not None or self._d_layers is not None

    def is_of(self, docs: Iterable[Doc]) -> bool:
        """Whether any of these Docs are in the batch."""
        known = set(map(id, self.docs))
        return any(id(doc) in known for doc in docs)

    def collect_vectors(self, d_vectors: Gradients) -> list[Doc]:
        """What a listener to vectors calls."""
        self._d_vectors = self._collect(self._d_vectors, d_vectors)
        return []

    def collect_layers(self, d_layers: Gradients) -> list[Doc]:
        """What a listener to all layers calls."""
        self._d_layers = self._collect(self._d_layers, d_layers)
        return []

    def backpropagate(self) -> None:
        """Send on what has come."""
        if self.arrived:
            self._backprop(self._d_vectors, self._d_layers)

    def _collect(self, total: Gradients | None, gradients: Gradients) -> Gradients:
        """The sum so far, in arrays of its own."""
        self._losses[self._name] += sum(float((gradient**2).sum()) for gradient in gradients)
        if total is None:
            return [gradient.copy() for gradient in gradients]
        for one, gradient in zip(total, gradients, strict=True):
            one += gradient
        return total

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle or a copy of the component has no batch under way, though its listeners may
        still send gradients."""
        return PendingUpdate, ((), ignore, {self._name: 0.0}, self._name)


def ignore(d_vectors: Gradients | None, d_layers: Gradients | None) -> None:
    """The backward pass of no batch."""
