"""The uses of a word as points on a plane."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.tokens import Doc

from ..errors import Errors
from ..explanation.sense_map import find_plane
from ..pretrained import DEFAULT, get_language
from ..read_files import read_lines, reading
from .plots import CONTEXT_FREE

Floats = NDArray[np.floating[Any]]


def place_senses(path: Path) -> tuple[str, dict[str, list[tuple[float, float]]]]:
    """The word, and its uses by sense as points; last the point of the word without a text.

    The plane is the one on which the contextual vectors spread most: their first two principal
    components. The vectors are those of the weights that ship.

    path: JSON lines with "text", "word" and "sense", of one word. Raises E516 for a text without
    the word, E163 for a file that holds something else.
    """
    rows = read_rows(path)
    nlp = spacy.blank(get_language(DEFAULT))
    nlp.add_pipe("ctxemb", config={"pretrained": DEFAULT, "doc_pooling": None})
    nlp.initialize()
    docs = [nlp(row["text"]) for row in rows]
    places = [find_word(doc, row["word"], path) for doc, row in zip(docs, rows, strict=True)]
    used = list(zip(docs, places, strict=True))
    vectors: Floats = np.array([doc[i].vector for doc, i in used])
    alone: Floats = np.array(nlp(rows[0]["word"]).vector)
    centre, axes = find_plane(vectors)
    points: dict[str, list[tuple[float, float]]] = {}
    for row, (x, y) in zip(rows, (vectors - centre) @ axes.T, strict=True):
        points.setdefault(row["sense"], []).append((float(x), float(y)))
    x, y = (alone - centre) @ axes.T
    points[CONTEXT_FREE] = [(float(x), float(y))]
    return rows[0]["word"], points


def read_rows(path: Path) -> list[dict[str, str]]:
    with reading(path, 'lines of JSON with "text", "word" and "sense"'):
        rows = [json.loads(line) for line in read_lines(path)]
        if not rows or not all(row["text"] and row["word"] and row["sense"] for row in rows):
            raise ValueError("a line or a value is empty")
    return rows


def find_word(doc: Doc, word: str, path: Path) -> int:
    for token in doc:
        if token.text == word:
            return token.i
    raise ValueError(Errors.E516.format(path=path, word=word, text=doc.text))
