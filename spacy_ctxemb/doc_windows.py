"""From spaCy's Docs to windows of pieces."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc

from .pieces import Ids, Pieces
from .windows import Ints, Windowing, Windows, build_windows


@dataclass(frozen=True)
class DocWindowing:
    """How documents become windows. split_sentences: a window ends where a sentence ends."""

    windowing: Windowing
    split_sentences: bool


class DocPieces(NamedTuple):
    """The pieces of some documents.

    words: (W,), the text of each token. ids: (P,) or (P, C). lengths: (W,), pieces of a token.
    document_lengths, sequence_lengths: pieces of each document, and of each stretch of text
    that windows do not reach beyond. sequence_starts: the first tokens of these stretches in
    each document, at least one.
    """

    words: list[str]
    ids: Ids
    lengths: Ints
    document_lengths: Ints
    sequence_lengths: Ints
    sequence_starts: list[list[int]]

    def cut(self, ids: Ids, boundaries: tuple[Ids, Ids], windowing: Windowing) -> Windows:
        """Windows of these documents over other ids, one for each piece, and boundaries."""
        return build_windows(
            ids,
            lengths=self.lengths,
            document_lengths=self.document_lengths,
            sequence_lengths=self.sequence_lengths,
            boundaries=boundaries,
            windowing=windowing,
        )


def encode_docs(docs: Sequence[Doc], pieces: Pieces, *, split_sentences: bool) -> DocPieces:
    """Pieces of all tokens of all documents."""
    words = [token.text for doc in docs for token in doc]
    ids, lengths = pieces.encode(words)
    n_tokens = np.array([len(doc) for doc in docs], dtype=np.int64)
    starts = [find_sequence_starts(doc) if split_sentences else [0] for doc in docs]
    n_in_sequences = [
        n for doc, s in zip(docs, starts, strict=True) for n in np.diff([*s, len(doc)])
    ]
    return DocPieces(
        words=words,
        ids=ids,
        lengths=lengths,
        document_lengths=sum_stretches(lengths, n_tokens),
        sequence_lengths=sum_stretches(lengths, np.array(n_in_sequences, dtype=np.int64)),
        sequence_starts=starts,
    )


def find_sequence_starts(doc: Doc) -> list[int]:
    """Tokens that begin a sentence; the first token alone where sentences are not known."""
    if not doc.has_annotation("SENT_START"):
        return [0]
    starts = np.flatnonzero(doc.to_array("SENT_START") == 1)
    return [0, *(start for start in starts.tolist() if start)]


def sum_stretches(values: Ints, sizes: Ints) -> Ints:
    """Sums of stretches of values, one after the other; 0 for an empty one."""
    ends = np.cumsum(sizes)
    totals = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(totals[ends] - totals[ends - sizes], dtype=np.int64)


def count(
    docs: Sequence[Doc], encoded: DocPieces, pieces: Pieces, windows: Windows
) -> Counter[str]:
    """How much text there was, and how much of it the encoder does not see as it is."""
    return Counter(
        documents=len(docs),
        tokens=len(encoded.lengths),
        tokens_without_pieces=int((encoded.lengths == 0).sum()),
        pieces=len(encoded.ids),
        lossy_pieces=int(pieces.is_lossy(encoded.ids).sum()),
        windows=sum(len(batch.ids) for batch in windows.batches),
    )
