"""`python -m spacy ctxemb encode`"""

from enum import Enum
from pathlib import Path

import typer

from .output_paths import FORCE, check_new
from .use_gpu import use_gpu


class Level(str, Enum):
    """What gets a vector."""

    doc = "doc"
    sent = "sent"
    token = "token"
    span = "span"


class Dtype(str, Enum):
    """Numbers in a file."""

    float32 = "float32"
    float16 = "float16"


TEXT_FIELD: str = typer.Option("text", help="Where the text is in .jsonl and .parquet")
ID_FIELD: str = typer.Option("id", help="Where its id is; without one a text has its place")
SPANS_KEY: str | None = typer.Option(
    None, help="Spans of the level span are doc.spans[KEY]; else they are the entities"
)


def encode(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline with ctxemb"),
    text_path: Path = typer.Argument(
        ...,
        help="File or folder of .txt (a text a line) or .jsonl, also compressed, .spacy, .parquet",
    ),
    output_path: Path = typer.Argument(..., help="File *.parquet to write"),
    level: Level = typer.Option(Level.doc, help="What gets a vector"),
    spans_key: str | None = SPANS_KEY,
    dtype: Dtype = typer.Option(Dtype.float32, help="Numbers of the vectors"),
    text_field: str = TEXT_FIELD,
    id_field: str = ID_FIELD,
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
    force: bool = FORCE,
) -> None:
    """Write the vectors of texts, or of their sentences, tokens or spans, to a Parquet file.

    Columns: id, text, start, end, label, vector. A run that was stopped goes on where it was, with
    the same command; what is finished lies in OUTPUT_PATH.parts until then.
    """
    from itertools import islice

    import spacy
    from tqdm import tqdm
    from wasabi import msg

    from ..bulk.encode import find_width, iter_encode
    from ..bulk.encoder_digest import digest_encoder, digest_files
    from ..bulk.parquet_parts import Parts, check_output, check_pyarrow
    from ..pretraining.text.raw_text import find_files, read_whole
    from ..read_files import compute_checksum

    check_output(output_path, text_path)
    check_new(output_path, force=force)
    check_pyarrow()
    use_gpu(gpu_id)
    nlp = spacy.load(pipeline)
    encoder = digest_encoder(nlp)
    settings = {
        "pipeline": digest_files(nlp),
        "texts": [compute_checksum(path) for path in find_files(text_path)],
        "text_field": text_field,
        "id_field": id_field,
        "level": level.value,
        "spans_key": spans_key,
        "dtype": dtype.value,
    }
    parts = Parts(output_path)
    with parts.opening(settings, force=force) as n_done:
        if n_done:
            msg.info(f"Going on after {n_done:,} texts that are done")
        texts = read_whole(text_path, nlp.vocab, text_field=text_field, id_field=id_field)
        found = iter_encode(
            nlp,
            islice(texts, n_done, None),
            level.value,
            spans_key=spans_key,
            dtype=dtype.value,
            first_id=n_done,
        )
        with tqdm(initial=n_done, unit=" texts", disable=None) as progress:
            for passages in found:
                parts.add(passages, n_done)
                n_done += passages.n_texts
                progress.update(passages.n_texts)
        metadata = {"encoder": encoder, "level": level.value}
        n_rows = parts.join(find_width(nlp), dtype.value, metadata)
    msg.good(f"Wrote {n_rows:,} vectors of {n_done:,} texts", str(output_path))
