"""Ask all questions about a config and its data, in order."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spacy.util import load_config

from ..errors import Errors
from ..read_files import check_text
from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Plan, read_plan
from .check_first_step import measure_memory, start_training, write_trial
from .check_labels import check_labels
from .check_learning_rate import check_learning_rate
from .check_listeners import check_wiring
from .check_number_of_steps import check_number_of_steps, plan_steps
from .check_pieces import check_pieces, check_vocabulary, count_pieces
from .check_what_learns import check_learning, check_weights
from .findings import Report
from .read_samples import Sample, check_repeated_texts, read_samples


def examine(
    path: Path, overrides: dict[str, Any], *, limit: int, gpu_id: int = -1, measure: bool = True
) -> Report:
    """Examine a config for `spacy train`, and the first documents of its corpora.

    overrides: of the config, by dotted names. limit: documents of each corpus; 0 for all.
    gpu_id: where memory is measured, -1 for the CPU; not at all if measure is False.
    Raises E508 if no component has an encoder of this package, E163 for a file that is no text.

    >>> report = examine(Path("config.cfg"), {"paths.train": "train.spacy"}, limit=1000)
    >>> report.has_errors
    False
    """
    check_text(path, "a config")
    plan = read_plan(load_config(path, overrides=overrides))
    if not plan.embedders and not plan.errors:
        names = [part.name for part in plan.parts]
        raise ValueError(Errors.E508.format(names=names, path=path))
    report = Report()
    report.add("Components", check_wiring(plan))
    report.add("Weights", [*check_learning(plan), *check_weights(plan)])
    samples, findings = read_samples(plan, limit)
    report.add("Data", [*findings, *check_repeated_texts(samples)])
    report.add("Labels", check_labels(plan.parts, samples))
    steps = plan_steps(plan, samples["train"]) if "train" in samples else None
    total = plan.training["max_steps"] or None
    if steps is not None:
        total = steps.total
        report.add("Training", check_number_of_steps(plan, steps, samples["train"]))
        report.figures["steps"] = {"per_epoch": steps.per_epoch, "total": total}
    report.add("Training", check_learning_rate(plan, total))
    if steps is None or report.has_errors:
        add_pieces(plan, {}, samples, report)
        return report
    with TemporaryDirectory() as name:
        folder, batch = Path(name), steps.largest
        write_trial(plan, samples["train"], batch, folder)
        encoders, findings = start_training(folder)  # with their vocabularies
        report.add("Training", findings)
        add_pieces(plan, encoders, samples, report)
        if measure and not report.has_errors:
            report.figures["memory"], finding = measure_memory(folder, batch, gpu_id)
            report.add("Memory", [finding])
    return report


def add_pieces(
    plan: Plan, initialised: dict[str, EmbedderShim], samples: dict[str, Sample], report: Report
) -> None:
    """Add what the pieces of each encoder make of the samples.

    initialised: encoders as training begins with them, by name, where these are known.
    """
    for part in plan.embedders:
        for name, built in part.encoders.items() if part.is_enabled else ():
            shim = initialised.get(name, built)
            topic = f"Pieces of {name}"
            if initialised or part.is_sourced:
                report.add(topic, check_vocabulary(name, shim, part))
            if not getattr(shim.pieces, "is_trained", True):
                continue
            counts = {key: count_pieces(shim, sample.docs) for key, sample in samples.items()}
            for corpus, found in counts.items():
                report.add(topic, check_pieces(found, shim, corpus))
            figures = report.figures.setdefault("encoders", {})
            figures[name] = {corpus: found.to_json() for corpus, found in counts.items()}
