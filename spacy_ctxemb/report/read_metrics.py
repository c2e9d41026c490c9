"""Scores, logs and layer weights that the commands of a project have written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class LearnedMix:
    """A trained ScalarMix or LayerMixListener.

    shares: of each layer, the context-free one first; add up to 1.
    """

    label: str
    shares: list[float]
    gamma: float


@dataclass(frozen=True)
class Run:
    """One training. scores: of `spacy evaluate`; log: rows of spacy.ConsoleLogger.v3."""

    task: str
    name: str
    scores: Row
    log: list[Row]
    mixes: list[LearnedMix]


@dataclass(frozen=True)
class Figures:
    """All that was found. Perplexities, and logs of `spacy pretrain`, by the encoder's name.

    results: of `ctxemb compare`.
    """

    results: list[Row]
    runs: list[Run]
    perplexities: dict[str, dict[str, float]]
    pretraining: dict[str, list[Row]]


def read_figures(metrics_dir: Path, training_dir: Path, pretraining_dir: Path) -> Figures:
    """Read what there is; a directory that does not exist counts as empty."""
    prefix = "perplexity_"
    metrics = {path.stem: path for path in sorted(metrics_dir.glob("*_*.json"))}
    names = [name for name in metrics if name.startswith(prefix)]
    perplexities = {
        name.removeprefix(prefix): read_object(metrics.pop(name)).get("perplexity", {})
        for name in names
    }
    trained = (path.name for path in training_dir.glob("*_*") if path.is_dir())
    return Figures(
        results=[read_object(path) for path in sorted((metrics_dir / "comparison").glob("*.json"))],
        runs=[
            read_run(name, metrics.get(name), training_dir / name)
            for name in sorted({*metrics, *trained})
        ],
        perplexities=perplexities,
        pretraining={
            path.parent.name: read_rows(path)
            for path in sorted(pretraining_dir.glob("*/log.jsonl"))
        },
    )


def read_run(run: str, scores_path: Path | None, directory: Path) -> Run:
    """run: {task}_{name}."""
    task, _, name = run.partition("_")
    log_path = directory / "log.jsonl"
    return Run(
        task=task,
        name=name,
        scores={} if scores_path is None else read_object(scores_path),
        log=read_rows(log_path) if log_path.exists() else [],
        mixes=list(read_mixes(run, directory / "model-best")),
    )


def read_object(path: Path) -> Row:
    """The object of a JSON file; {} where it holds something else."""
    data = json.loads(path.read_text(encoding="utf8"))
    return data if isinstance(data, dict) else {}


def read_rows(path: Path) -> list[Row]:
    """The rows of a log, without any that an interrupted run has cut off."""
    rows = []
    for line in path.read_text(encoding="utf8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def read_mixes(run: str, pipeline: Path) -> Iterator[LearnedMix]:
    """Every mix of a pipeline, which is not loaded: the encoder's, then those of listeners."""
    import numpy as np

    found = [*read_own_mixes(pipeline), *read_listeners(pipeline)]
    for component, weights, gamma in found:
        powers = np.exp(weights - weights.max())
        yield LearnedMix(
            label=run if len(found) == 1 else f"{run} ({component})",
            shares=(powers / powers.sum()).tolist(),
            gamma=gamma.item(),
        )


def read_own_mixes(pipeline: Path) -> Iterator[tuple[str, Any, Any]]:
    """The component, weights and gamma of every ScalarMix: only these tensors are read."""
    from safetensors import safe_open

    for path in sorted(pipeline.glob("*/model/encoder.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            if {"mix.weights", "mix.gamma"} <= set(tensors.keys()):
                component = path.parent.parent.name
                yield component, tensors.get_tensor("mix.weights"), tensors.get_tensor("mix.gamma")


def read_listeners(pipeline: Path) -> Iterator[tuple[str, Any, Any]]:
    """The component, weights and gamma of every LayerMixListener."""
    import srsly
    from safetensors.numpy import load
    from thinc.api import Config

    config_path = pipeline / "config.cfg"
    if not config_path.exists():
        return
    components = Config().from_disk(config_path, interpolate=False)["components"]
    names = [name for name, config in components.items() if "LayerMixListener" in str(config)]
    for name in names:
        model = srsly.read_msgpack(pipeline / name / "model")
        for node, shims in zip(model["nodes"], model["shims"], strict=True):
            if node["name"] == "layer-mix-listener":
                tensors = load(shims[0])
                if len(tensors["weights"]):
                    yield name, tensors["weights"], tensors["gamma"]
