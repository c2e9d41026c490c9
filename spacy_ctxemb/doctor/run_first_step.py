"""The first step of a training, in a process of its own, so that its memory can be measured."""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from spacy.schemas import ConfigSchemaTraining
from spacy.training.initialize import init_nlp
from spacy.training.loop import train_while_improving
from spacy.util import load_config, registry, resolve_dot_names
from thinc.api import require_gpu

from ..component import ContextualEmbedder
from ..errors import is_coded

CONFIG = "config.cfg"

RESULT = "result.json"


def run_first_step(folder: Path, n_docs: int, gpu_id: int) -> dict[str, float]:
    """Predict and update with the first documents. Returns the peak after each, in megabytes.

    start: after the initialisation.
    """
    if gpu_id >= 0:
        require_gpu(gpu_id)
    nlp = init_nlp(load_config(folder / CONFIG), use_gpu=gpu_id)
    for _, pipe in nlp.components:
        if isinstance(pipe, ContextualEmbedder):
            pipe.cache = None  # a trial leaves no files
    config = nlp.config.interpolate()
    training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    (corpus,) = resolve_dot_names(config, [training["train_corpus"]])
    examples = list(islice(corpus(nlp), n_docs))
    peaks = {"start": read_peak(gpu_id)}
    list(nlp.pipe([eg.x.copy() for eg in examples]))
    peaks["prediction"] = read_peak(gpu_id)
    steps = train_while_improving(
        nlp,
        training["optimizer"],
        [(0, examples)],
        lambda: (0.0, {}),
        dropout=training["dropout"],
        eval_frequency=1,
        accumulate_gradient=training["accumulate_gradient"],
        patience=0,
        max_steps=1,
        exclude=training["frozen_components"],
        annotating_components=training["annotating_components"],
        before_update=training["before_update"],
    )
    list(steps)
    peaks["update"] = read_peak(gpu_id)
    return peaks


def read_peak(gpu_id: int) -> float:
    """Megabytes that this process has held at most: of the GPU, or of main memory."""
    if gpu_id >= 0:
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")  # on Linux ru_maxrss begins with that of the parent
    if status.exists():
        lines = status.read_text(encoding="utf8").splitlines()
        return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def main(folder: Path, n_docs: int, gpu_id: int) -> None:
    """Write the megabytes; or "error" for what stops training, "failure" for too little memory."""
    result: dict[str, Any]
    try:
        result = run_first_step(folder, n_docs, gpu_id)
    except Exception as reason:
        message = str(reason) if is_coded(reason) else repr(reason)
        result = {"error": message}
        texts = ("out of memory", "not enough memory", "allocate memory")
        if isinstance(reason, MemoryError) or any(text in message.lower() for text in texts):
            result = {"failure": f"memory was not enough: {message}"}
    (folder / RESULT).write_text(json.dumps(result), encoding="utf8")
