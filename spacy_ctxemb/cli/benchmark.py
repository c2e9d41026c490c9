"""`python -m spacy ctxemb benchmark`"""

from importlib.util import find_spec
from pathlib import Path

import typer

from .output_paths import FORCE, check_new
from .print_table import print_table

#: Texts of a file that are encoded.
MAX_TEXTS = 2000


def benchmark(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline with ctxemb"),
    text_path: Path | None = typer.Argument(
        None,
        help="Texts such as the pipeline is to encode, as for `encode`; else English sentences",
    ),
    seconds: float = typer.Option(90, min=1, help="Time for all measurements together"),
    least_cosine: float = typer.Option(
        0.99, help="Of a precision's vectors with those of fp32, to be recommended"
    ),
    json: Path | None = typer.Option(None, help="File to write all figures to"),
    plot: Path | None = typer.Option(None, help="File *.png or *.svg to draw the speeds in"),
    text_field: str = typer.Option("text", help="Where the text is in .jsonl and .parquet"),
    force: bool = FORCE,
) -> None:
    """Measure which settings are fast on this machine, and recommend some.

    Words a second by precision, threads, size of batches and processes, with the share of the
    machine's limit; the time of single short texts; memory; and how near the vectors of each
    precision are to those of fp32.
    """
    from dataclasses import asdict

    import srsly
    from wasabi import msg

    from ..atomic_files import replacing
    from ..benchmark.measure import measure
    from ..benchmark.recommend import choose, find_doubts, write_lines
    from ..benchmark.show import draw, list_latencies, list_precisions, list_speeds
    from ..benchmark.texts import build_texts
    from ..errors import Errors

    check_new(*(path for path in (json, plot) if path is not None), force=force)
    if not 0 <= least_cosine <= 1:
        raise ValueError(Errors.E854.format(least=least_cosine))
    kind = "" if plot is None else plot.suffix.lower().removeprefix(".")
    if plot is not None and kind not in ("png", "svg"):
        raise ValueError(Errors.E852.format(path=plot))
    if plot is not None and find_spec("matplotlib") is None:
        raise ImportError(Errors.E523.format(package="matplotlib"))
    texts = build_texts() if text_path is None else read_texts(text_path, text_field)
    found = measure(pipeline, texts, seconds=seconds, least_cosine=least_cosine, say=msg.info)
    chosen = choose(found)
    for table in (list_speeds(found), list_latencies(found), list_precisions(found)):
        print()
        print_table(*table)
    print()
    if found.cache is not None and not found.cache["second"]:
        msg.info("The cache knew no text in a second pass: it cannot be used here")
    elif found.cache is not None:
        first, second, words = (found.cache[name] for name in ("first", "second", "words"))
        msg.info(
            f"The cache knew {first:.0%} of the texts, and {second:.0%} in a second pass, which "
            f"ran at {words:,.0f} words/s"
        )
    for doubt in find_doubts(found):
        msg.warn(doubt)
    msg.good(f"Recommended, with {chosen.speed:,.0f} words/s:")
    print(write_lines(found, chosen))
    if json is not None:
        report = {**asdict(found), "doubts": [*find_doubts(found)]}
        with replacing(json) as temporary:
            srsly.write_json(temporary, {**report, "recommended": vars(chosen)})
    if plot is not None:
        with replacing(plot) as temporary:
            draw(found, chosen, temporary, kind)


def read_texts(path: Path, text_field: str) -> list[str]:
    """The first texts of a file. Raises E853 where none has words."""
    from itertools import islice

    from spacy.vocab import Vocab

    from ..errors import Errors
    from ..pretraining.text.raw_text import read_whole

    found = (
        x if isinstance(x, str) else x.text
        for x, _ in read_whole(path, Vocab(), text_field=text_field)
    )
    texts = list(islice((text for text in found if text.split()), MAX_TEXTS))
    if not texts:
        raise ValueError(Errors.E853.format(path=path))
    return texts
