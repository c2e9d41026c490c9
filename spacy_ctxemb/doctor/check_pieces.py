"""Which pieces does an encoder see of a corpus, and what is lost or cut?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc

from ..errors import Errors
from ..pieces.base import Ints
from ..pieces.characters import CharacterPieces
from ..pieces.subwords import SubwordPieces
from ..thinc_model.build_model import needs_vocabulary
from ..thinc_model.docs_to_outputs import GROUP_TOKENS, group_docs
from ..thinc_model.embedder_shim import EmbedderShim
from ..windows.docs_to_pieces import DocPieces, encode_docs
from ..windows.pieces_to_windows import lay_windows
from .build_components import Part
from .check_what_learns import find_loader
from .findings import Finding, error, ok, warning

#: Share of tokens or pieces from which a loss is worth a warning.
LOST = 0.005

#: Share of texts in several windows that is worth a warning.
SPLIT = 0.2

#: More pieces a token, on average, show that a vocabulary does not fit its text.
PIECES_PER_TOKEN = 2.5


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


def check_vocabulary(name: str, shim: EmbedderShim, part: Part) -> Iterator[Finding]:
    """Say where subword pieces have their vocabulary from. shim: as training begins with it."""
    if not isinstance(shim.pieces, SubwordPieces):
        return
    callback = part.plan.initialize.get("before_init")
    is_given = find_loader("pieces_loader", name, part) or callback
    n = shim.pieces.n_trained
    if not shim.pieces.is_trained:
        yield error(Errors.E123.format(pieces=type(shim.pieces).__name__))
    elif needs_vocabulary(part.encoders[name]) and not is_given:
        yield ok(f"A vocabulary is learned from the training texts; here {n:,} pieces of a sample")
    else:
        yield ok(f"The vocabulary has {n:,} pieces")


def check_pieces(counts: PieceCounts, shim: EmbedderShim, corpus: str) -> Iterator[Finding]:
    """Judge the counts of one encoder and one corpus."""
    if not counts.pieces:
        advice = "Check the reader of the corpus, and the vocabulary."
        yield warning(f"{corpus}: no text has any pieces.", advice)
        return
    yield ok(
        f"{corpus}: {counts.pieces:,} pieces of {counts.tokens:,} tokens in {counts.windows:,} "
        f"windows; the longest document has {counts.longest_document:,} pieces"
    )
    if isinstance(shim.pieces, CharacterPieces):
        yield from find_loss(
            f"{corpus}: words that fill the room of {shim.pieces.n_characters - 2} bytes, and may "
            "be cut",
            counts.lossy_pieces,
            counts.tokens,
            "Raise max_characters and pretrain again, or split such words.",
        )
    else:
        yield from check_subwords(counts, corpus)
    yield from check_windows(counts, shim, corpus)


def find_loss(what: str, found: Counter[str], total: int, advice: str) -> Iterator[Finding]:
    """Warn of a loss from a share on, and name the most frequent texts."""
    n = found.total()
    if n and n >= LOST * total:
        examples = ", ".join(f"{text[:30]!r} ({k})" for text, k in found.most_common(5))
        share = 100 * n / max(total, 1)
        yield warning(f"{what}: {n:,} of {total:,} ({share:.1f} %), most often {examples}", advice)


def check_subwords(counts: PieceCounts, corpus: str) -> Iterator[Finding]:
    """Check whether a vocabulary and its tokenizer fit the text."""
    advice = "Take a vocabulary of this language and kind of text, or byte-level pieces."
    ratio = counts.pieces / max(counts.tokens, 1)
    if ratio > PIECES_PER_TOKEN:
        yield warning(f"{corpus}: words have many pieces, {ratio:.1f} a token.", advice)
    yield from find_loss(f"{corpus}: unknown pieces", counts.lossy_pieces, counts.pieces, advice)
    yield from find_loss(
        f"{corpus}: tokens with characters that lie in no piece",
        counts.tokens_with_gaps,
        counts.tokens,
        "The tokenizer drops them: see that its normaliser fits the text.",
    )
    yield from find_loss(
        f"{corpus}: tokens without pieces, and so with vectors of zeros",
        counts.tokens_without_pieces,
        counts.tokens,
        "The tokenizer drops such text: remove it, or take another vocabulary.",
    )


def check_windows(counts: PieceCounts, shim: EmbedderShim, corpus: str) -> Iterator[Finding]:
    """Check how many texts are longer than a window."""
    if counts.split_sequences < max(1, SPLIT * counts.sequences):
        return
    what = "sentences or documents" if shim.windowing.split_sentences else "documents"
    yield warning(
        f"{corpus}: {counts.split_sequences:,} of {counts.sequences:,} {what} are longer than a "
        f"window of {shim.windowing.window} pieces.",
        "Nothing is cut off, but context ends at windows: raise `window` where the encoder allows "
        "it, or set sentences before it.",
    )


def count_pieces(shim: EmbedderShim, docs: Sequence[Doc]) -> PieceCounts:
    """Encode documents as training does, without running the encoder."""
    counts = PieceCounts()
    for group in group_docs(shim, docs, GROUP_TOKENS):
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
