"""How much, and at what rate, the components of a config learn."""

from typing import Any

from .choices import Choices

Section = dict[str, Any]

#: Parameters from which on a fine-tuned encoder wants a small rate.
LARGE = 10_000_000

#: Where only the heads learn.
FROZEN_RATE = 0.005

#: Share of all steps in which the rate rises.
WARMUP_SHARE = 0.05


def choose_rate(choices: Choices, n_parameters: int) -> float | Section:
    """The learning rate, or its schedule.

    Source of the latter: Devlin et al. 2019, "BERT", appendix A.3.

    n_parameters: of an encoder that has weights; 0 for a new one.
    """
    if choices.freeze:
        return FROZEN_RATE
    steps = count_steps(choices)
    if n_parameters > LARGE:
        peak = 5e-5
    else:
        peak = 1e-3 if choices.is_small and not n_parameters else 5e-4
    return {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": round(WARMUP_SHARE * steps),
        "total_steps": steps,
        "initial_rate": peak,
    }


def count_steps(choices: Choices) -> int:
    """Steps at most."""
    return 5000 if choices.is_small else 20000


def build_training(choices: Choices, upstream: str, n_parameters: int) -> Section:
    """The section [training]. upstream: the name of the component with the encoder."""
    frozen = [upstream] if choices.freeze else []
    # Small batches help small data; on a GPU larger ones cost little.
    batcher = {"@batchers": "spacy.batch_by_words.v1", "size": 500 if choices.gpu else 200}
    optimizer = {
        "@optimizers": "Adam.v1",
        "learn_rate": choose_rate(choices, n_parameters),
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
