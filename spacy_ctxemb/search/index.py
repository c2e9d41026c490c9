"""`spacy_ctxemb.search.Index`: passages of texts, found by what they mean."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..bulk.encode import Item, Passages, encode, find_width, identify, iter_encode
from ..bulk.encoder_digest import digest_encoder
from ..bulk.levels import Vectors, check_options
from ..errors import Errors
from .passages import Passage, StoredPassages
from .vectors import DTYPES, ExactVectors, Floats, GraphVectors, has_usearch, to_graph

#: Passages up to which all are compared with a query.
EXACT_LIMIT = 50_000


class Added(NamedTuple):
    """n_skipped: passages without a word, which have no vector."""

    n_texts: int
    n_passages: int
    n_skipped: int


class Hit(NamedTuple):
    """A passage that was found. id: of its text. start, end: its characters there. score: the
    cosine of its vector and the query's. key: its own number, which never changes."""

    id: str
    text: str
    start: int
    end: int
    score: float
    label: str
    key: int


class Index:
    """Passages with their vectors, and the pipeline that encodes them and the queries.

    nlp: a pipeline with a component `ctxemb`.
    level: what is a passage: "doc", "sent", "token" or "span"; see `spacy_ctxemb.iter_encode`.
    dtype: of the numbers that are stored: "float32", "float16" or "int8".
    spans_key: for the level span.
    exact_limit: passages up to which each query is compared with all. A graph of neighbours is
        built of more, and then finds nearly the same, also after passages are removed. Without
        usearch there is no graph, and a warning, W016.

    Raises E700, E704 or E725 where the pipeline has no vectors that can be compared, E701 for an
    unknown level or dtype.

        index = Index(nlp, level="sent")
        index.add([("Otters slept on the bank.", "otters.txt")])
        index.search("animals of rivers", n=1)
        index.save("my-index")
    """

    def __init__(
        self,
        nlp: Language,
        level: str = "sent",
        *,
        dtype: str = "float16",
        spans_key: str | None = None,
        exact_limit: int = EXACT_LIMIT,
    ) -> None:
        check_options(level, dtype, DTYPES)
        self.nlp, self.level, self.dtype, self.spans_key = nlp, level, dtype, spans_key
        self.exact_limit = exact_limit
        self.encoder = digest_encoder(nlp)
        self.width = find_width(nlp)
        self.pipeline = None if nlp.path is None else Path(os.path.abspath(nlp.path))
        self.vectors: ExactVectors | GraphVectors = ExactVectors(self.width, dtype)
        self.passages = StoredPassages()
        self.next_key = self.next_id = 0

    def __len__(self) -> int:
        """The number of passages."""
        return len(self.vectors)

    def __contains__(self, id: str | int) -> bool:
        """Whether there is a passage of a text with this id."""
        return str(id) in self.passages

    def add(self, texts: Iterable[Item]) -> Added:
        """Encode texts and add their passages; those without a word are skipped.

        texts: as for `iter_encode`. One without an id has the number of texts added before it.
        Raises what `iter_encode` raises, E717 for an id that is there, E722 for vectors that are
        not finite. Then nothing is added.
        """
        first_key, first_id = self.next_key, self.next_id
        n_passages = n_skipped = 0
        try:
            named = self._check_ids(texts)
            for passages in iter_encode(self.nlp, named, self.level, spans_key=self.spans_key):
                n_added = self._add(passages)
                n_passages += n_added
                n_skipped += len(passages.ids) - n_added
        except BaseException:
            self._remove_keys(range(first_key, self.next_key))
            self.next_id = first_id
            raise
        return Added(self.next_id - first_id, n_passages, n_skipped)

    def _check_ids(self, texts: Iterable[Item]) -> Iterator[Item]:
        """Give each text an id. Raises E717."""
        seen: set[str] = set()
        for content, id, *_ in identify(self.nlp, texts, self.next_id):
            if id in seen or id in self.passages:
                raise ValueError(Errors.E717.format(id=id))
            seen.add(id)
            self.next_id += 1
            yield content, id

    def _add(self, passages: Passages) -> int:
        """Add those that have a vector, and count them."""
        kept = np.flatnonzero(passages.vectors.any(axis=1))
        rows = normalise(passages.vectors[kept], self.width)
        keys = np.arange(self.next_key, self.next_key + len(kept))
        self.next_key += len(kept)
        ids, stretches = ([of[i] for i in kept] for of in (passages.ids, passages.stretches))
        self.passages.add(keys.tolist(), ids, stretches)  # type: ignore[arg-type]  # of two types
        self.vectors.add(keys, rows)
        if isinstance(self.vectors, ExactVectors) and len(self) > self.exact_limit:
            self.vectors = to_graph(self.vectors) if has_usearch() else self.vectors
        return len(kept)

    def remove(self, ids: Iterable[str | int]) -> int:
        """Remove all passages of some texts, and count them. Raises E718 for unknown ids."""
        names = {str(id): None for id in ([ids] if isinstance(ids, str) else ids)}
        unknown = [name for name in names if name not in self.passages]
        if unknown:
            raise ValueError(Errors.E718.format(ids=unknown[:5]))
        return self._remove_keys(key for name in names for key in self.passages.find_keys(name))

    def _remove_keys(self, keys: Iterable[int]) -> int:
        found = np.fromiter(keys, dtype=np.int64)
        self.vectors.remove(found)
        self.passages.remove(found.tolist())
        return len(found)

    @overload
    def search(  # type: ignore[overload-overlap]  # a text is a sequence of texts too
        self, query: str | Doc, n: int = 10
    ) -> list[Hit]: ...

    @overload
    def search(self, query: Iterable[str | Doc], n: int = 10) -> list[list[Hit]]: ...

    @overload
    def search(self, query: Vectors, n: int = 10) -> Any: ...

    def search(self, query: str | Doc | Iterable[str | Doc] | Vectors, n: int = 10) -> Any:
        """The n passages that are nearest to a query, the nearest one first.

        query: a text or its vector, (width,); or several, (m, width), for each of which there is a
            list then. Raises E719 for a query without a word, E721 if n is not at least 1, E722
            for vectors that do not fit.
        """
        if isinstance(query, np.ndarray):
            rows = query
        elif isinstance(query, str | Doc):
            rows = self.encode_queries([query])[0]
        else:
            rows = self.encode_queries(query)
        found = self._search_rows(np.atleast_2d(rows), n)
        return found[0] if rows.ndim == 1 else found

    def _search_rows(self, rows: Vectors, n: int) -> list[list[Hit]]:
        if not isinstance(n, int) or n < 1:
            raise ValueError(Errors.E721.format(what="n", expected="at least 1", found=n))
        rows = normalise(rows, self.width)
        if not len(self) or not len(rows):
            return [[] for _ in rows]
        found = self.vectors.search(rows, min(n, len(self)))
        return [
            [self._build_hit(key, score) for key, score in zip(keys, scores, strict=True)]
            for keys, scores in zip(found.keys, found.scores, strict=True)
        ]

    def encode_queries(self, queries: Iterable[str | Doc]) -> Vectors:
        """(m, width). Raises E719 for a query without a word."""
        queries = [*queries] if isinstance(queries, Iterator) else queries
        rows = encode(self.nlp, queries, "doc", show_progress=False)
        for query, row in zip(queries, rows, strict=True):
            if not row.any():
                raise ValueError(Errors.E719.format(query=str(query)))
        return rows

    def _build_hit(self, key: int, score: float) -> Hit:
        passage = self.passages.get(int(key))
        place = passage.id, passage.text, passage.start, passage.end
        return Hit(*place, float(score), passage.label, passage.key)

    def find_context(self, hit: Hit, n: int) -> Passage:
        """A passage with up to n of its neighbours on each side, as one passage. Where white space
        stood between them there are spaces."""
        found = self.passages.find_neighbours(self.passages.get(hit.key), n)
        text, start = "", found[0].start
        for passage in found:
            text = text[: passage.start - start].ljust(passage.start - start) + passage.text
        return found[0]._replace(text=text, end=start + len(text))

    def save(self, path: str | Path) -> None:
        """Write the index to a folder, all of it or nothing, in the place of an older one.

        Raises E724 for a folder with other files, OSError E164 where nothing can be written.
        """
        from .save_and_load import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, nlp: Language | None = None) -> "Index":
        """Read an index from its folder.

        nlp: the pipeline that encodes queries; None for the one that the index names.
        Raises E713 for a folder that is not whole, E714 for another format, E715 for a pipeline
        with another encoder, E716 for one that cannot be loaded.
        """
        from .save_and_load import load

        return load(Path(path), nlp)


def normalise(rows: Vectors, width: int) -> Floats:
    """Rows of length 1; zeros stay. Raises E722 for those of another width, or not finite."""
    if rows.ndim != 2 or rows.shape[1] != width or not np.isfinite(rows).all():
        found = f"the shape {rows.shape}"
        if rows.ndim == 2 and rows.shape[1] == width:
            found = "values that are not finite"
        raise ValueError(Errors.E722.format(width=width, found=found))
    doubles = rows.astype(np.float64)
    norms = np.linalg.norm(doubles, axis=1, keepdims=True)
    return (doubles / np.where(norms > 0, norms, 1.0)).astype(np.float32)
