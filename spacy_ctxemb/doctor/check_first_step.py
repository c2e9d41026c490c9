"""Does training start, and how much memory does its largest batch take?

spaCy's own functions are run on the sample, with the loaders, callbacks and vocabularies that the
config names: `init_nlp` here, and one step in a process of its own.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train_while_improving
from spacy.util import dot_to_object, load_config, registry, resolve_dot_names, set_dot_to_object
from thinc.api import require_gpu

from ..component import ContextualEmbedder
from ..errors import is_coded
from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Plan, name_encoders
from .findings import Finding, error, ok, warning
from .read_samples import Sample

#: The files of a trial.
CONFIG, RESULT = "config.cfg", "result.json"

#: Megabytes that are worth a warning: few GPUs have more.
MUCH = 16_000

#: Seconds after which the step is given up.
TIMEOUT = 300


def write_trial(plan: Plan, sample: Sample, batch: Sequence[Example], folder: Path) -> None:
    """Write the config into a folder, with the sample as both corpora, its largest batch first."""
    others = [eg for eg in sample.examples if not any(eg is one for one in batch)]
    docs = [eg.reference for eg in [*batch, *others]]
    path = str(folder / "sample.spacy")
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    config = plan.config.copy()
    train, dev = plan.training["train_corpus"], plan.training["dev_corpus"]
    gold = bool(dot_to_object(config, train).get("gold_preproc", False))
    reader = {"@readers": "spacy.Corpus.v1", "path": path, "gold_preproc": gold}
    for place in (train, dev):
        set_dot_to_object(config, place, reader)
    config.to_disk(folder / CONFIG)


def start_training(folder: Path) -> tuple[dict[str, EmbedderShim], list[Finding]]:
    """Initialise the pipeline of a trial. Returns its encoders by name; none where it fails."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            nlp = init_nlp(load_config(folder / CONFIG))
            for shim in name_encoders(nlp).values():
                shim.take_pretrained()  # what is frozen was not initialised
        except Exception as reason:  # loaders and callbacks may be anybody's
            advice = "Correct this first: without it pieces and memory cannot be examined."
            return {}, [error(f"Training would fail before its first step: {reason}", advice)]
    texts = dict.fromkeys(str(one.message) for one in caught)
    return name_encoders(nlp), [warning(text) for text in texts if text.startswith("[W")]


def measure_memory(
    folder: Path, batch: Sequence[Example], gpu_id: int
) -> tuple[dict[str, float], Finding]:
    """Run the first step of a trial. Returns megabytes, and what they mean.

    batch: the documents of the step, the first ones of the trial.
    """
    n_tokens = sum(len(eg.predicted) for eg in batch)
    where = "the CPU" if gpu_id < 0 else f"GPU {gpu_id}"
    what = f"the largest batch of the sample ({len(batch)} documents, {n_tokens:,} tokens)"
    advice = (
        "Lower the size of training.batcher or batch_pieces of the encoder, or raise "
        "accumulate_gradient; checkpoint_gradients of the encoder saves memory too."
    )
    found = run_in_process(folder, len(batch), gpu_id)
    if "error" in found:
        return {}, error(
            f"Training would fail in its first step: {found['error']}",
            "Correct this first: `spacy train` would stop here.",
        )
    if "failure" in found:
        message = f"Memory could not be measured on {where} with {what}: {found['failure']}."
        return {}, warning(message, advice)
    if not found["update"]:  # on Windows
        return {}, ok(f"An update with {what} ran; memory is not measured on this system")
    held = "Python, its libraries and weights" if gpu_id < 0 else "weights"
    message = (
        f"An update on {where} with {what} took {found['update']:,.0f} MB, of them "
        f"{found['start']:,.0f} MB for {held}"
    )
    figures = {**found, "documents": len(batch), "tokens": n_tokens, "gpu_id": gpu_id}
    return figures, ok(message) if found["update"] < MUCH else warning(f"{message}.", advice)


def run_in_process(folder: Path, n_docs: int, gpu_id: int) -> dict[str, Any]:
    """What `write_result` finds in a process of its own; "failure" where that did not end well."""
    # With -m Python would import what lies in the working directory; here only what we import too.
    path = [place for place in sys.path if place]
    program = f"import sys; sys.path = {path}; from {__name__} import write_result; "
    program += f"from pathlib import Path; write_result(Path({str(folder)!r}), {n_docs}, {gpu_id})"
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"failure": f"it took more than {TIMEOUT} seconds"}
    if (folder / RESULT).exists():
        found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf8"))
        return found
    code = finished.returncode
    last_words = " ".join(finished.stderr.split()[-30:])
    reason = "memory was probably not enough" if code in (-9, 137) else last_words
    return {"failure": f"the process ended with code {code}: {reason}"}


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


def write_result(folder: Path, n_docs: int, gpu_id: int) -> None:
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
