"""PyTorch's optimizers, as a config names them."""

from collections.abc import Iterable

from torch import nn
from torch.optim import Adagrad, AdamW

from .pretrain_section import BuildOptimizer

Named = Iterable[tuple[str, nn.Parameter]]


def build_adamw(
    *, beta1: float = 0.9, beta2: float = 0.98, eps: float = 1e-6, weight_decay: float = 0.01
) -> BuildOptimizer:
    """`spacy-ctxemb.AdamW.v1`: Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; the values of
    Liu et al. 2019, "RoBERTa", section 3.1. Biases and norms do not decay.

    beta1, beta2: how slowly the averages of gradients and of their squares forget. 0.9; 0.98 to
        0.999.
    eps: added to the root of the second average, by which steps are divided. 1e-8 to 1e-6.
    weight_decay: the share of a weight that decays at a learning rate of 1. 0.01 to 0.1; 0 for
        none.
    """

    return lambda parameters: AdamW(
        group(parameters, weight_decay), lr=0.0, betas=(beta1, beta2), eps=eps, fused=True
    )


def build_adagrad(*, initial_accumulator: float = 0.0025) -> BuildOptimizer:
    """`spacy-ctxemb.Adagrad.v1`: as ELMo was trained, at a learning rate of 0.2.

    Source: Duchi et al. 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization". ELMo's program multiplies the loss by the 20 words of a step, and has 1.0 here
    and clips at 10; a mean over words with 1.0 / 20 ** 2 and 10 / 20 makes the same steps.

    initial_accumulator: with what the sum of squared gradients begins; the larger it is, the
        shorter are the first steps.
    """

    return lambda parameters: Adagrad(
        [x for _, x in parameters], lr=0.0, initial_accumulator_value=initial_accumulator
    )


def group(parameters: Named, weight_decay: float) -> list[dict[str, object]]:
    """Matrices, which decay, and vectors, which do not."""
    trained = [parameter for _, parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
