"""From spaCy's Docs to windows of pieces."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from spacy.tokens import Doc

from ..pieces.base import Ids, Ints, Pieces, TextPieces, Texts
from .pieces_to_windows import Windowing, Windows, build_windows


class DocPieces(NamedTuple):
    """The pieces of some documents.

    texts: what they are the pieces of. pieces: those of all documents.
    sequence_lengths: pieces of each stretch of text that windows do not reach beyond.
    sequence_starts: the first tokens of these stretches in each document, at least one.
    """

    texts: Texts
    pieces: TextPieces
    sequence_lengths: Ints
    sequence_starts: list[list[int]]

    def cut(
        self,
        ids: Ids,
        boundaries: tuple[Ids, Ids],
        windowing: Windowing,
        at_once: int = 1,
    ) -> Windows:
        """Windows over ids, one for each piece. at_once: batches at the same time at most."""
        documents = np.repeat(np.arange(len(self.sequence_starts)), self.n_sequences)
        pieces = self.pieces._replace(ids=ids)
        sizes = self.sequence_lengths, documents
        return build_windows(pieces, *sizes, boundaries, windowing, at_once)

    @property
    def n_sequences(self) -> list[int]:
        return [len(starts) for starts in self.sequence_starts]


def encode_docs(docs: Sequence[Doc], pieces: Pieces, *, split_sentences: bool) -> DocPieces:
    texts = read_texts(docs)
    encoded = pieces.encode(texts)
    starts = [find_sequence_starts(doc) if split_sentences else [0] for doc in docs]
    return DocPieces(
        texts=texts,
        pieces=encoded,
        sequence_lengths=count_in_sequences(texts, encoded, starts),
        sequence_starts=starts,
    )


def read_texts(docs: Sequence[Doc]) -> Texts:
    texts = [doc.text for doc in docs]
    n_tokens = np.array([len(doc) for doc in docs], dtype=np.int64)
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    offsets = np.cumsum(sizes) - sizes
    attributes = [doc.to_array(["IDX", "LENGTH", "IS_SPACE"]) for doc in docs]  # (n_tokens, 3)
    table = np.concatenate([np.zeros((0, 3), dtype=np.int64), *attributes]).astype(np.int64)
    starts = table[:, 0] + np.repeat(offsets, n_tokens)
    return Texts(
        texts=texts,
        n_tokens=n_tokens,
        offsets=offsets,
        starts=starts,
        ends=starts + table[:, 1],
        is_space=table[:, 2] > 0,
    )


def list_pieces(encoded: DocPieces, pieces: Pieces) -> list[dict[str, Any]]:
    """The pieces of each document, as doc._.ctxemb_pieces has them; see doc_vectors/names.py."""
    spelt, places = iter(pieces.spell(encoded.pieces.ids)), list_places(encoded)
    return [{"pieces": list(islice(spelt, len(one["offsets"]))), **one} for one in places]


def list_places(encoded: DocPieces) -> list[dict[str, Any]]:
    """Where the pieces of each document lie, and those of its tokens; see doc_vectors/names.py."""
    texts, found = encoded.texts, encoded.pieces
    piece_ends, token_ends = np.cumsum(found.document_lengths), np.cumsum(texts.n_tokens)
    of_docs = []
    for i, offset in enumerate(texts.offsets.tolist()):
        first, last = piece_ends[i] - found.document_lengths[i], piece_ends[i]
        tokens = slice(token_ends[i] - texts.n_tokens[i], token_ends[i])
        of_docs.append(
            {
                "offsets": found.offsets[first:last] - offset,
                "starts": found.starts[tokens] - first,
                "lengths": found.lengths[tokens].copy(),
            }
        )
    return of_docs


def find_sequence_starts(doc: Doc) -> list[int]:
    """Tokens that begin a sentence; the first token alone where sentences are not known."""
    if not doc.has_annotation("SENT_START"):
        return [0]
    starts = np.flatnonzero(doc.to_array("SENT_START") == 1)
    return [0, *(start for start in starts.tolist() if start)]


def count_in_sequences(
    texts: Texts, pieces: TextPieces, sequence_starts: Sequence[Sequence[int]]
) -> Ints:
    """Pieces of each sequence: of that in which their last character lies.

    sequence_starts: (n,), the tokens of each document that begin a sequence; the first one begins
    with the document.
    """
    n_sequences = np.array([len(starts) for starts in sequence_starts], dtype=np.int64)
    first = np.cumsum(n_sequences) - n_sequences  # sequence of each document
    tokens = np.concatenate([np.zeros(0, dtype=np.int64), *sequence_starts]).astype(np.int64)
    tokens += np.repeat(np.cumsum(texts.n_tokens) - texts.n_tokens, n_sequences)
    # A document without tokens begins where the next one does, or where all texts end.
    characters = np.append(texts.starts, sum(map(len, texts.texts)))[tokens]
    found = np.searchsorted(characters, np.maximum.accumulate(pieces.offsets[:, 1]) - 1, "right")
    lowest, highest = (
        np.repeat(bound, pieces.document_lengths) for bound in (first, first + n_sequences - 1)
    )
    sequences = np.clip(found - 1, lowest, highest)  # (P,)
    return np.bincount(sequences, minlength=int(n_sequences.sum()))


def count(docs: Sequence[Doc], encoded: DocPieces, pieces: Pieces, n_windows: int) -> Counter[str]:
    """How much text there was, and how much of it the encoder does not see as it is."""
    return Counter(
        documents=len(docs),
        tokens=len(encoded.pieces.lengths),
        tokens_without_pieces=int((encoded.pieces.lengths == 0).sum()),
        pieces=len(encoded.pieces.ids),
        lossy_pieces=int(pieces.is_lossy(encoded.pieces.ids).sum()),
        windows=n_windows,
    )
