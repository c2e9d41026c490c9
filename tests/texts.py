"""Documents for the tests of pieces, without spaCy."""

from collections.abc import Sequence

import numpy as np

from spacy_ctxemb.pieces.base import Ids, Pieces, TextPieces, Texts


def lay_pieces(ids: Ids, lengths: Sequence[int]) -> TextPieces:
    """Pieces of one document, one token after the other. lengths: pieces of each token."""
    counts = np.array(lengths, dtype=np.int64)
    none = np.zeros((len(ids), 2), dtype=np.int64)
    return TextPieces(ids, none, np.cumsum(counts) - counts, counts, np.array([len(ids)]))


def join_words(*documents: Sequence[str], space: str = " ") -> Texts:
    """Documents of these words, with a space between any two."""
    texts, spans, start = [], [], 0
    for words in documents:
        offset = start
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + len(space)
        texts.append(space.join(words))
        start = offset + len(texts[-1])
    table = np.array(spans, dtype=np.int64).reshape(-1, 2)
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    return Texts(
        texts=texts,
        n_tokens=np.array([len(words) for words in documents], dtype=np.int64),
        offsets=np.cumsum(sizes) - sizes,
        starts=table[:, 0],
        ends=table[:, 1],
        is_space=np.array([w.isspace() for words in documents for w in words], dtype=np.bool_),
    )


def encode(pieces: Pieces, words: Sequence[str]) -> TextPieces:
    """The pieces of one document of these words."""
    return pieces.encode(join_words(words))


def read_tokens(pieces: Pieces, encoded: TextPieces) -> list[list[str]]:
    """The pieces of each token, as a person reads them."""
    spelt = pieces.spell(encoded.ids)
    spans = zip(encoded.starts.tolist(), encoded.lengths.tolist(), strict=True)
    return [spelt[start : start + n] for start, n in spans]
