"""A batch whose gradients are on their way back from the components that listen."""

from collections.abc import Iterable, Sequence
from typing import Any

from spacy.tokens import Doc
from thinc.api import Optimizer

from ..thinc_model.docs_to_outputs import Backprop, forget


class PendingUpdate:
    """Adds up what listeners send back.

    docs: of the batch.
    losses, name: where the squares of all gradients are added, which spaCy shows as the loss of an
        encoder.
    optimizer: with which to change the weights once the gradients are back, if that was asked for.
    """

    def __init__(
        self, docs: Sequence[Doc], backprop: Backprop, losses: dict[str, float], name: str
    ) -> None:
        self.docs = docs
        self._backprop = backprop
        self._losses = losses
        self._name = name
        self._sums: dict[str, list[Any]] = {}  # one array a Doc
        self.optimizer: Optimizer | None = None

    @property
    def arrived(self) -> bool:
        """Whether any gradient has come."""
        return bool(self._sums)

    def is_of(self, docs: Iterable[Doc]) -> bool:
        """Whether any of these Docs are in the batch."""
        known = set(map(id, self.docs))
        return any(id(doc) in known for doc in docs)

    def collect(self, of: str, gradients: list[Any]) -> list[Doc]:
        """What a listener calls. of: "vectors", "layers" or "states"; one array a Doc."""
        # In fp64: squares of small gradients underflow, at which NumPy may raise.
        squares = (float((one.astype("f8") ** 2).sum()) for one in gradients)
        self._losses[self._name] += sum(squares)
        if of in self._sums:
            for one, gradient in zip(self._sums[of], gradients, strict=True):
                one += gradient
        else:
            self._sums[of] = [gradient.copy() for gradient in gradients]
        return []

    def backpropagate(self) -> None:
        if self.arrived:
            self._backprop(self._sums)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle or a copy of the component has no batch under way, though its listeners may
        still send gradients."""
        return PendingUpdate, ((), forget, {self._name: 0.0}, self._name)
