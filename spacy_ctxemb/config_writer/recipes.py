"""How tasks are trained on each kind of encoder: the constants that development scores decided."""

from dataclasses import dataclass

from .check_options import Optimize


@dataclass(frozen=True)
class Recipe:
    """What `init-config` writes where the user does not choose.

    encoder_rate: the largest learning rate of the encoder where it learns.
    head_rate: that of the tasks, which are new, then; and of heads on a frozen encoder.
    has_head: whether tasks are a head where they can be and the encoder learns.
    reads_first: whether texts on a frozen encoder, without a network beside it, are read by their
        first vector and the largest value of each column too, and not by the mean alone.
    mixes_layers: whether tasks that label tokens learn a mix of the encoder's layers.
    freeze_layers: the lowest layers that stay as they are where the encoder learns.
    """

    encoder_rate: float
    head_rate: float = 0.005
    has_head: bool = False
    reads_first: bool = False
    mixes_layers: bool = True
    freeze_layers: int = 0


#: The weights that ship, and MiniLM.
ENGLISH = Recipe(encoder_rate=2.5e-4, freeze_layers=1, has_head=True, reads_first=True)
MINILM = Recipe(encoder_rate=5e-5, has_head=True)

#: Encoders of pipelines. A Transformer of more than N_LARGE parameters is large.
BILM = Recipe(encoder_rate=5e-4, mixes_layers=False)
TRANSFORMER = Recipe(encoder_rate=1e-4, has_head=True)
LARGE_TRANSFORMER = Recipe(encoder_rate=5e-5, has_head=True)
N_LARGE = 15_000_000

#: New encoders.
NEW = {
    Optimize.efficiency: Recipe(encoder_rate=1e-3, head_rate=1e-3, mixes_layers=False),
    Optimize.accuracy: Recipe(encoder_rate=5e-4, head_rate=5e-4, mixes_layers=False),
}

#: The learning rate of tasks with layers of their own on a frozen encoder.
FROZEN_RATE = 0.001

#: Steps at most, from one evaluation to the next, and without progress.
MAX_STEPS = {Optimize.efficiency: 5000, Optimize.accuracy: 20000}
EVAL_FREQUENCY = {Optimize.efficiency: 100, Optimize.accuracy: 200}
PATIENCE = {Optimize.efficiency: 1000, Optimize.accuracy: 3000}
