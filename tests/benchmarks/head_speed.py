"""How fast a published head finds entities or sorts texts, here and in transformers' pipelines.

    python -m tests.benchmarks.head_speed --text FILE [--words 4000] [--rounds 3] [--threads 1]

A model of the size of all-MiniLM-L6-v2 with a head of random weights is saved by transformers, and
loaded by both. They get the same texts in turns, transformers in batches of 32: short ones of one
to three sentences, and long ones of 300 words, since its pipelines cut what is longer. A pipeline
of spaCy is timed as a whole, its tokenizer included. Printed are words a second, medians of the
rounds; times the speed of transformers; and whether both found the same. Where the package
spacy-huggingface-pipelines is installed, it takes part too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spacy
import torch
import typer
from spacy.language import Language

import spacy_ctxemb
from spacy_ctxemb.encoders.kernels.linear import has_bf16_products
from spacy_ctxemb.pretrained.minilm_from_pip import find_folder
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from .transformer_texts import count_words, cut_document, cut_sentences, read_documents, take_words

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"]

LONG = 300
BATCH = 32

#: Another package that runs transformers' pipelines in spaCy. By task, its factory and settings.
WRAPPER = "spacy-huggingface-pipelines"
WRAPPERS: dict[str, tuple[str, dict[str, Any]]] = {
    "entities": (
        "hf_token_pipe",
        {
            "aggregation_strategy": "simple",
            "alignment_mode": "expand",
            "kwargs": {"batch_size": BATCH},
        },
    ),
    "texts": ("hf_text_pipe", {"kwargs": {"max_length": 512}}),
}

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

Run = Callable[[Sequence[str]], list[Any]]


def main(
    text: Path = typer.Option(..., help="Text, a sentence a line, blank lines between documents"),
    words: int = typer.Option(4000, help="Words of each set of texts"),
    rounds: int = typer.Option(3, help="Alternating rounds"),
    threads: int = typer.Option(1, help="Threads of PyTorch"),
) -> None:
    torch.set_num_threads(threads)
    sets = read_sets(text, words)
    own = "here, fp32 | times | here, bf16 | times"
    print(f"| task | texts | transformers | {WRAPPER} | {own} | same |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            save(task, Path(folder))
            contestants, ours = build_contestants(task, folder)
        for name, texts in sets.items():
            expected = contestants["transformers"](texts[:BATCH])
            found = find(task, ours["fp32"], texts[:BATCH])
            n_same = sum(a == b for a, b in zip(found, expected, strict=True))
            rates = measure(contestants, texts, rounds)
            cells = [f"{rates['transformers']:,.0f}"]
            cells.append(f"{rates[WRAPPER]:,.0f}" if WRAPPER in rates else "")
            for title in ("fp32", "bf16"):
                if title in rates:
                    ratio = rates[title] / rates["transformers"]
                    cells += [f"{rates[title]:,.0f}", f"{ratio:.1f}"]
                else:
                    cells += ["", ""]
            print(
                f"| {task} | {name} | {' | '.join(cells)} | {n_same} of {len(found)} |", flush=True
            )


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


def build_contestants(task: str, folder: str) -> tuple[dict[str, Run], dict[str, Language]]:
    import transformers

    _, name, settings = TASKS[task]
    theirs = transformers.pipeline(name, model=folder, tokenizer=folder, **settings)
    precisions = ["fp32", *(["bf16"] if has_bf16_products() else [])]
    own = {precision: build_own(folder, precision) for precision in precisions}
    contestants: dict[str, Run] = {
        "transformers": lambda texts: read_theirs(task, theirs(list(texts), batch_size=BATCH)),
        **{title: make_run(nlp) for title, nlp in own.items()},
    }
    if find_spec(WRAPPER.replace("-", "_")) is not None:
        contestants[WRAPPER] = make_run(build_wrapper(task, folder))
    return contestants, own


def build_wrapper(task: str, folder: str) -> Language:
    nlp = spacy.blank("en")
    factory, settings = WRAPPERS[task]
    nlp.add_pipe(factory, config={"model": folder, **settings})
    nlp.batch_size = BATCH
    return nlp


def build_own(folder: str, precision: str) -> Language:
    nlp = spacy_ctxemb.load(folder)
    pipe: Any = nlp.get_pipe("ctxemb")
    get_shim(pipe.model).embedder.encoder.set_precision(precision)
    return nlp


def make_run(nlp: Language) -> Run:
    return lambda texts: list(nlp.pipe(texts))


def find(task: str, nlp: Language, texts: Sequence[str]) -> list[Any]:
    """What the head finds, by characters: entities of random weights begin within tokens."""
    if task == "texts":
        return [max(doc.cats, key=doc.cats.__getitem__) for doc in nlp.pipe(texts)]
    docs = list(nlp.pipe(texts, disable=["ctxemb_ner"]))
    ner: Any = nlp.get_pipe("ctxemb_ner")
    return [[(e.start, e.end, e.label) for e in some] for some in ner.predict(docs)]


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
