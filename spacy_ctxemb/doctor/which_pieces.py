"""Which pieces does an encoder see of a corpus, and what is lost or cut?"""

from collections import Counter
from collections.abc import Iterator, Sequence

from spacy.tokens import Doc

from ..errors import Errors
from ..pieces.characters import CharacterPieces
from ..pieces.subwords import SubwordPieces
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.model import needs_vocabulary
from .build_parts import Part, Plan
from .count_pieces import PieceCounts
from .findings import Finding, error, ok, warning
from .which_weights import find_loader

#: Shares of tokens or pieces from which a loss is worth a warning.
CUT, UNKNOWN, LOST = 0.005, 0.01, 0.005

#: Share of documents in several windows that is worth a warning.
SPLIT = 0.2

#: More pieces a token, on average, show that a vocabulary does not fit its text.
PIECES_PER_TOKEN = 2.5


def check_vocabulary(
    name: str, built: EmbedderShim, shim: EmbedderShim, part: Part, plan: Plan
) -> Iterator[Finding]:
    """Say where subword pieces have their vocabulary from.

    built: the encoder as the config builds it. shim: as training begins with it.
    """
    pieces = shim.pieces
    if not isinstance(pieces, SubwordPieces):
        return
    is_given = find_loader("pieces_loader", name, part, plan) or plan.initialize.get("before_init")
    if not pieces.is_trained:
        yield error(Errors.E007.format(pieces=type(pieces).__name__))
    elif needs_vocabulary(built) and not is_given:
        n = pieces.n_trained
        yield ok(f"A vocabulary is learned from the training texts; here {n:,} pieces of a sample")
    else:
        yield ok(f"The vocabulary has {pieces.n_trained:,} pieces")


def check_pieces(
    counts: PieceCounts, shim: EmbedderShim, docs: Sequence[Doc], corpus: str
) -> Iterator[Finding]:
    """Judge the counts of one encoder and one corpus."""
    if not counts.pieces:
        advice = "Check the reader of the corpus, and the vocabulary."
        yield warning(f"{corpus}: no text has any pieces.", advice)
        return
    if isinstance(shim.pieces, CharacterPieces):
        room = shim.pieces.n_characters - 2
        what = f"of {counts.tokens:,} words fill the room of {room} bytes and may be cut"
        advice = "Raise max_characters and pretrain again, or split such words."
        yield judge(f"{corpus}: {{n}} {what}", counts.lossy, counts.tokens, CUT, advice)
    else:
        yield from check_subwords(counts, corpus)
    yield check_windows(counts, shim, corpus)
    yield name_longest(counts, docs, corpus)


def judge(text: str, found: Counter[str], total: int, limit: float, advice: str) -> Finding:
    """Name the most frequent losses, and warn of them from a share on. text: with a place {n}."""
    n = found.total()
    message = f"{text.format(n=n)} ({100 * n / max(total, 1):.2f} %)"
    if n:
        examples = ", ".join(f"{lost[:30]!r} ({k})" for lost, k in found.most_common(5))
        message = f"{message}: {examples}"
    return ok(message) if n < limit * total or not n else warning(message, advice)


def check_subwords(counts: PieceCounts, corpus: str) -> Iterator[Finding]:
    """Check whether a vocabulary and its tokenizer fit the text."""
    yield judge(
        f"{corpus}: {{n}} of {counts.pieces:,} pieces are unknown",
        counts.lossy,
        counts.pieces,
        UNKNOWN,
        "Take a vocabulary of this language and kind of text, or byte-level pieces.",
    )
    ratio = counts.pieces / max(counts.tokens, 1)
    message = f"{corpus}: {ratio:.2f} pieces a token"
    advice = "Take a larger vocabulary, or one of this language and kind of text."
    yield ok(message) if ratio <= PIECES_PER_TOKEN else warning(message, advice)
    yield judge(
        f"{corpus}: {{n}} of {counts.tokens:,} tokens have characters that lie in no piece",
        counts.gaps,
        counts.tokens,
        LOST,
        "The tokenizer drops them: see that its normaliser fits the text.",
    )
    yield judge(
        f"{corpus}: {{n}} of {counts.tokens:,} tokens have no pieces, and so vectors of zeros",
        counts.without_pieces,
        counts.tokens,
        LOST,
        "The tokenizer drops such text: remove it, or take another vocabulary.",
    )


def check_windows(counts: PieceCounts, shim: EmbedderShim, corpus: str) -> Finding:
    """Check how many texts are longer than a window."""
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
    """Name the documents with most pieces."""
    order = sorted(range(len(docs)), key=lambda i: -counts.document_pieces[i])[:3]
    longest = ", ".join(
        f"{counts.document_pieces[i]:,} ({docs[i].text[:20].strip()!r}, windows: "
        f"{counts.document_windows[i]})"
        for i in order
    )
    return ok(f"{corpus}: the longest documents in pieces: {longest}")
