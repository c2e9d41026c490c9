"""Does training start, and how much memory does its largest batch take?

spaCy's own functions are run on the sample, with the loaders, callbacks and vocabularies that the
config names: `init_nlp` here, and one step in a process of its own.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import dot_to_object, load_config, set_dot_to_object

from ..thinc_model.embedder_shim import EmbedderShim
from . import run_first_step
from .build_components import Plan, name_encoders
from .findings import Finding, error, ok, warning
from .read_samples import Sample
from .run_first_step import CONFIG, RESULT

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
    """What run_first_step.py finds; "failure" where it was killed or took too long."""
    # With -m Python would import what lies in the working directory; here only what we import too.
    path = [place for place in sys.path if place]
    program = f"import sys; sys.path = {path}; from {run_first_step.__name__} import main; "
    program += f"from pathlib import Path; main(Path({str(folder)!r}), {n_docs}, {gpu_id})"
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
