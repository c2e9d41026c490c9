"""What a process holds after many short texts, and after one long one.

    python -m tests.benchmarks.memory_growth texts [--n 200000] [--model english|tiny|none]
        [--new-words 0.0] [--zone] [--trim]
    python -m tests.benchmarks.memory_growth document [--n 1000000] [--model english]

`texts` sends texts of 3 to 15 words through nlp.pipe and drops the Docs. Each line has the resident
megabytes, those that malloc has handed out and those that it keeps (glibc alone), the strings and
lexemes of the vocabulary, and the objects that Python's collector knows. --new-words is the share
of words that no text had before; --zone works in an nlp.memory_zone() of 1,000 texts each; --trim
calls malloc_trim before each line. Run it with ONEDNN_PRIMITIVE_CACHE_CAPACITY=16 in the
environment to see what oneDNN's programs take.

`document` sends one Doc through the component, and has the most that was held besides the Doc
itself, and what of it is the Doc's vectors.
"""

import argparse
import ctypes
import gc
import random
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

#: Different words, and texts between two lines at least.
N_WORDS, CHUNK = 10_000, 1000

TINY = {"width": 64, "n_blocks": 2, "n_heads": 2, "feedforward_width": 128}


class MallocInfo(ctypes.Structure):
    """mallinfo2 of glibc 2.33."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    nlp = build(arguments.model)
    if arguments.task == "texts":
        send_texts(nlp, arguments)
    else:
        send_document(nlp, arguments.n or 1_000_000)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["texts", "document"])
    parser.add_argument("--n", type=int, help="texts, or tokens of the document")
    parser.add_argument("--model", default="english", help="english, tiny, none, or a pipeline")
    parser.add_argument("--new-words", type=float, default=0.0)
    parser.add_argument("--zone", action="store_true")
    parser.add_argument("--trim", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def build(model: str) -> Language:
    if model not in ("english", "tiny", "none"):
        return spacy.load(model)
    nlp = spacy.blank("en")
    if model == "english":
        nlp.add_pipe("ctxemb")
    elif model == "tiny":
        english = spacy.blank("en")
        english.add_pipe("ctxemb")
        config = english.get_pipe_config("ctxemb")["model"]
        pipe: Any = english.get_pipe("ctxemb")
        english("a")  # which loads the vocabulary
        config = {**config, "encoder": {**config["encoder"], **TINY}}
        nlp.add_pipe("ctxemb", config={"model": config, "pretrained": None})
        tiny: Any = nlp.get_pipe("ctxemb")
        tiny.model.shims[0].pieces = pipe.model.shims[0].pieces
        tiny.model.initialize()
    nlp("one")
    return nlp


def send_texts(nlp: Language, arguments: argparse.Namespace) -> None:
    print("texts\tresident\tin use\tkept\tstrings\tlexemes\tobjects\tseconds")
    texts, start = make_texts(arguments.new_words), time.perf_counter()
    n = arguments.n or 200_000
    for done in range(0, n + 1, CHUNK):
        if done % max(n // 10 // CHUNK * CHUNK, CHUNK) == 0:
            print_line(nlp, done, time.perf_counter() - start, trim=arguments.trim)
        chunk = [next(texts) for _ in range(CHUNK)]
        with nlp.memory_zone() if arguments.zone else nullcontext():
            for _ in nlp.pipe(chunk):
                pass


def make_texts(share: float) -> Iterator[str]:
    """Texts without end. share: of words that are new."""
    random.seed(0)
    words, numbers = [spell(i) for i in range(N_WORDS)], count(N_WORDS)
    while True:
        n = random.randint(3, 15)
        yield " ".join(
            spell(next(numbers)) if random.random() < share else random.choice(words)
            for _ in range(n)
        )


def spell(n: int) -> str:
    """A word for each number."""
    letters = ""
    while n or not letters:
        n, rest = divmod(n, 25)
        letters += chr(ord("a") + rest)
    return letters


def print_line(nlp: Language, done: int, seconds: float, *, trim: bool) -> None:
    gc.collect()
    n_objects = len(gc.get_objects())
    libc = ctypes.CDLL(None)
    if trim:
        libc.malloc_trim(0)
    libc.mallinfo2.restype = MallocInfo
    info = libc.mallinfo2()
    sizes = read_status("VmRSS"), info.uordblks + info.hblkhd, info.fordblks
    print(
        done,
        *(f"{size / 1e6:.0f}" for size in sizes),
        *(len(nlp.vocab.strings), len(nlp.vocab), n_objects, f"{seconds:.0f}"),
        sep="\t",
        flush=True,
    )


def send_document(nlp: Language, n_tokens: int) -> None:
    words = list(map(spell, range(N_WORDS)))
    random.seed(0)
    doc = Doc(nlp.vocab, words=random.choices(words, k=n_tokens))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf8")  # forgets the peak
    before, start = read_status("VmHWM"), time.perf_counter()
    pipe: Any = nlp.get_pipe("ctxemb")
    pipe(doc)
    grown, n_pieces = read_status("VmHWM") - before, pipe.counts["pieces"]
    print(f"{n_tokens:,} tokens, {n_pieces:,} pieces, {time.perf_counter() - start:.0f} s")
    print(f"grown by at most {grown / 1e6:,.0f} MB; vectors {doc.tensor.nbytes / 1e6:,.0f} MB")
    print(f"besides vectors {(grown - doc.tensor.nbytes) / n_tokens:,.0f} bytes a token")


def read_status(name: str) -> int:
    """Bytes, as Linux has them of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
