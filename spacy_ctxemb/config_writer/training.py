"""How much, and at what rate, the components of a config learn."""

from typing import Any, NamedTuple

from .choices import Choices

Section = dict[str, Any]

#: Parameters from which on a fine-tuned Transformer wants a small rate.
LARGE = 10_000_000

#: Where only the heads learn.
FROZEN_RATE = 0.005

#: What a head bears that learns along with an encoder, or with a network of its own.
HEAD_RATE = 1e-3

#: Share of all steps in which the rate rises.
WARMUP_SHARE = 0.05


class Weights(NamedTuple):
    """What the learning rate of an encoder that has weights depends on.

    learn_rate_factor: its own share of the rate, see finetuning/frozen_layers.py.
    """

    n_parameters: int
    has_attention: bool
    learn_rate_factor: float = 1.0


def is_slow(weights: Weights | None) -> bool:
    """Whether an encoder wants a rate at which what stands on top hardly learns."""
    return weights is not None and is_large(weights) and weights.learn_rate_factor == 1.0


def is_large(weights: Weights) -> bool:
    """Whether an encoder wants a very small rate."""
    return weights.has_attention and weights.n_parameters > LARGE


def choose_rate(choices: Choices, weights: Weights | None) -> float | Section:
    """The learning rate, or its schedule.

    Source of the latter: Devlin et al. 2019, "BERT", appendix A.3.

    weights: None for a new encoder.
    """
    if choices.freeze:
        return HEAD_RATE if choices.wants_cnn else FROZEN_RATE
    steps = count_steps(choices)
    return {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": round(WARMUP_SHARE * steps),
        "total_steps": steps,
        "initial_rate": find_peak(choices, weights),
    }


def find_peak(choices: Choices, weights: Weights | None) -> float:
    """The largest rate, with an encoder that learns."""
    if weights is None:
        return HEAD_RATE if choices.is_small else 5e-4
    peak = 5e-4
    if weights.has_attention:
        peak = 5e-5 if is_large(weights) else 1e-4
    return min(peak / weights.learn_rate_factor, HEAD_RATE)


def count_steps(choices: Choices) -> int:
    """Steps at most."""
    return 5000 if choices.is_small else 20000


def build_training(choices: Choices, upstream: str, weights: Weights | None) -> Section:
    """The section [training]. upstream: the name of the component with the encoder."""
    frozen = [upstream] if choices.freeze else []
    # Small batches help small data; on a GPU larger ones cost little.
    batcher = {"@batchers": "spacy.batch_by_words.v1", "size": 500 if choices.gpu else 200}
    optimizer = {
        "@optimizers": "Adam.v1",
        "learn_rate": choose_rate(choices, weights),
        "grad_clip": 1.0,
        "use_averages": True,
    }
    return {
        "seed": "${system.seed}",
        "gpu_allocator": "${system.gpu_allocator}",
        "train_corpus": "corpora.train",
        "dev_corpus": "corpora.dev",
        "frozen_components": frozen,
        "annotating_components": frozen,
        "dropout": 0.1,
        "max_steps": count_steps(choices),
        "eval_frequency": 100 if choices.is_small else 200,
        "patience": 1000 if choices.is_small else 3000,
        "batcher": {**batcher, "discard_oversize": False, "tolerance": 0.2},
        "optimizer": optimizer,
        "logger": {"@loggers": "spacy.ConsoleLogger.v3", "output_file": "${paths.log}"},
    }


def build_cache(upstream: str) -> Section:
    """The callback that gives a frozen component a cache for this training alone."""
    return {
        "@callbacks": "spacy-ctxemb.UseCache.v1",
        "component": upstream,
        "cache": {"@misc": "spacy-ctxemb.FeatureCache.v1", "path": "${paths.cache}"},
    }
