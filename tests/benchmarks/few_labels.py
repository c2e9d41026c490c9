"""Categories from few labels: this package's fitted head beside spaCy's networks and SetFit.

    python -m tests.benchmarks.few_labels --data FOLDER --split test --output metrics/few_labels
        [--rows "fitted english,fitted minilm"] [--datasets ag_news,trec_qc,sentence_polarity]
        [--each 8,16,64] [--seeds 0,1,2,3,4] [--setfit PYTHON]

FOLDER: of ag_news, trec_qc and sentence_polarity, each with train, dev and test as .jsonl.gz with
text and label. PYTHON: of an environment with setfit, for the rows "setfit minilm". A cell that
is in the output is not computed again, so that rows may be run one by one; the table shows all.

The examples of a seed are the same for all rows. Of AG News only rows with a title are taken,
since all of its test set have one. `--split dev` is for choosing settings; the test sets were read
once, with the settings that dev sets had chosen. Rows:

    fitted english, fitted minilm      init-config --task textcat --few, in Python
    trained english, trained minilm    init-config --task textcat --freeze: spaCy's textcat
    hashembedcnn                       spaCy's textcat with its own encoder
    setfit minilm                      SetFit with its defaults, 1 epoch of pairs, 20 a text

The networks have 200 steps of 32 texts; accuracy is that of the last step, as none of these
contestants gets a development set.
"""

import gzip
import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config

from spacy_ctxemb.config_writer.check_options import Choices
from spacy_ctxemb.config_writer.recipes import FROZEN_RATE
from spacy_ctxemb.config_writer.render import build_config
from spacy_ctxemb.pretrained.minilm_from_pip import find_folder

Row = dict[str, str]

#: Steps of spaCy's networks, and texts in a batch.
N_STEPS, N_BATCH = 200, 32

SETFIT = Path(__file__).with_name("few_labels_setfit.py")


def main(
    data: Path = typer.Option(..., help="Folder of the data sets", exists=True),
    split: str = typer.Option("dev", help="What is scored: dev or test"),
    output: Path = typer.Option(Path("metrics/few_labels"), help="Folder for results"),
    rows: str = typer.Option("fitted english,fitted minilm", help="Rows to compute"),
    datasets: str = typer.Option("ag_news,trec_qc,sentence_polarity", help="Data sets"),
    each: str = typer.Option("8,16,64", help="Examples of each label"),
    seeds: str = typer.Option("0,1,2,3,4", help="Seeds"),
    setfit: str = typer.Option("", help="Python that has setfit"),
) -> None:
    """Compute what is missing, and print a table of all cells in the output."""
    output.mkdir(parents=True, exist_ok=True)
    for row in filter(None, rows.split(",")):
        for name in datasets.split(","):
            train, test = read_rows(data / name, "train"), read_rows(data / name, split)
            run: Callable[..., tuple[float, float]] | None = None
            for n, seed in [(int(n), int(s)) for n in each.split(",") for s in seeds.split(",")]:
                path = output / f"{split} {name} {row} {n} {seed}.json"
                if path.exists():
                    continue
                run = run or prepare(row, test, setfit)
                accuracy, seconds = run(sample(train, n, seed), seed)
                cell = {"data": name, "row": row, "each": n, "seed": seed, "split": split}
                cell |= {"accuracy": accuracy, "seconds": seconds}
                path.write_text(json.dumps(cell), encoding="utf8")
                print(json.dumps(cell), flush=True)
    print(render([json.loads(path.read_text()) for path in sorted(output.glob(f"{split} *"))]))


def read_rows(folder: Path, part: str) -> list[Row]:
    with gzip.open(folder / f"{part}.jsonl.gz", "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if row.get("form", "full") == "full"]


def sample(rows: Sequence[Row], n: int, seed: int) -> list[Row]:
    """So many rows of each label; fewer rows are the first of more."""
    generator, by_label = np.random.default_rng(seed), dict[str, list[Row]]()
    for row in rows:
        by_label.setdefault(row["label"], []).append(row)
    chosen = [
        (by_label[label], generator.permutation(len(by_label[label]))) for label in sorted(by_label)
    ]
    return [own[i] for own, order in chosen for i in order[:n]]


def prepare(row: str, test: list[Row], setfit: str) -> Callable[..., tuple[float, float]]:
    """What a row does with examples and a seed: accuracy, and seconds of CPU to train."""
    kind, _, encoder = row.partition(" ")
    if kind == "setfit":
        return lambda train, seed: run_setfit(setfit, train, test, seed)
    if kind == "hashembedcnn":
        return lambda train, seed: train_network(build_hashembedcnn(), train, test, seed)
    nlp = build(encoder, few=kind == "fitted", freeze=kind == "trained")
    encoded = encode(nlp, test)
    if kind == "fitted":
        return lambda train, seed: fit(nlp, train, test, encoded)

    def train_frozen(train: list[Row], seed: int) -> tuple[float, float]:
        return train_network(build(encoder, freeze=True), train, test, seed, encoded)

    return train_frozen


def build(encoder: str, **choices: Any) -> Language:
    return load_model_from_config(build_config(Choices(["textcat"], encoder, **choices)).config)


def build_hashembedcnn() -> Language:
    """spaCy's textcat as for small data: the mean of HashEmbedCNN's vectors, and one layer."""
    tok2vec = {
        **{"@architectures": "spacy.HashEmbedCNN.v2", "width": 96, "depth": 4},
        **{"embed_size": 2000, "window_size": 1, "maxout_pieces": 3},
        **{"subword_features": True, "pretrained_vectors": None},
    }
    reduce = {f"use_reduce_{how}": how == "mean" for how in ("first", "last", "max", "mean")}
    model = {"@architectures": "spacy.TextCatReduce.v1", "exclusive_classes": True, **reduce}
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat", config={"model": {**model, "tok2vec": tok2vec}})
    return nlp


def encode(nlp: Language, rows: list[Row]) -> list[Doc]:
    """Docs with what the head reads."""
    docs = [nlp.make_doc(row["text"]) for row in rows]
    return list(nlp.get_pipe("ctxemb").pipe(docs, batch_size=64))


def fit(
    nlp: Language, train: list[Row], test: list[Row], encoded: list[Doc]
) -> tuple[float, float]:
    begin = time.process_time()
    pipe: Any = nlp.get_pipe("textcat")
    pipe.initialize(lambda: make_examples(nlp, train), nlp=nlp, fit=True)
    seconds = time.process_time() - begin
    found = [doc.copy() for doc in encoded]
    pipe.set_annotations(found, pipe.predict(found))
    return compute_accuracy(found, test), seconds


def train_network(
    nlp: Language,
    train: list[Row],
    test: list[Row],
    seed: int,
    encoded: Sequence[Doc] | None = None,
) -> tuple[float, float]:
    """Train spaCy's textcat for N_STEPS; its encoder runs once for each text if it is frozen.

    encoded: of the test, where the encoder is frozen.
    """
    begin = time.process_time()
    fix_random_seed(seed)
    examples = make_examples(nlp, train)
    if "ctxemb" in nlp.pipe_names:
        nlp.get_pipe("textcat").initialize(lambda: examples, nlp=nlp)
        for _ in nlp.get_pipe("ctxemb").pipe((eg.predicted for eg in examples), batch_size=64):
            pass
        optimizer = nlp.resume_training()
    else:
        optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = FROZEN_RATE
    order = random.Random(seed)
    for _ in range(N_STEPS):
        batch = order.sample(examples, min(N_BATCH, len(examples)))
        nlp.update(batch, drop=0.1, sgd=optimizer, exclude=["ctxemb"])
    seconds = time.process_time() - begin
    if encoded is None:
        found = list(nlp.pipe([row["text"] for row in test], batch_size=64))
    else:
        found = [doc.copy() for doc in encoded]
        for _ in nlp.get_pipe("textcat").pipe(found, batch_size=64):
            pass
    return compute_accuracy(found, test), seconds


def make_examples(nlp: Language, rows: Sequence[Row]) -> list[Example]:
    labels = sorted({row["label"] for row in rows})
    return [
        Example.from_dict(
            nlp.make_doc(row["text"]),
            {"cats": {label: float(label == row["label"]) for label in labels}},
        )
        for row in rows
    ]


def compute_accuracy(docs: Sequence[Any], rows: Sequence[Row]) -> float:
    best = [max(doc.cats, key=doc.cats.get) for doc in docs]
    return statistics.fmean(a == row["label"] for a, row in zip(best, rows, strict=True))


def run_setfit(python: str, train: list[Row], test: list[Row], seed: int) -> tuple[float, float]:
    job = {"train": train, "test": test, "seed": seed, "model": str(find_folder())}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [python, str(SETFIT)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return found["accuracy"], found["seconds"]


def render(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each contestant, mean ± standard deviation, and the median of seconds."""
    columns = list(dict.fromkeys((cell["data"], cell["each"]) for cell in cells))
    columns.sort()
    titles = [f"{data}, {n}" for data, n in columns]
    lines = [f"| | {' | '.join(titles)} | seconds |", "|" + "---|" * (len(columns) + 2)]
    for row in sorted({cell["row"] for cell in cells}):
        own = [cell for cell in cells if cell["row"] == row]
        found = [
            [100 * cell["accuracy"] for cell in own if (cell["data"], cell["each"]) == column]
            for column in columns
        ]
        seconds = statistics.median(cell["seconds"] for cell in own)
        lines.append(f"| {row} | {' | '.join(show(found))} | {seconds:.1f} |")
    return "\n".join(lines)


def show(columns: Sequence[Sequence[float]]) -> Iterator[str]:
    for scores in columns:
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        yield f"{statistics.fmean(scores):.1f} ± {spread:.1f}" if scores else ""


if __name__ == "__main__":
    typer.run(main)
