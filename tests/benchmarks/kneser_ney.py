"""What a 5-gram model of the same text predicts of the text that a biLM is evaluated on.

    python -m tests.benchmarks.kneser_ney RUN [--max-words N] [--max-sentences 1]
        [--text FILE] [--output FILE]

RUN is the folder of a run of `ctxemb pretrain`, from which the text, its tokens, the vocabulary
and the boundaries come, so both models predict the same words: each word and the boundary after
the last one, going forward, and the boundary before the first one, going backward; what is not in
the vocabulary is <UNK> for both. (The biLM's softmax has one word more, the boundary at which a
text begins, which never follows.)

The n-gram model is trained on the texts that the biLM has read first, `--max-words` of them, or on
all. As for the biLM these are 1 to `max_sentences` sentences of a document between two boundaries;
the held-out text has a boundary between any two sentences, so `--max-sentences 1` is the easier
text for a model of n-grams, and the harder bar for a biLM.
"""

import json
import math
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import typer

from spacy_ctxemb.objectives.bilm_loss import BEGIN, END, UNKNOWN
from spacy_ctxemb.pretraining.tasks.bilm.batches import DIRECTIONS, Units, make_units
from spacy_ctxemb.pretraining.text.shuffle import BlockShuffle

from .ngram_model import Ints, KneserNey, Words
from .pretrained_runs import Run, number_words


def main(
    folder: Path = typer.Argument(..., metavar="RUN", help="Folder of a run", exists=True),
    order: int = typer.Option(5, help="Words of the longest n-grams", min=2),
    max_words: int | None = typer.Option(None, help="Read first by the biLM; all by default"),
    max_sentences: int | None = typer.Option(None, help="Between boundaries; by default the run's"),
    text: Path | None = typer.Option(None, help="Other held-out text", exists=True),
    layout: str = typer.Option("sentences", help="Of that text: sentences or documents a line"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Perplexity of a Kneser-Ney model on a run's held-out text."""
    run = Run(folder)
    if max_sentences is None:
        max_sentences = run.objective["max_sentences"]
    with tempfile.TemporaryDirectory() as temporary:
        held_out = run.open_held_out(text, layout, Path(temporary))
        held_out_words = number_words(held_out, run.vocabulary)
        held_out_units = Units(np.asarray(held_out.sentence_ends))
    train_words = number_words(run.train, run.vocabulary)
    units = make_units(run.train, max_sentences=max_sentences, seed=run.settings.get("seed", 0))
    scores: dict[str, Any] = {}
    for name, direction in DIRECTIONS.items():
        start = time.perf_counter()
        boundaries = run.vocabulary.index(BEGIN), run.vocabulary.index(END)
        chosen = choose_units(units, max_words, seed=find_seed(run, direction))
        train = lay_out(train_words, units, boundaries, chosen, is_backward=bool(direction))
        model = KneserNey(
            train,
            n_words=len(run.vocabulary),
            begin=boundaries[direction],
            order=order,
        )
        n_train = int((train.depth > 0).sum())
        del train
        known = lay_out(held_out_words, held_out_units, boundaries, is_backward=bool(direction))
        scores[name] = {
            "perplexity": math.exp(compute_nll(model, known)),
            "targets": int((known.depth > 0).sum()),
            "trained on": n_train,
            "n-grams": model.sizes,
            "discounts": [[round(d, 4) for d in ds] for ds in model.discounts],
            "seconds": round(time.perf_counter() - start, 1),
        }
        del model
    mean = np.mean([math.log(scores[name]["perplexity"]) for name in DIRECTIONS])
    result = {
        "run": str(folder),
        "order": order,
        "max sentences": max_sentences,
        "vocabulary": len(run.vocabulary),
        "unknown": round(float((held_out_words == run.vocabulary.index(UNKNOWN)).mean()), 4),
        **scores,
        "perplexity": math.exp(mean),
        "MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=2))
    if output is not None:
        output.write_text(json.dumps(result, indent=2), encoding="utf8")


def find_seed(run: Run, direction: int) -> int:
    """Of the order in which a direction reads; see `BiLMTask.open_stream`."""
    seed: int = run.settings.get("seed", 0)
    return 2 * seed + direction


def choose_units(units: Units, max_words: int | None, *, seed: int) -> Ints:
    """Those read first that have max_words targets together; all of them where that is None."""
    lengths = np.diff(units.ends, prepend=0) + 1  # a boundary is a target too
    if max_words is None or max_words >= lengths.sum():
        return np.arange(len(units))
    shuffled = BlockShuffle(len(units), seed=seed, epoch=0)
    chosen = []
    n = 0
    while n < max_words:
        chosen.append(shuffled(len(chosen)))
        n += int(lengths[chosen[-1]])
    return np.sort(np.array(chosen))


def lay_out(
    words: Ints,
    units: Units,
    boundaries: tuple[int, int],
    chosen: Ints | None = None,
    *,
    is_backward: bool,
) -> Words:
    """Units between boundaries, in the order of reading. words: (P,). chosen: which; all if None.

    boundaries: at the beginning and the end of the text, the latter read first if is_backward.
    """
    is_chosen = np.full(len(units), chosen is None)
    is_chosen[chosen if chosen is not None else []] = True
    lengths = np.diff(units.ends, prepend=0)
    inner = words[np.repeat(is_chosen, lengths)]
    sizes = lengths[is_chosen] + 2
    ends = np.cumsum(sizes)
    ids = np.empty(int(sizes.sum()), dtype=np.int32)
    is_word = np.ones(len(ids), dtype=bool)
    is_word[ends - sizes] = is_word[ends - 1] = False
    ids[is_word] = inner
    ids[ends - sizes], ids[ends - 1] = boundaries
    depth = (np.arange(len(ids)) - np.repeat(ends - sizes, sizes)).astype(np.int32)
    if is_backward:
        ids, depth = ids[::-1], (np.repeat(sizes, sizes) - 1 - depth)[::-1].astype(np.int32)
    return Words(ids, depth)


def compute_nll(model: KneserNey, text: Words) -> float:
    """The mean over targets, in nats."""
    histories = text.histories(len(model.discounts))
    return -float(np.log(model.probabilities(histories, text.ids[text.targets()])).mean())


if __name__ == "__main__":
    typer.run(main)
