"""Pieces as a config names them."""

from collections.abc import Sequence

from ..errors import Errors
from .base import Pieces
from .characters import CharacterPieces
from .subwords import BytePairPieces, SubwordPieces, WordPieces


def build_character_pieces(
    *, max_characters: int = 50, tokens_to_add: Sequence[Sequence[str | int]] | None = None
) -> Pieces:
    """`spacy-ctxemb.CharacterPieces.v1`: a word is one piece, of max_characters characters.

    tokens_to_add: [word, id] each, words that are one character of their own; ids below 32 are
        rare in text. Not an object: as its keys, spaCy's configs could not hold all words.
    """
    added = {str(word): int(i) for word, i in tokens_to_add or ()}
    for word in added:
        if "$" in word:
            raise ValueError(Errors.E122.format(word=word))
    return CharacterPieces(max_characters, tokens_to_add=added)


def build_word_pieces(*, vocab_size: int = 8000, lowercase: bool = False) -> Pieces:
    """`spacy-ctxemb.WordPieces.v1`: parts of words from a vocabulary of at most vocab_size.

    vocab_size: pieces at most, special ones included. 2,000 to 50,000.
    lowercase: whether a vocabulary learned from training examples folds case and accents.
    """
    return WordPieces(vocab_size, lowercase=lowercase)


def build_byte_pair_pieces(*, vocab_size: int = 8000) -> Pieces:
    """`spacy-ctxemb.BytePairPieces.v1`: stretches of bytes from a vocabulary of at most vocab_size.

    vocab_size: at least 261. 4,000 to 50,000.
    """
    return BytePairPieces(vocab_size)


def build_subword_pieces(*, vocab_size: int) -> Pieces:
    """`spacy-ctxemb.SubwordPieces.v1`: pieces by any tokenizer.json of the `tokenizers` library.

    vocab_size: of the encoder's table, not smaller than the tokenizer's vocabulary.
    """
    return SubwordPieces(vocab_size)
