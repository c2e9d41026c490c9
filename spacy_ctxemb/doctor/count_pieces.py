"""Count how an encoder's pieces spell a corpus, and how windows cut it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc

from ..pieces.base import Ints
from ..thinc_model.docs_to_outputs import group_docs
from ..thinc_model.embedder_shim import EmbedderShim
from ..windows.docs_to_pieces import DocPieces, encode_docs
from ..windows.pieces_to_windows import lay_windows


@dataclass
class PieceCounts:
    """Counts of some documents; the counters hold the texts of what they count.

    tokens: those that are not white space. tokens_with_gaps: those with characters that lie in no
    piece. lossy_pieces: those that do not spell their text. sequences: stretches of text that
    windows do not reach beyond; split_sequences: those that are longer than a window.
    longest_document: in pieces.
    """

    documents: int = 0
    tokens: int = 0
    white_space: int = 0
    pieces: int = 0
    windows: int = 0
    sequences: int = 0
    split_sequences: int = 0
    longest_document: int = 0
    tokens_without_pieces: Counter[str] = field(default_factory=Counter)
    tokens_with_gaps: Counter[str] = field(default_factory=Counter)
    lossy_pieces: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, int]:
        """Convert to numbers."""
        return {
            name: value.total() if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }


def count_pieces(shim: EmbedderShim, docs: Sequence[Doc]) -> PieceCounts:
    """Encode documents as training does, without running the encoder."""
    counts = PieceCounts()
    for group in group_docs(shim, docs):
        split = shim.windowing.split_sentences
        encoded = encode_docs(group, shim.pieces, split_sentences=split)
        add_tokens(counts, encoded, shim)
        lengths = encoded.pieces.document_lengths
        counts.documents += len(lengths)
        counts.longest_document = max(counts.longest_document, int(lengths.max(initial=0)))
        sequences = [n for n in encoded.sequence_lengths.tolist() if n]
        n_windows = [len(lay_windows(n, shim.windowing)[0]) for n in sequences]
        counts.windows += sum(n_windows)
        counts.sequences += len(n_windows)
        counts.split_sequences += sum(n > 1 for n in n_windows)
    return counts


def add_tokens(counts: PieceCounts, encoded: DocPieces, shim: EmbedderShim) -> None:
    """Count tokens and pieces."""
    texts, pieces = encoded.texts, encoded.pieces
    is_word = ~texts.is_space
    counts.tokens += int(is_word.sum())
    counts.white_space += int(texts.is_space.sum())
    counts.pieces += len(pieces.ids)
    has_none = is_word & (pieces.lengths == 0)
    n_covered = count_covered(pieces.offsets, texts.starts, texts.ends)
    has_gap = is_word & ~has_none & (n_covered < texts.ends - texts.starts)
    words = texts.words
    counts.tokens_without_pieces.update(words[i] for i in np.flatnonzero(has_none).tolist())
    counts.tokens_with_gaps.update(words[i] for i in np.flatnonzero(has_gap).tolist())
    text = "".join(texts.texts)
    is_lossy = shim.pieces.is_lossy(pieces.ids)
    counts.lossy_pieces.update(text[a:b] for a, b in pieces.offsets[is_lossy].tolist())


def count_covered(pieces: Ints, starts: Ints, ends: Ints) -> Ints:
    """Count the characters of each token in any piece. pieces: (P, 2); starts, ends: (W,)."""
    size = int(max(pieces.max(initial=0), ends.max(initial=0))) + 1
    change = np.bincount(pieces[:, 0], minlength=size) - np.bincount(pieces[:, 1], minlength=size)
    covered = np.concatenate([[0], np.cumsum(np.cumsum(change) > 0)])  # before each character
    found: Ints = covered[ends] - covered[starts]
    return found
