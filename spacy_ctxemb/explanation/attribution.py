"""What each token of a text adds to a score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from .targets import Target


@dataclass(frozen=True)
class Attribution:
    """values: (n_tokens,), in the score's unit; below 0 where a token speaks against the label.

    score: of the label. baseline: with gradients, that of the text with all pieces hidden.
    elsewhere: what pieces add that are of no token.
    """

    doc: Doc
    component: str
    target: Target
    method: str
    score: float
    values: NDArray[np.float64]
    baseline: float | None = None
    elsewhere: float = 0.0

    @property
    def label(self) -> str:
        return self.target.label

    @property
    def error(self) -> float | None:
        """With gradients, how far all values together are from the score minus the baseline."""
        if self.baseline is None:
            return None
        return float(self.values.sum()) + self.elsewhere - (self.score - self.baseline)

    def _repr_html_(self) -> str:
        from .html import render_parts

        return render_parts(attributions=[self])
