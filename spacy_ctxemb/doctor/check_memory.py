"""How much memory does training take? Measured in one step."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy.training import Example

from . import run_first_step
from .findings import Finding, error, ok, warning
from .run_first_step import RESULT

#: Megabytes that are worth a warning: few GPUs have more.
MUCH = 16_000

#: Seconds after which the step is given up.
TIMEOUT = 300

ADVICE = (
    "Lower the size of training.batcher or batch_pieces of the encoder, or raise "
    "accumulate_gradient; checkpoint_gradients of the encoder saves memory too."
)


def measure_memory(
    folder: Path, batch: Sequence[Example], gpu_id: int
) -> tuple[dict[str, float], Finding]:
    """Run the first step of a trial (see write_trial). Returns megabytes, and what they mean.

    batch: the documents of the step, the first ones of the trial.
    """
    n_tokens = sum(len(eg.predicted) for eg in batch)
    where = "the CPU" if gpu_id < 0 else f"GPU {gpu_id}"
    what = f"the largest batch of the sample ({len(batch)} documents, {n_tokens:,} tokens)"
    found = run_in_process(folder, len(batch), gpu_id)
    if "error" in found:
        advice = "Correct this first: `spacy train` would stop here."
        return {}, error(f"Training would fail in its first step: {found['error']}", advice)
    if "failure" in found:
        message = f"Memory could not be measured on {where} with {what}: {found['failure']}."
        return {}, warning(message, ADVICE)
    if not found["update"]:  # on Windows
        return {}, ok(f"An update with {what} ran; memory is not measured on this system")
    message = (
        f"An update on {where} with {what} took {found['update']:,.0f} MB, of them "
        f"{found['start']:,.0f} MB for "
        + ("Python, its libraries and weights" if gpu_id < 0 else "weights")
    )
    figures = {**found, "documents": len(batch), "tokens": n_tokens, "gpu_id": gpu_id}
    return figures, ok(message) if found["update"] < MUCH else warning(f"{message}.", ADVICE)


def run_in_process(folder: Path, n_docs: int, gpu_id: int) -> dict[str, Any]:
    """What run_first_step.py finds; "failure" where it was killed or took too long."""
    arguments = ["-m", run_first_step.__name__, str(folder), str(n_docs), str(gpu_id)]
    command = [sys.executable, "-W", "ignore", *arguments]
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"it took more than {TIMEOUT} seconds"}
    if (folder / RESULT).exists():
        found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf8"))
        return found
    code = finished.returncode
    last_words = " ".join(finished.stderr.split()[-30:])
    reason = "memory was probably not enough" if code in (-9, 137) else last_words
    return {"failure": f"the process ended with code {code}: {reason}"}
