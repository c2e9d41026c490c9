"""How many layers are frozen at each step of training: gradual unfreezing.

Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
section 3.3.
"""

from dataclasses import dataclass

from ..errors import Errors


@dataclass(frozen=True)
class Unfreeze:
    """`spacy-ctxemb.unfreeze.v1`: train one layer more every so many steps, the last layer first.

    n_layers: of the encoder, the context-free one included. All are frozen before `start`.
    every: steps from one layer to the next; an epoch or so.
    start: the step at which the last layer thaws, if other components are to learn before it.

    Raises E203 if n_layers or every is below 1, or start below 0.

    Example:
        n_frozen = Unfreeze(n_layers=3, every=200, start=100)
        n_frozen(0), n_frozen(100), n_frozen(300)  # 3, 2, 1
    """

    n_layers: int
    every: int
    start: int = 0

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.every < 1 or self.start < 0:
            what = f"n_layers is {self.n_layers}, every {self.every}, start {self.start}"
            raise ValueError(Errors.E203.format(what=what))

    def __call__(self, step: int) -> int:
        """The number of frozen layers at a step, 0 for the first step."""
        if step < self.start:
            return self.n_layers
        return max(0, self.n_layers - 1 - (step - self.start) // self.every)
