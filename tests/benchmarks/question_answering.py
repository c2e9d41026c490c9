"""Train a model to answer questions on the first articles of a file of SQuAD's format, and score
it on the others.

    python -m tests.benchmarks.question_answering XQUAD_JSON [--epochs 3] [--articles 38]

The model is all-MiniLM-L6-v2, which the extra `minilm` installs. `--articles N` takes the first N
articles alone, and scores each epoch: to choose settings by.
"""

import argparse
import random
import time
from pathlib import Path

import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam, fix_random_seed

from spacy_ctxemb.heads.squad import read_squad
from spacy_ctxemb.schedules import warmup_linear

#: Of the articles, those that are trained on.
SHARE = 0.8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learn-rate", type=float, default=2e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--articles", type=int, help="the first ones only, to choose settings by")
    arguments = parser.parse_args()
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": "minilm"})
    nlp.add_pipe("ctxemb_qa")
    articles = list(read_squad(arguments.questions, nlp.make_doc))[: arguments.articles]
    n_first = round(SHARE * len(articles))
    train = [make_example(nlp, doc) for article in articles[:n_first] for doc in article]
    held_out = [make_example(nlp, doc) for article in articles[n_first:] for doc in article]
    fix_random_seed(arguments.seed)
    nlp.initialize(lambda: train)
    n_steps = arguments.epochs * -(-len(train) // arguments.batch_size)
    rates = warmup_linear(initial_rate=arguments.learn_rate, total_steps=n_steps)
    optimizer = Adam(arguments.learn_rate, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0)
    step, start = 0, time.perf_counter()
    for epoch in range(arguments.epochs):
        if arguments.articles and epoch:
            print(f"after {epoch} epochs: {score(nlp, held_out)}", flush=True)
        random.shuffle(train)
        for batch in minibatch(train, arguments.batch_size):
            optimizer.learn_rate = next(rates)
            # As `spacy train`: with sgd=optimizer the encoder would learn before its gradients.
            losses = nlp.update(batch, sgd=False, drop=0.1)  # type: ignore[arg-type]
            for _, pipe in nlp.pipeline:
                pipe.finish_update(optimizer)  # type: ignore[attr-defined]
            if step % 20 == 0:
                print(f"{step:5d}  {losses['ctxemb_qa']:.3f}", flush=True)
            step += 1
    print(f"{len(train)} questions, {time.perf_counter() - start:.0f} s of training")
    start = time.perf_counter()
    found = score(nlp, held_out)
    print(f"{len(held_out)} questions, {time.perf_counter() - start:.1f} s: {found}")


def score(nlp: spacy.Language, examples: list[Example]) -> dict[str, float]:
    fresh = [Example(nlp.make_doc(one.text), one.reference) for one in examples]
    scores = nlp.evaluate(fresh)
    return {name: round(scores[name], 4) for name in ("qa_exact", "qa_f1")}


def make_example(nlp: spacy.Language, doc: Doc) -> Example:
    return Example(nlp.make_doc(doc.text), doc)


if __name__ == "__main__":
    main()
