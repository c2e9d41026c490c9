"""`python -m spacy ctxemb perplexity`"""

import json
from collections.abc import Iterator
from pathlib import Path

import typer

from .show_errors import showing_errors

#: Documents scored together.
BATCH_SIZE = 64


def perplexity(
    config_path: Path = typer.Argument(..., help="Pretraining config", exists=True),
    weights_path: Path = typer.Argument(..., help="A model*.bin of pretraining", exists=True),
    text_path: Path = typer.Argument(..., help="Held-out text, one document a line", exists=True),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Report the perplexity of a pretrained encoder on held-out text.

    For a biLM: exp of the mean negative log-likelihood of the next and of the previous word. For
    masked language modelling: of the hidden pieces, which are chosen at random, always the same.
    """
    import numpy as np
    from spacy.util import minibatch
    from tqdm import tqdm
    from wasabi import msg

    from ..atomic_files import read_lines, replacing
    from ..errors import Errors
    from ..pretraining.objectives_for_spacy_pretrain import (
        evaluate,
        load_pretrained,
        read_pretraining,
    )

    with showing_errors():
        nlp, section = read_pretraining(config_path)
        shim = load_pretrained(nlp, section, weights_path)
    lines = read_lines(text_path)
    if not lines:
        msg.fail(Errors.E415.format(path=text_path), exits=1)
    rng = np.random.default_rng(0)
    totals: dict[str, list[float]] = {}
    batches = minibatch(tqdm(lines, unit=" documents", disable=None), BATCH_SIZE)
    for batch in batches:
        for name, (nll, n) in evaluate(shim, [nlp.make_doc(t) for t in batch], rng).items():
            total = totals.setdefault(name, [0.0, 0])
            total[0] += nll
            total[1] += n
    if not any(n for _, n in totals.values()):
        msg.fail(Errors.E437.format(path=text_path), exits=1)
    scores = dict(summarise(totals))
    for name, score in scores.items():
        msg.info(f"perplexity {name}: {score:.2f}")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as temporary:
            temporary.write_text(json.dumps({"perplexity": scores}, indent=2), encoding="utf8")


def summarise(totals: dict[str, list[float]]) -> Iterator[tuple[str, float]]:
    """Perplexity by name, and that of the mean over names where there are several."""
    from ..objectives import to_perplexity

    means = {name: nll / max(n, 1) for name, (nll, n) in totals.items()}
    for name, mean in means.items():
        yield name, to_perplexity(mean)
    if len(means) > 1:
        yield "mean", to_perplexity(sum(means.values()) / len(means))
