"""All checks of a config and its data, in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.util import load_config

from ..errors import Errors
from .build_parts import Part, Plan, read_plan
from .count_pieces import PieceCounts, count_pieces
from .does_training_start import give_vocabulary, give_weights
from .findings import Finding, Report
from .how_many_steps import Steps, check_steps, plan_steps
from .how_much_memory import check_memory
from .what_learns import check_freezing, find_readers
from .which_labels import check_labels
from .which_learning_rate import check_optimizer
from .which_pieces import check_pieces
from .which_texts import Sample, check_texts, read_samples
from .who_reads_whom import check_wiring


def examine(path: Path, overrides: dict[str, Any], *, limit: int) -> Report:
    """Look at a config for `spacy train`, and at the first documents of its corpora.

    overrides: of the config, by dotted names. limit: documents of each corpus; 0 for all.
    """
    plan = read_plan(load_config(path, overrides=overrides))
    if not plan.embedders and not plan.errors:
        names = [part.name for part in plan.parts]
        raise ValueError(Errors.E193.format(names=names, path=path))
    report = Report()
    report.add("Components", check_wiring(plan))
    report.add("Weights", check_freezing(plan))
    samples, findings = read_samples(plan, limit)
    report.add("Data", findings)
    report.add("Data", check_texts(samples))
    report.add("Labels", check_labels(plan.parts, samples))
    steps = examine_training(plan, samples, report)
    for part in plan.embedders:
        examine_encoders(part, plan, samples, steps, report)
    return report


def examine_training(plan: Plan, samples: dict[str, Sample], report: Report) -> Steps | None:
    """Steps and rates. None without a corpus."""
    steps = None
    if "train" in samples:
        steps = plan_steps(plan, samples["train"])
        report.add("Training", check_steps(plan, steps, samples["train"]))
        report.figures["steps"] = {"per_epoch": steps.per_epoch, "total": steps.total}
    total = steps.total if steps else plan.training["max_steps"] or None
    report.add("Training", check_optimizer(plan, total))
    return steps


def examine_encoders(
    part: Part, plan: Plan, samples: dict[str, Sample], steps: Steps | None, report: Report
) -> None:
    """Pieces and memory of each encoder of a component."""
    train = samples.get("train")
    report.add(f"Pieces of {next(iter(part.encoders))}", give_weights(part, plan))
    for name, shim in part.encoders.items():
        topic = f"Pieces of {name}"
        report.add(topic, give_vocabulary(shim, part, train.docs if train else []))
        if not getattr(shim.pieces, "is_trained", True):
            continue
        counts: dict[str, PieceCounts] = {}
        for corpus, sample in samples.items():
            counts[corpus] = count_pieces(shim, sample.docs)
            report.add(topic, check_pieces(counts[corpus], shim, sample.docs, corpus))
        figures: dict[str, Any] = {corpus: found.to_json() for corpus, found in counts.items()}
        report.figures.setdefault("encoders", {})[name] = figures
        if train and steps and steps.batches:
            found = examine_memory(name, part, plan, train, counts["train"], steps)
            memory = list(found)
            report.add(f"Memory of {name}", [finding for finding, _ in memory])
            figures["memory"] = {key: value for _, n in memory for key, value in n.items()}


def examine_memory(
    name: str,
    part: Part,
    plan: Plan,
    train: Sample,
    counts: PieceCounts,
    steps: Steps,
) -> Iterator[tuple[Finding, dict[str, Any]]]:
    """Of one encoder."""
    places = {id(eg): i for i, eg in enumerate(train.examples)}
    batches = [[places[id(eg)] for eg in batch if id(eg) in places] for batch in steps.batches]
    yield from check_memory(
        name,
        part,
        plan,
        docs=train.docs,
        counts=counts,
        batches=batches,
        readers=find_readers(part, plan.parts),
    )
