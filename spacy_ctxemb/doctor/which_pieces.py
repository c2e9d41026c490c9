"""What counts of pieces mean."""

from collections import Counter
from collections.abc import Iterator, Sequence

from spacy.tokens import Doc

from ..pieces.characters import CharacterPieces
from ..thinc_model.embedder_shim import EmbedderShim
from .count_pieces import PieceCounts
from .findings import Finding, ok, warning

#: Shares of tokens or pieces that are worth a warning.
CUT, UNKNOWN, LOST = 0.005, 0.01, 0.005

#: Share of documents in several windows that is worth one.
SPLIT = 0.2

#: Pieces of a token, on average, above which a vocabulary does not fit its text.
PIECES_PER_TOKEN = 2.5

#: Examples named.
N_NAMED = 5


def check_pieces(
    counts: PieceCounts, shim: EmbedderShim, docs: Sequence[Doc], corpus: str
) -> Iterator[Finding]:
    """One encoder and one corpus."""
    if not counts.pieces:
        advice = "Check the reader of the corpus, and the vocabulary."
        yield warning(f"{corpus}: no text has any pieces.", advice)
        return
    if isinstance(shim.pieces, CharacterPieces):
        yield check_cut(counts, shim.pieces, corpus)
    else:
        yield check_unknown(counts, corpus)
        yield check_ratio(counts, corpus)
        yield check_gaps(counts, corpus)
        yield check_lost(counts, corpus)
    yield check_windows(counts, shim, corpus)
    yield name_longest(counts, docs, corpus)


def check_cut(counts: PieceCounts, pieces: CharacterPieces, corpus: str) -> Finding:
    """Words of which an encoder of characters sees the beginning only."""
    n, room = counts.lossy.total(), pieces.n_characters - 2
    if not n:
        return ok(f"{corpus}: no word is longer than {room} bytes")
    message = (
        f"{corpus}: {n} of {counts.tokens:,} words ({percent(n, counts.tokens)}) fill the room of "
        f"{room} bytes and may be cut: {name(counts.lossy)}"
    )
    if n < CUT * counts.tokens:
        return ok(message)
    return warning(message, "Raise max_characters and pretrain again, or split such words.")


def check_unknown(counts: PieceCounts, corpus: str) -> Finding:
    """Text that the vocabulary cannot spell."""
    n = counts.lossy.total()
    message = f"{corpus}: {n} of {counts.pieces:,} pieces ({percent(n, counts.pieces)}) are unknown"
    if n < UNKNOWN * counts.pieces:
        return ok(message)
    return warning(
        f"{message}: {name(counts.lossy)}",
        "Take a vocabulary of this language and kind of text, or byte-level pieces.",
    )


def check_ratio(counts: PieceCounts, corpus: str) -> Finding:
    """Words in many pieces: a vocabulary of other text."""
    ratio = counts.pieces / max(counts.tokens, 1)
    message = f"{corpus}: {ratio:.2f} pieces a token"
    if ratio <= PIECES_PER_TOKEN:
        return ok(message)
    return warning(message, "Take a larger vocabulary, or one of this language and kind of text.")


def check_gaps(counts: PieceCounts, corpus: str) -> Finding:
    """Tokens of which some characters lie in no piece."""
    n = counts.gaps.total()
    share = percent(n, counts.tokens)
    message = f"{corpus}: {n} tokens ({share}) have characters that lie in no piece"
    if n < LOST * counts.tokens:
        return ok(message)
    advice = "The tokenizer drops them: see that its normaliser fits the text."
    return warning(f"{message}: {name(counts.gaps)}", advice)


def check_lost(counts: PieceCounts, corpus: str) -> Finding:
    """Tokens that have no pieces, and so a vector of zeros."""
    n = counts.without_pieces.total()
    message = f"{corpus}: {n} tokens ({percent(n, counts.tokens)}) have no pieces"
    if n < LOST * counts.tokens:
        return ok(message)
    return warning(
        f"{message}, and vectors of zeros: {name(counts.without_pieces)}",
        "The tokenizer drops such text: remove it, or take another vocabulary.",
    )


def check_windows(counts: PieceCounts, shim: EmbedderShim, corpus: str) -> Finding:
    """Texts that are longer than a window."""
    windowing = shim.windowing.windowing
    if not counts.split:
        return ok(f"{corpus}: no text is longer than a window of {windowing.window} pieces")
    what = "sentences or documents" if shim.windowing.split_sentences else "documents"
    message = (
        f"{corpus}: {counts.split} of {counts.sequences:,} {what} are longer than a window of "
        f"{windowing.window} pieces; windows overlap by {windowing.window - windowing.stride}"
    )
    if counts.split < SPLIT * counts.sequences:
        return ok(message)
    return warning(
        message,
        "Nothing is cut off, but context ends at windows: raise `window` where the encoder allows "
        "it, or set sentences before it.",
    )


def name_longest(counts: PieceCounts, docs: Sequence[Doc], corpus: str) -> Finding:
    """The documents with most pieces."""
    order = sorted(range(len(docs)), key=lambda i: -counts.document_pieces[i])[:3]
    longest = ", ".join(
        f"{counts.document_pieces[i]:,} ({docs[i].text[:20].strip()!r}, windows: "
        f"{counts.document_windows[i]})"
        for i in order
    )
    return ok(f"{corpus}: the longest documents in pieces: {longest}")


def name(found: Counter[str]) -> str:
    """The most frequent ones."""
    return ", ".join(f"{text[:30]!r} ({n})" for text, n in found.most_common(N_NAMED))


def percent(n: int, total: int) -> str:
    return f"{100 * n / max(total, 1):.2f} %"
