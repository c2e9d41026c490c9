"""`spacy_ctxemb.encode` and `iter_encode`: vectors of many texts, their parts or their words."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..doc_vectors.doc_tensor import lacks_tensor
from ..errors import Errors
from .levels import LEVELS, Level, Stretch, Vectors, check_options, join_rows
from .needed_components import find_embedder, list_unneeded

#: A text, tokenized or not, that may have an id.
Item = str | Doc | tuple[str | Doc, str | int | None]

DTYPES = ("float32", "float16")

#: What is sorted by length, encoded and held in memory together: texts, and characters of them.
MAX_TEXTS, MAX_CHARACTERS = 2048, 1_000_000

#: Docs that are in memory together, whose vectors take the most room.
BATCH_SIZE = 64


class Passages(NamedTuple):
    """Stretches of texts, in their order, with a vector each.

    ids: of the text that each is from. stretches: text, start, end and label of each.
    vectors: (n, width). n_texts: whose stretches these are; some may have none.
    """

    ids: list[str]
    stretches: list[Stretch]
    vectors: Vectors
    n_texts: int


def encode(
    nlp: Language,
    texts: Iterable[Item],
    level: str = "doc",
    *,
    spans_key: str | None = None,
    dtype: str = "float32",
    batch_size: int = BATCH_SIZE,
    show_progress: bool | None = None,
) -> Vectors:
    """The vectors of texts, or of their sentences, tokens or spans, one below the other.

    show_progress: whether there is a progress bar; None for one in a terminal.
    See `iter_encode` for the rest. Docs are annotated in place. A text without words has a row of
    zeros. (n, width)

        vectors = spacy_ctxemb.encode(nlp, ["the bank of the river", "the bank with money"])
    """
    found = iter_encode(nlp, texts, level, spans_key=spans_key, dtype=dtype, batch_size=batch_size)
    total = len(texts) if isinstance(texts, Sequence) else None
    disable = None if show_progress is None else not show_progress
    parts = []
    with tqdm(total=total, unit=" texts", disable=disable) as progress:
        for passages in found:
            parts.append(passages.vectors)
            progress.update(passages.n_texts)
    return np.concatenate(parts) if parts else join_rows([], find_width(nlp), dtype)


def iter_encode(
    nlp: Language,
    texts: Iterable[Item],
    level: str = "doc",
    *,
    spans_key: str | None = None,
    dtype: str = "float32",
    batch_size: int = BATCH_SIZE,
    first_id: int = 0,
) -> Iterator[Passages]:
    """Encode texts a few thousand at a time, in their order; memory holds no more than these.

    Components that come last and change no vector do not run.

    nlp: a pipeline with a component `ctxemb`.
    texts: texts or Docs, which are annotated in place, or pairs of one and its id.
    level: "doc" for doc.vector; "sent", "token" or "span" for the vector of each sentence, token
        or span.
    spans_key: of doc.spans, for the level span; None for doc.ents.
    dtype: "float32" or "float16".
    batch_size: Docs that are in memory together.
    first_id: the id of the first text if it has none; those that follow count on.

    Raises E700 where no component writes vectors, E701 for an unknown level or dtype, E702 for a
    text without sentences and E703 for one without the spans, E704 where a later component removes
    or replaces the vectors, E705 for what is no text, E706 for one that is too long, E707 for
    characters that are none, E709 where the pipeline loses Docs, E725 where vectors depend on what
    is encoded together.

        for passages in spacy_ctxemb.iter_encode(nlp, texts, level="sent"):
            print(passages.ids, passages.stretches, passages.vectors.shape)
    """
    check_options(level, dtype, DTYPES)
    width, kind = find_width(nlp), LEVELS[level]
    unneeded = list_unneeded(nlp, {"doc.tensor", *kind.assigns})

    def encode_all() -> Iterator[Passages]:
        for buffer in fill_buffers(identify(nlp, texts, first_id)):
            found = encode_buffer(nlp, buffer, kind, spans_key, unneeded, batch_size, width)
            ids = [
                text.id
                for text, (stretches, _) in zip(buffer, found, strict=True)
                for _ in stretches
            ]
            stretches = [stretch for stretches, _ in found for stretch in stretches]
            vectors = join_rows([row for _, rows in found for row in rows], width, dtype)
            yield Passages(ids, stretches, vectors, len(buffer))

    return encode_all()  # whose settings are validated at once


class Text(NamedTuple):
    content: str | Doc
    id: str
    n_characters: int
    place: int


def find_width(nlp: Language) -> int:
    """The width of the vectors. Raises E700 where nothing writes any."""
    return int(find_embedder(nlp).model.get_dim("nO"))


def identify(nlp: Language, texts: Iterable[Item], first_id: int) -> Iterator[Text]:
    """Check each text, and give it an id where it has none. Raises E705, E706 and E707."""
    if isinstance(texts, str | Doc) or not isinstance(texts, Iterable):
        found = f"not in a list, but {texts!r:.80} itself"
        raise ValueError(Errors.E705.format(place=first_id, found=found))
    for place, item in enumerate(texts, start=first_id):
        content, id = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        is_id = id is None or isinstance(id, str | int) and not isinstance(id, bool)
        if not (isinstance(content, str | Doc) and is_id):
            raise ValueError(Errors.E705.format(place=place, found=f"{item!r:.80}"))
        name = str(place if id is None else id)
        text = content if isinstance(content, str) else content.text
        if isinstance(content, str) and len(text) > nlp.max_length:
            values = {"n": len(text), "max_length": nlp.max_length}
            raise ValueError(Errors.E706.format(id=name, **values))
        for checked in (name, text):
            check_unicode(checked, name)
        yield Text(content, name, len(text), place)


def check_unicode(text: str, id: str) -> None:
    """Raise E707 for a text that UTF-8 cannot hold."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        message = Errors.E707.format(id=id, character=text[error.start])
        raise ValueError(message) from error


def fill_buffers(texts: Iterable[Text]) -> Iterator[list[Text]]:
    buffer: list[Text] = []
    n_characters = 0
    for text in texts:
        buffer.append(text)
        n_characters += text.n_characters
        if len(buffer) >= MAX_TEXTS or n_characters >= MAX_CHARACTERS:
            yield buffer
            buffer, n_characters = [], 0
    if buffer:
        yield buffer


def encode_buffer(
    nlp: Language,
    buffer: Sequence[Text],
    level: Level,
    spans_key: str | None,
    unneeded: list[str],
    batch_size: int,
    width: int,
) -> list[tuple[list[Stretch], list[Any]]]:
    """The stretches of each text with their vectors. Short texts go first, so that what is encoded
    together is alike in length. Raises E702 to E704, and E709."""
    order = sorted(range(len(buffer)), key=lambda i: buffer[i].n_characters)
    found: dict[int, tuple[list[Stretch], list[Any]]] = {}
    with freeing_strings(nlp, buffer):
        contents = (buffer[i].content for i in order)
        docs = nlp.pipe(contents, batch_size=batch_size, disable=unneeded)
        places = iter(order)
        for doc in docs:
            place = next(places)
            if len(doc) and (lacks_tensor(doc) or doc.tensor.shape[1] != width):
                values = {"where": f"the text {buffer[place].id!r}", "names": nlp.pipe_names}
                raise ValueError(Errors.E704.format(**values))
            found[place] = level.read(doc, buffer[place].id, spans_key)
    if len(found) != len(buffer):
        raise ValueError(Errors.E709.format(found=len(found), n=len(buffer)))
    return [found[i] for i in range(len(buffer))]


def freeing_strings(nlp: Language, buffer: Sequence[Text]) -> AbstractContextManager[Any]:
    """Let the vocabulary forget the words of these texts; not those of Docs that others hold."""
    has_docs = any(isinstance(text.content, Doc) for text in buffer)
    is_nested = cast(Any, nlp.vocab).in_memory_zone
    return nullcontext() if has_docs or is_nested else nlp.memory_zone()
