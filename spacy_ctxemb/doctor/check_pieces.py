"""Which pieces does an encoder see of a corpus, and what is lost or cut?"""

from collections import Counter
from collections.abc import Iterator

from ..errors import Errors
from ..pieces.characters import CharacterPieces
from ..pieces.subwords import SubwordPieces
from ..thinc_model.build_model import needs_vocabulary
from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Part
from .count_pieces import PieceCounts
from .findings import Finding, error, ok, warning
from .initial_weights import find_loader

#: Share of tokens or pieces from which a loss is worth a warning.
LOST = 0.005

#: Share of texts in several windows that is worth a warning.
SPLIT = 0.2

#: More pieces a token, on average, show that a vocabulary does not fit its text.
PIECES_PER_TOKEN = 2.5


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
