"""`python -m spacy ctxemb index`"""

from enum import Enum
from pathlib import Path

import typer

from .encode import ID_FIELD, SPANS_KEY, TEXT_FIELD, Level
from .output_paths import FORCE, check_new
from .use_gpu import use_gpu


class Dtype(str, Enum):
    """Numbers of an index."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


def index(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline with ctxemb"),
    text_path: Path = typer.Argument(..., help="Texts as for encode"),
    index_path: Path = typer.Argument(..., help="Folder to write"),
    level: Level = typer.Option(Level.sent, help="What is a passage"),
    spans_key: str | None = SPANS_KEY,
    dtype: Dtype = typer.Option(Dtype.float16, help="Numbers of the vectors"),
    text_field: str = TEXT_FIELD,
    id_field: str = ID_FIELD,
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
    force: bool = FORCE,
) -> None:
    """Make an index of texts, in which `search` and `ask` find passages.

    It remembers its pipeline; one that lies beside the index may move together with it.
    """
    import spacy
    from tqdm import tqdm
    from wasabi import msg

    from ..errors import Errors
    from ..pretraining.text.raw_text import read_whole
    from ..search.folder import check_replaceable
    from ..search.index import Index

    check_new(index_path, force=force)
    check_replaceable(index_path)
    use_gpu(gpu_id)
    nlp = spacy.load(pipeline)
    built = Index(nlp, level.value, dtype=dtype.value, spans_key=spans_key)
    texts = read_whole(text_path, nlp.vocab, text_field=text_field, id_field=id_field)
    added = built.add(tqdm(texts, unit=" texts", disable=None))
    if not len(built):
        raise ValueError(Errors.E720.format(path=text_path))
    built.save(index_path)
    msg.good(f"Indexed {added.n_passages:,} passages of {added.n_texts:,} texts", str(index_path))
    if added.n_skipped:
        msg.info(f"Skipped {added.n_skipped:,} passages without a word")
