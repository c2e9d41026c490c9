"""A published BERT fine-tuned here and with spacy-transformers: scores, speed and memory.

    python -m tests.benchmarks.finetuning_peers CHECKPOINT --data FOLDER
        --spacy-transformers PYTHON [--datasets wnut17,ag_news] [--documents 4000]
        [--steps 500] [--batch 200] [--rate 1e-4] [--seeds 0,1,2] [--threads 1]
        [--output metrics/finetuning_peers]

PYTHON is that of an environment with spacy-transformers; this package is not needed there. The two
programs take turns, seed by seed, each in processes of its own. A cell that is finished is not
run again. Run it in the folder of project.yml.

Both train all of the model with the same data, steps, batches, seeds, head, pooling (the mean of
a token's pieces) and Adam, with the same warm-up and decay. What differs between the programs by
default is off in both: averages of weights, which spacy-transformers does not have; weight decay,
from which biases and norms are spared here alone; and clipping, of the whole gradient here and of
each parameter there. What stays different: random numbers; spans there of 128 tokens, every 96,
and windows here of 510 pieces, which matters for texts of more than 128 tokens; and batches are
padded there.

For NER both programs begin with the same head, which was trained on the frozen encoder, one for
each seed. With a new head and one rate for all, both programs found no entity at all in so few
steps.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from .accuracy import numbers, pick, prepare_data, say
from .accuracy_data import DATA_SETS
from .accuracy_runs import Failed, read_json, run_job, run_once, write_json
from .finetuning_jobs import ENCODER, OURS, THEIRS, make_job, train_head

#: Headings and keys.
COLUMNS = (
    ("training words/s", "train_words_per_second"),
    ("training words/s of CPU", "train_words_per_cpu_second"),
    ("prediction words/s", "predict_words_per_second"),
    ("training MB", "train_megabytes"),
    ("prediction MB", "predict_megabytes"),
)


def main(
    checkpoint: Path = typer.Argument(..., help="Folder of transformers' files", exists=True),
    data: Path = typer.Option(Path("assets"), help="Folder of ner/wnut17 and textcat/ag_news"),
    spacy_transformers: str = typer.Option(..., help="Python that has spacy-transformers"),
    datasets: str = typer.Option("wnut17,ag_news", help="Data sets"),
    documents: int = typer.Option(4000, help="Training examples, 0 for all"),
    steps: int = typer.Option(500, help="Steps"),
    batch: int = typer.Option(200, help="Words in a step"),
    rate: float = typer.Option(1e-4, help="Learning rate after the warm-up, a tenth of all steps"),
    seeds: str = typer.Option("0,1,2", help="Seeds"),
    threads: int = typer.Option(1, help="Threads of each process"),
    output: Path = typer.Option(Path("metrics/finetuning_peers"), help="Folder for results"),
) -> None:
    """Run what is missing, and print a table."""
    # Vectors of texts are of no use here.
    command = ["ctxemb", "import", "bert", str(checkpoint), str(ENCODER), "--no-pooling"]
    run_once([command], [checkpoint], ENCODER)
    settings = {
        "training.max_steps": steps,
        "training.eval_frequency": max(steps // 2, 1),
        "training.batcher.size": batch,
        "training.optimizer.learn_rate.initial_rate": rate,
        "training.optimizer.learn_rate.warmup_steps": steps // 10,
        "corpora.train.limit": documents,
    }
    cells = []
    for data_set in prepare_data(pick(DATA_SETS, datasets, "datasets"), data):
        for seed in numbers(seeds):
            if data_set.task == "ner":
                train_head(data_set, seed, documents)
            programs = [(OURS, ""), (THEIRS, spacy_transformers)]
            # The first of two has no advantage that way.
            for program, python in programs[:: -1 if seed % 2 else 1]:
                name = f"{data_set.name}/{program}-seed{seed}"
                job = make_job(program, data_set, checkpoint, {**settings, "system.seed": seed})
                job = job._replace(python=python or job.python)
                path = output / "cells" / f"{name}.json"
                try:
                    is_new = run_job(job, path, threads=threads)
                except Failed as error:
                    raise SystemExit(str(error)) from None
                say(f"{name}: {'done' if is_new else 'was there'}")
                cells.append(read_json(path))
    rows = list(summarise(cells))
    write_json(output / "table.json", {"rows": rows})
    print(render(rows))


def summarise(cells: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each data set and program, over the seeds."""
    for name in dict.fromkeys(cell["data_set"] for cell in cells):
        for program in (OURS, THEIRS):
            same = [c for c in cells if (c["data_set"], c["program"]) == (name, program)]
            scores = [100 * cell["score"] for cell in same]
            yield {
                "data_set": name,
                "program": program,
                "seeds": [cell["seed"] for cell in same],
                "score": round(statistics.fmean(scores), 2),
                "spread": round(statistics.stdev(scores), 2) if len(scores) > 1 else 0.0,
                **{key: statistics.median(c[key] or 0 for c in same) for _, key in COLUMNS},
                "commands": same[0]["commands"],
            }


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean score ± standard deviation, medians of all else."""
    headings = ["data", "program", "score", *(heading for heading, _ in COLUMNS)]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for row in rows:
        figures = [f"{row['score']:.1f} ± {row['spread']:.1f}"]
        figures += [f"{row[key]:,.0f}" for _, key in COLUMNS]
        lines.append(f"| {' | '.join([row['data_set'], row['program'], *figures])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
