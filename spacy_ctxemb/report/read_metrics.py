"""Scores, logs and layer weights that the commands of a project have written."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from safetensors import safe_open
from safetensors.numpy import load
from thinc.api import Config

from ..read_files import reading

Row = dict[str, Any]

#: Points (x, y).
Curve = list[tuple[float, float]]

#: What a result of `ctxemb compare` has.
RESULT = "config corpus n_labelled n_examples seed metric score scores log mixes".split()

#: The numbers that a row of a log of `spacy train` has, and of `spacy pretrain`.
TRAINED, PRETRAINED = ("step", "score"), ("epoch", "nr_word", "loss")


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
    """Read what there is. A folder that does not exist counts as empty.

    Raises E163 for a file that is damaged, or a result or a row that lacks something.
    """
    metrics = {path.stem: path for path in sorted(metrics_dir.glob("*_*.json"))}
    perplexities = {
        name.removeprefix("perplexity_"): read_object(metrics.pop(name)).get("perplexity", {})
        for name in list(metrics)
        if name.startswith("perplexity_")
    }
    trained = {path.name for path in training_dir.glob("*_*") if path.is_dir()}
    return Figures(
        results=[read_result(path) for path in sorted((metrics_dir / "comparison").glob("*.json"))],
        runs=[
            read_run(name, metrics.get(name), training_dir / name)
            for name in sorted(trained | metrics.keys())
        ],
        perplexities=perplexities,
        pretraining={
            path.parent.name: read_rows(path, PRETRAINED)
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
        scores=read_object(scores_path) if scores_path else {},
        log=read_rows(log_path, TRAINED) if log_path.exists() else [],
        mixes=list(read_mixes(run, directory / "model-best")),
    )


def read_object(path: Path, keys: Sequence[str] = ()) -> Row:
    """The object of a JSON file; {} where it holds something else.

    Raises E163 for a file that is not JSON, or an object without some of the keys.
    """
    with reading(path, "JSON"):
        data = json.loads(path.read_text(encoding="utf8"))
        found = data if isinstance(data, dict) else {}
        lacking = [key for key in keys if key not in found]
        if lacking:
            raise ValueError(f"it lacks {lacking}")
    return found


def read_result(path: Path) -> Row:
    """A result of `ctxemb compare`. Raises E163 for one that lacks something."""
    result = read_object(path, RESULT)
    with reading(path, "a result of a comparison"):
        check_rows(result["log"], TRAINED)
    return result


def read_rows(path: Path, keys: Sequence[str]) -> list[Row]:
    """The rows of a log, without any that an interrupted run has cut off.

    Raises E163 for rows without numbers of these keys.
    """
    rows: list[Row] = []
    for line in path.read_text(encoding="utf8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    with reading(path, "a log of training"):
        check_rows(rows, keys)
    return rows


def check_rows(rows: Any, keys: Sequence[str]) -> None:
    """Raise ValueError for what is no list of rows with numbers of these keys."""
    for i, row in enumerate(rows, start=1):
        values = row if isinstance(row, dict) else {}
        lacking = [key for key in keys if not isinstance(values.get(key), int | float)]
        if lacking:
            raise ValueError(f"row {i} has no number as {lacking[0]}")


def read_mixes(run: str, pipeline: Path) -> Iterator[LearnedMix]:
    """Every mix of a pipeline, which is not loaded: the encoder's, then those of listeners."""
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
    for path in sorted(pipeline.glob("*/model/encoder.safetensors")):
        found = []
        with reading(path, "weights of an encoder"), safe_open(path, "numpy") as tensors:
            if {"mix.weights", "mix.gamma"} <= set(tensors.keys()):
                found = [tensors.get_tensor(f"mix.{name}") for name in ("weights", "gamma")]
        if found:
            yield path.parent.parent.name, found[0], found[1]


def read_listeners(pipeline: Path) -> Iterator[tuple[str, Any, Any]]:
    """The component, weights and gamma of every LayerMixListener."""
    config_path = pipeline / "config.cfg"
    if not config_path.exists():
        return
    with reading(config_path, "the config of a pipeline"):
        components = Config().from_disk(config_path, interpolate=False)["components"]
    names = [name for name, config in components.items() if "LayerMixListener" in str(config)]
    for name in names:
        path = pipeline / name / "model"
        found = []
        with reading(path, "a model of thinc"):
            model = srsly.read_msgpack(path)
            for node, shims in zip(model["nodes"], model["shims"], strict=True):
                if node["name"] == "layer-mix-listener":
                    tensors = load(shims[0])
                    if len(tensors["weights"]):
                        found.append((tensors["weights"], tensors["gamma"]))
        yield from ((name, weights, gamma) for weights, gamma in found)


def find_pretraining_losses(rows: Sequence[Row]) -> Curve:
    """Mean loss of a word since the last row, over words seen. Mostly, a row is an epoch.

    Words and losses are sums over all epochs: unlike `epoch_loss`, their differences also fit
    rows of several epochs, of part of one, and the last one of an interrupted run.
    """
    curve: Curve = []
    before = (0, 0.0)
    for row in rows:
        words, loss = row["nr_word"], row["loss"]
        if (words, loss) == before:  # the last row of a finished run
            continue
        if words <= before[0]:  # a run that began anew or resumed, in the same log
            before = (0, 0.0)
            if row["epoch"] == 0:
                curve = []
        n_words = words - before[0]
        seen = curve[-1][0] if curve else 0
        curve.append((seen + n_words, (loss - before[1]) / n_words))
        before = (words, loss)
    return curve
