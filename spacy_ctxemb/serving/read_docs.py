"""What the thread with the model does: from texts to plain data.

All that spaCy makes of a batch is freed at its end, the words that the vocabulary learned among
it. So nothing leaves this file but numbers, strings and arrays.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..bulk.levels import join_rows, read_tokens
from ..bulk.needed_components import list_unneeded
from ..doc_vectors.doc_tensor import lacks_tensor
from ..errors import Errors
from .refusals import Refusal, refuse


class Reading(NamedTuple):
    """What is wanted of a Doc. disable: components that do not matter for it."""

    disable: tuple[str, ...]
    read: Callable[[Doc], Any]


class Found(NamedTuple):
    """Of a text. value: as the reading gives it; a Refusal where the pipeline or it failed."""

    value: Any
    n_tokens: int = 0


def find_all(nlp: Language, asked: Sequence[tuple[str, Reading]]) -> list[Found]:
    """What is wanted of each text."""
    places = defaultdict(list)
    for i, (_, reading) in enumerate(asked):
        places[reading.disable].append(i)
    found: dict[int, Found] = {}
    with nlp.memory_zone():
        for disable, group in places.items():
            docs = annotate(nlp, [asked[i][0] for i in group], disable)
            found |= {i: find(docs.pop(0), asked[i][1].read) for i in group}
    return [found[i] for i in range(len(asked))]


def annotate(nlp: Language, texts: Sequence[str], disable: Sequence[str]) -> list[Doc | Refusal]:
    """The Docs of texts. One that fails does not take others with it: halves are tried anew."""
    try:
        made = [nlp.make_doc(text) for text in texts]
        expected = [doc.text for doc in made]
        docs = list(nlp.pipe(made, batch_size=len(texts), disable=disable))
        if [doc.text for doc in docs] != expected:
            raise ValueError(Errors.E709.format(found=len(docs), n=len(texts)))
        return [*docs]
    except BaseException as error:  # a panic in Rust is no Exception
        if len(texts) == 1:
            return [refuse(error)]
    half = len(texts) // 2
    return annotate(nlp, texts[:half], disable) + annotate(nlp, texts[half:], disable)


def find(doc: Doc | Refusal, read: Callable[[Doc], Any]) -> Found:
    if isinstance(doc, Refusal):
        return Found(doc)
    try:
        return Found(read(doc), len(doc))
    except BaseException as error:
        return Found(refuse(error))


def read_vector(doc: Doc, width: int) -> Any:
    """(width,)"""
    check_vectors(doc, width)
    return join_rows([doc.vector], width, "float32")[0]


def read_token_vectors(doc: Doc, width: int) -> tuple[list[dict[str, Any]], Any]:
    """Also where the tokens are. (n_tokens, width)"""
    check_vectors(doc, width)
    tokens, rows = read_tokens(doc, "", None)
    places = [{"text": x.text, "start": x.start, "end": x.end} for x in tokens]
    return places, join_rows(rows, width, "float32")


def check_vectors(doc: Doc, width: int) -> None:
    """Raise E704 where a component has put something else into doc.tensor."""
    if len(doc) and (lacks_tensor(doc) or doc.tensor.shape[1] != width):
        raise ValueError(Errors.E704.format(where="a text", names="of the pipeline"))


def read_span(span: Span) -> dict[str, Any]:
    found = {"text": span.text, "start": span.start_char, "end": span.end_char}
    return {**found, "label": span.label_, "id": span.id_ or span.kb_id_}


def read_words(doc: Doc) -> list[dict[str, Any]]:
    return [
        {
            **{"text": token.text, "start": token.idx, "end": token.idx + len(token)},
            **{"lemma": token.lemma_, "pos": token.pos_, "tag": token.tag_},
            **{"morph": str(token.morph), "dep": token.dep_, "head": token.head.i},
        }
        for token in doc
    ]


class Field(NamedTuple):
    """Of the answer of /v1/docs. assigns: what components declare that find it."""

    assigns: frozenset[str]
    read: Callable[[Doc], Any]


SENTENCES = frozenset({"doc.sents", "token.is_sent_start"})
WORDS = ("lemma", "pos", "tag", "morph", "dep", "head", "is_sent_start")

FIELDS = {
    "ents": Field(frozenset({"doc.ents"}), lambda doc: [read_span(x) for x in doc.ents]),
    "cats": Field(
        frozenset({"doc.cats"}), lambda doc: {x: float(score) for x, score in doc.cats.items()}
    ),
    "sents": Field(SENTENCES, lambda doc: [read_span(x) for x in doc.sents]),
    "tokens": Field(frozenset(f"token.{name}" for name in WORDS), read_words),
}


def read_fields(nlp: Language, names: Sequence[str]) -> Reading:
    """A reading for a dictionary of these fields."""
    wanted = frozenset().union(*(FIELDS[name].assigns for name in names))
    readers = {name: FIELDS[name].read for name in names}
    disable = tuple(list_unneeded(nlp, wanted))
    return Reading(disable, lambda doc: {name: read(doc) for name, read in readers.items()})
