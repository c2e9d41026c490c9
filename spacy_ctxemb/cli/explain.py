"""`python -m spacy ctxemb explain`"""

from enum import Enum
from pathlib import Path

import typer

from .output_paths import FORCE, check_new


class Method(str, Enum):
    """How a label is explained."""

    occlusion = "occlusion"
    gradients = "gradients"


class Plane(str, Enum):
    """How vectors become points."""

    pca = "pca"
    umap = "umap"


def explain(
    pipeline: str = typer.Argument(..., help="Directory or package of a trained pipeline"),
    text: str = typer.Argument(..., help="The text to explain"),
    output_path: Path = typer.Argument(..., help="File *.html to write"),
    component: str | None = typer.Option(
        None, help="The component whose labels are explained; all that give labels if not named"
    ),
    label: str | None = typer.Option(
        None, help="The label to explain; what was found if not named"
    ),
    span: tuple[int, int] | None = typer.Option(
        None, help="The first token of an entity or span, and the one after its last"
    ),
    method: Method = typer.Option(
        Method.occlusion,
        help="occlusion for any component; gradients for heads of this package, which needs "
        "spacy-ctxemb[explain]",
    ),
    hide: str | None = typer.Option(
        None, help='With occlusion, the word in the place of a token; "" leaves the token out'
    ),
    attention: bool | None = typer.Option(
        None, help="Whether to show attention weights; for short texts if not said"
    ),
    word: str | None = typer.Option(
        None, help="A word of the text, to show its nearest uses in the corpus, and its senses"
    ),
    corpus: Path | None = typer.Option(
        None, help="Texts for --word: .txt or .jsonl, also compressed, .spacy, .parquet"
    ),
    limit: int = typer.Option(1000, min=0, help="Texts of the corpus to read, 0 for all"),
    plane: Plane = typer.Option(
        Plane.pca, help="How uses are laid out; umap needs spacy-ctxemb[umap]"
    ),
    force: bool = FORCE,
) -> None:
    """Explain what a pipeline says of a text: a page of HTML."""
    from itertools import islice

    import spacy
    from tqdm import tqdm
    from wasabi import msg

    from ..atomic_files import replacing
    from ..explanation import explain
    from ..pretraining.text.raw_text import read_whole

    check_new(output_path, force=force)
    nlp = spacy.load(pipeline)
    texts = None
    if corpus is not None:
        texts = islice((one for one, _ in read_whole(corpus, nlp.vocab)), limit or None)
    with replacing(output_path) as temporary:
        found = explain(
            nlp,
            text,
            component=component,
            label=label,
            span=span,
            method=method.value,
            hide=hide,
            attention=attention,
            word=word,
            corpus=None if texts is None else tqdm(texts, desc="Corpus", unit="text", leave=False),
            plane=plane.value,
        )
        temporary.write_text(found.to_html(), encoding="utf8")
    for one in found.attributions:
        msg.text(f"{one.component}: {one.label}, score {one.score:.3f}")
    msg.good("Wrote an explanation", str(output_path))
