"""Measure the memory that an encoder takes in a process of its own: KIND WHAT, one JSON line."""

import json
import random
import sys

import torch
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Adam

from spacy_ctxemb.config_writer.choices import Choices
from spacy_ctxemb.config_writer.config import build_config
from spacy_ctxemb.doctor.check_memory import measure_load
from spacy_ctxemb.doctor.count_pieces import count_pieces
from spacy_ctxemb.doctor.memory_estimate import estimate_prediction, estimate_update
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

N_DOCS, N_WORDS = 20, 100


def read_status(key):
    """Megabytes, of this process."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def build(kind):
    """A text classifier on one of the small encoders of `init-config`."""
    config = build_config(Choices(["textcat"], kind)).config
    return load_model_from_config(config, auto_fill=True)


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
