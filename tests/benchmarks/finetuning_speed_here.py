"""The process in which this package runs for finetuning_speed.py.

    python tests/benchmarks/finetuning_speed_here.py < JOB

It reads a job, see `describe` there, and prints the seconds of all steps but the first, in the loop
of `spacy train`.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.iob_utils import biluo_tags_to_spans, iob_to_biluo
from spacy.training.loop import train_while_improving
from spacy.util import load_config
from thinc.api import Adam, fix_random_seed
from thinc.schedules import warmup_linear

#: The components on the encoder.
CONFIG = Path(__file__).with_name("configs") / "source.cfg"
DROPOUT = 0.1


def main() -> None:
    print(json.dumps(train(json.load(sys.stdin))))


def train(job: dict[str, Any]) -> dict[str, float]:
    """Seconds of all steps but the first."""
    fix_random_seed(0)
    nlp = build(job)
    labels = {one["label"] for batch in job["batches"] for one in batch if "label" in one}
    batches = [[make_example(nlp, one, labels) for one in batch] for batch in job["batches"]]
    nlp.initialize(lambda: [example for batch in batches for example in batch])
    rate = warmup_linear(job["rate"], 0, len(batches))
    optimizer = Adam(rate, L2=0.0, grad_clip=0.0, use_averages=False)
    steps = train_while_improving(
        nlp,
        optimizer,
        ((0, batch) for batch in batches),
        lambda: (0.0, {}),
        dropout=DROPOUT,
        eval_frequency=len(batches),
        accumulate_gradient=1,
        patience=0,
        max_steps=len(batches),
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    times = [(time.perf_counter(), time.process_time()) for _ in steps]
    (start, cpu_start), (end, cpu_end) = times[0], times[-1]
    seconds = {"seconds": end - start, "cpu_seconds": cpu_end - cpu_start}
    return {"steps": len(times) - 1, **seconds}


def build(job: dict[str, Any]) -> Language:
    """A pipeline of the encoder and a component on it."""
    nlp = spacy.blank("en")
    settings: dict[str, Any] = {"model": {"training_precision": job["precision"]}}
    if job["encoder"] is not None:
        settings["pretrained"] = job["encoder"]
    encoder = nlp.add_pipe("ctxemb", config=settings)
    if job["head"] == "linear":
        nlp.add_pipe(f"ctxemb_{job['task']}")
        return nlp
    model = load_config(CONFIG)["components"][job["task"]]["model"]
    model["tok2vec"]["width"] = encoder.model.get_dim("nO")  # type: ignore[attr-defined] # ours
    nlp.add_pipe(job["task"], config={"model": model})
    return nlp


def make_example(nlp: Language, one: dict[str, Any], labels: set[str]) -> Example:
    """labels: of all texts."""
    if "label" in one:
        reference = nlp.make_doc(one["text"])
        reference.cats = {label: float(label == one["label"]) for label in labels}
        return Example(nlp.make_doc(one["text"]), reference)
    doc, reference = (Doc(nlp.vocab, words=one["words"]) for _ in range(2))
    reference.ents = biluo_tags_to_spans(reference, iob_to_biluo(one["tags"]))
    return Example(doc, reference)


if __name__ == "__main__":
    main()
