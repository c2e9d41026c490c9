"""`python -m spacy ctxemb perplexity`"""

from pathlib import Path

import typer

from .output_paths import FORCE, check_new

#: Documents scored together.
BATCH_SIZE = 64


def perplexity(
    config_path: Path = typer.Argument(..., help="Pretraining config", exists=True),
    weights_path: Path = typer.Argument(..., help="A model*.bin of pretraining", exists=True),
    text_path: Path = typer.Argument(..., help="Held-out text, one document a line", exists=True),
    output: Path | None = typer.Option(None, help="JSON file to write"),
    force: bool = FORCE,
) -> None:
    """Report the perplexity of a pretrained encoder on held-out text.

    For a biLM it is exp of the mean negative log-likelihood of the next and of the previous word.
    For masked language modelling it is that of the hidden pieces; the same ones are hidden in each
    run of the command.
    """
    from spacy.cli._util import show_validation_error
    from wasabi import msg

    from ..atomic_files import write_json

    if output is not None:
        check_new(output, force=force)
    with show_validation_error(config_path, hint_fill=False):
        scores = score(config_path, weights_path, text_path)
    for name, value in scores.items():
        msg.info(f"perplexity {name}: {value:.2f}")
    if output is not None:
        write_json({"perplexity": scores}, output)


def score(config_path: Path, weights_path: Path, text_path: Path) -> dict[str, float]:
    """Compute perplexities by name, and their mean where there are several.

    Raises E403 for a text of blank lines, E437 if nothing in it is there to predict, E163 for a
    file that cannot be read.
    """
    import numpy as np
    from spacy.util import minibatch
    from tqdm import tqdm

    from ..errors import Errors
    from ..objectives.base import Sums, add_sums, summarise
    from ..pretraining.spacy_pretrain_objectives import (
        load_pretrained,
        read_pretraining,
        score_docs,
    )
    from ..read_files import read_lines

    nlp, section = read_pretraining(config_path)
    shim = load_pretrained(nlp, section, weights_path)
    lines = read_lines(text_path)
    if not lines:
        raise ValueError(Errors.E403.format(path=text_path))
    rng = np.random.default_rng(0)
    sums: Sums = {}
    for batch in minibatch(tqdm(lines, unit=" documents", disable=None), BATCH_SIZE):
        docs = [nlp.make_doc(text) for text in batch]
        add_sums(sums, score_docs(shim, docs, rng, is_train=False))
    if not any(n for _, n in sums.values()):
        raise ValueError(Errors.E437.format(path=text_path))
    named = summarise(sums).items()
    return {name.removeprefix("perplexity_").replace("perplexity", "mean"): s for name, s in named}
