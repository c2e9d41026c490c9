"""The perplexity of a pretrained biLM on held-out text, with carried states and without.

    python -m tests.benchmarks.heldout_perplexity RUN [--weights FILE_OR_CHECKPOINT]
        [--text FILE] [--device cuda] [--output FILE]

RUN is the folder of a run of `ctxemb pretrain`; the weights are its model-last.bin or, while it is
running, its last checkpoint. The softmax is full, in fp32. Each word of a sentence and the boundary
beyond it are predicted, in both directions, and all perplexities are of means over these targets:

    carried     the text is read in 32 stretches, each from the zero state, and states go on from
                one sentence to the next
    sentences   as pipelines read: each sentence from the zero state

Training logs the first one where the objective has `carries_state`, else the second one.
`perplexity` is that of the mean over both directions.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import typer

from spacy_ctxemb.pretraining.tasks.base import Data
from spacy_ctxemb.pretraining.tasks.bilm.task import BiLMTask, PretrainBiLM
from spacy_ctxemb.pretraining.training_loop import summarise

from .pretrained_runs import Loaded, Run, load_bilm

#: Nats and targets by direction.
Sums = dict[str, tuple[float, float]]

#: Words of each stretch that are read at a time; the result does not depend on it.
N_STEPS = 20


def main(
    folder: Path = typer.Argument(..., metavar="RUN", help="Folder of a run", exists=True),
    weights: Path | None = typer.Option(None, help="A model*.bin or checkpoint", exists=True),
    text: Path | None = typer.Option(None, help="Other held-out text", exists=True),
    layout: str = typer.Option("sentences", help="Of that text: sentences or documents a line"),
    device: str = typer.Option("cpu", help="cpu or cuda"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Perplexity of a biLM on a run's held-out text."""
    run = Run(folder)
    weights = weights or run.find_weights()
    with tempfile.TemporaryDirectory() as temporary:
        bilm = load_bilm(run, weights, run.open_held_out(text, layout, Path(temporary)))
        sums = {
            name: evaluate(bilm, carries_state=name == "carried", device=device)
            for name in ("carried", "sentences")
        }
    result: dict[str, Any] = {
        "run": str(folder),
        "weights": str(weights),
        "logged by training": "carried" if run.objective["carries_state"] else "sentences",
        "targets": int(sums["carried"]["forward"][1]),
        **{name: summarise(found) for name, found in sums.items()},
    }
    print(json.dumps(result, indent=2))
    if output is not None:
        output.write_text(json.dumps(result, indent=2), encoding="utf8")


def evaluate(bilm: Loaded, *, carries_state: bool, device: str = "cpu") -> Sums:
    """Nats and targets by direction. carries_state: see PretrainBiLM."""
    task = BiLMTask(
        bilm.encoder,
        bilm.objective,
        PretrainBiLM(n_rows=1, n_steps=N_STEPS, carries_state=carries_state),
        bilm.pieces,
        Data(bilm.text.store, bilm.text.store, seed=0),
    )
    task.to(device).eval()
    return task.evaluate(0, 1)


if __name__ == "__main__":
    typer.run(main)
