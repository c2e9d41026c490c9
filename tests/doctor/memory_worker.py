"""Measure the memory that an encoder takes in a process of its own: KIND WHAT, one JSON line."""

import json
import random
import sys

import spacy
import torch
from spacy.training import Example
from thinc.api import Adam

from spacy_ctxemb.config_writer.encoders import ARCHITECTURES, ENCODERS
from spacy_ctxemb.doctor.count_pieces import count_pieces
from spacy_ctxemb.doctor.how_much_memory import measure_load
from spacy_ctxemb.doctor.memory_estimate import estimate_prediction, estimate_update
from spacy_ctxemb.thinc_model.model import get_shim

N_DOCS, N_WORDS = 20, 100


def read_status(key):
    """Megabytes, of this process."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def build(kind):
    """A text classifier on one of the small encoders of `init-config`."""
    settings = ENCODERS[kind, True]
    pieces = {"@architectures": "spacy-ctxemb.CharacterPieces.v1"}
    if kind == "transformer":
        size = settings["vocab_size"]
        pieces = {"@architectures": "spacy-ctxemb.WordPieces.v1", "vocab_size": size}
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"}
    encoder = {"@architectures": ARCHITECTURES[kind], **settings}
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"model": {"encoder": encoder, "pieces": pieces, "mix": mix}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": settings["width"]}
    head = {"@architectures": "spacy.TextCatReduce.v1", "exclusive_classes": True}
    reduce = {f"use_reduce_{name}": name == "mean" for name in ("first", "last", "max", "mean")}
    nlp.add_pipe("textcat", config={"model": {**head, **reduce, "tok2vec": listener}})
    return nlp


def draw_texts():
    random.seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(random.choices(letters, k=random.randint(2, 10))) for _ in range(3000)]
    return [" ".join(random.choices(words, k=N_WORDS)) for _ in range(N_DOCS)]


def main(kind, what):
    torch.set_num_threads(1)
    nlp, texts = build(kind), draw_texts()
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"A": i % 2, "B": 1 - i % 2}})
        for i, text in enumerate(texts)
    ]
    nlp.initialize(lambda: examples)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    docs = [eg.reference for eg in examples]
    load = measure_load(docs, count_pieces(shim, docs), range(N_DOCS), shim)
    weights = sum(p.numel() for p in shim.embedder.parameters()) * 4 / 2**20
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before = read_status("VmRSS") - weights
    if what == "update":
        estimate = estimate_update(shim, load)
        optimizer = Adam(0.001, use_averages=True)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer, drop=0.1)
    else:
        estimate = estimate_prediction(shim, load, n_tokens=N_DOCS * N_WORDS, with_layers=False)
        list(nlp.pipe(docs))
    measured = read_status("VmHWM") - before
    print(json.dumps({"measured": measured, "estimated": estimate.megabytes}))


main(*sys.argv[1:])
