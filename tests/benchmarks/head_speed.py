"""How fast a published head finds entities or sorts texts, here and in transformers' pipelines.

    python -m tests.benchmarks.head_speed --text FILE [--words 4000] [--rounds 3] [--threads 1]

A model of the size of all-MiniLM-L6-v2 with a head of random weights is saved by transformers, and
loaded by both. They get the same texts in turns, transformers in batches of 32: short ones of one
to three sentences, and long ones of 300 words, since its pipelines cut what is longer. A pipeline
of spaCy is timed as a whole, its tokenizer included. Printed are words a second, medians of the
rounds; times the speed of transformers; and whether both found the same.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import typer
from spacy.language import Language

import spacy_ctxemb
from spacy_ctxemb.encoders.kernels.linear import has_bf16_products
from spacy_ctxemb.pretrained.minilm_from_pip import find_folder
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from .transformer_texts import count_words, cut_document, cut_sentences, read_documents, take_words

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"]

#: By task: transformers' class, its pipeline, and the settings of that.
TASKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "entities": (
        "AutoModelForTokenClassification",
        "token-classification",
        {"aggregation_strategy": "simple"},
    ),
    "texts": (
        "AutoModelForSequenceClassification",
        "text-classification",
        {"truncation": True, "max_length": 512},
    ),
}
LONG = 300
BATCH = 32

Run = Callable[[Sequence[str]], list[Any]]


def main(
    text: Path = typer.Option(..., help="Text, a sentence a line, blank lines between documents"),
    words: int = typer.Option(4000, help="Words of each set of texts"),
    rounds: int = typer.Option(3, help="Alternating rounds"),
    threads: int = typer.Option(1, help="Threads of PyTorch"),
) -> None:
    torch.set_num_threads(threads)
    sets = read_sets(text, words)
    print("| task | texts | transformers | here, fp32 | times | here, bf16 | times | same |")
    print("|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            save(task, Path(folder))
            contestants = build_contestants(task, folder)
        for name, texts in sets.items():
            found = {title: run(texts[:BATCH]) for title, run in contestants.items()}  # warms up
            rates = measure(contestants, texts, rounds)
            cells = [f"{rates['transformers']:,.0f}"]
            for title in ("fp32", "bf16"):
                if title in rates:
                    ratio = rates[title] / rates["transformers"]
                    cells += [f"{rates[title]:,.0f}", f"{ratio:.1f}"]
                else:
                    cells += ["", ""]
            is_same = found["fp32"] == found["transformers"]
            print(f"| {task} | {name} | {' | '.join(cells)} | {is_same} |", flush=True)


def read_sets(text: Path, words: int) -> dict[str, list[str]]:
    docs = list(read_documents(text))
    short = (cut for doc in docs for cut in cut_sentences(doc))
    long = (cut_document(doc, LONG) for doc in docs)
    return {
        "short": take_words(short, words),
        "long": take_words((doc for doc in long if len(doc.split()) >= LONG), words),
    }


def save(task: str, folder: Path) -> None:
    """The weights of MiniLM, and a head of random ones."""
    import transformers

    source = find_folder()
    torch.manual_seed(0)
    model = getattr(transformers, TASKS[task][0]).from_pretrained(
        source, id2label=dict(enumerate(LABELS)), label2id={n: i for i, n in enumerate(LABELS)}
    )
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def build_contestants(task: str, folder: str) -> dict[str, Run]:
    import transformers

    _, name, settings = TASKS[task]
    theirs = transformers.pipeline(name, model=folder, tokenizer=folder, **settings)
    precisions = ["fp32", *(["bf16"] if has_bf16_products() else [])]
    own = {precision: build_own(folder, precision) for precision in precisions}
    return {
        "transformers": lambda texts: read_theirs(task, theirs(list(texts), batch_size=BATCH)),
        **{title: make_run(task, nlp) for title, nlp in own.items()},
    }


def build_own(folder: str, precision: str) -> Language:
    nlp = spacy_ctxemb.load(folder)
    pipe: Any = nlp.get_pipe("ctxemb")
    get_shim(pipe.model).embedder.encoder.set_precision(precision)
    return nlp


def make_run(task: str, nlp: Language) -> Run:
    def run(texts: Sequence[str]) -> list[Any]:
        docs = list(nlp.pipe(texts))
        if task == "texts":
            return [max(doc.cats, key=doc.cats.__getitem__) for doc in docs]
        return [[(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents] for doc in docs]

    return run


def read_theirs(task: str, found: list[Any]) -> list[Any]:
    if task == "texts":
        return [one["label"] for one in found]
    return [[(e["start"], e["end"], e["entity_group"]) for e in some] for some in found]


def measure(contestants: dict[str, Run], texts: Sequence[str], rounds: int) -> dict[str, float]:
    """Words a second of each, the median of rounds in which they take turns."""
    seconds: dict[str, list[float]] = {title: [] for title in contestants}
    for _ in range(rounds):
        for title, run in contestants.items():
            start = time.perf_counter()
            run(texts)
            seconds[title].append(time.perf_counter() - start)
    n_words = count_words(texts)
    return {title: n_words / statistics.median(values) for title, values in seconds.items()}


if __name__ == "__main__":
    typer.run(main)
