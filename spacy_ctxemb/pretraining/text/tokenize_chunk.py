"""Tokenising one chunk of a corpus: from texts to a shard, the pieces of the chunk."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from spacy.util import load_model_from_config

from ...objectives.masking import find_words
from ...pieces.base import Ints, Pieces, TextPieces, Texts
from ...pieces.characters import CharacterPieces
from ...pieces.pieces_from_json import pieces_from_json
from ...windows.docs_to_pieces import count_in_sequences, find_sequence_starts, read_texts
from .raw_text import Text
from .shards import Shard
from .shared_words import share_words

#: Words that a worker remembers at most before it begins anew; they take some 200 bytes each.
MAX_WORDS = 1 << 20


class Recipe(NamedTuple):
    """What a worker is built from, as plain values: the part of nlp.config that the tokenizer
    depends on, the tokenizer's bytes, the pieces' JSON, whether documents are split; other pieces'
    JSON, with which words are shared."""

    config: dict[str, Any]
    tokenizer: bytes | None
    pieces: dict[str, object]
    split: bool
    others: list[dict[str, object]]


def make_recipe(
    nlp: Language, pieces: Pieces, *, split: bool, shared_with: Sequence[Pieces] = ()
) -> Recipe:
    """Collect what is needed to tokenise in another process."""
    config = nlp.config.interpolate()
    section = {**config["nlp"], "pipeline": [], "disabled": []}
    tokenizer: Any = nlp.tokenizer  # a plain function is what its config says
    # Its vocabulary only remembers what was read.
    data = tokenizer.to_bytes(exclude=["vocab"]) if hasattr(tokenizer, "to_bytes") else None
    others = [other.to_json() for other in shared_with]
    return Recipe({"nlp": section, "components": {}}, data, pieces.to_json(), split, others)


class Worker:
    """Makes shards of chunks.

    Example:
        worker = Worker(make_recipe(nlp, pieces, split=True))
        save_shard(worker.encode(chunk), path)
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pieces = pieces_from_json(recipe.pieces)
        self.others = [pieces_from_json(data) for data in recipe.others]
        self.sentencizer = Sentencizer() if recipe.split else None
        self._load_tokenizer()

    def _load_tokenizer(self) -> None:
        nlp = load_model_from_config(self.recipe.config, auto_fill=True)
        tokenizer: Any = nlp.tokenizer
        if self.recipe.tokenizer is not None:
            tokenizer.from_bytes(self.recipe.tokenizer)
        self.vocab, self.tokenizer = nlp.vocab, tokenizer

    def encode(self, chunk: Sequence[Text]) -> Shard:
        """Tokenise a chunk, which has at least one text."""
        if len(self.vocab) > MAX_WORDS:
            self._load_tokenizer()
        docs = [self._tokenize(text) for text in chunk]
        found = [find_sequence_starts(doc) for doc in docs]  # of sentences in each text
        n_tokens, n_sentences = (np.array([len(one) for one in x]) for x in (docs, found))
        # Tokens are numbered through all texts.
        starts = np.concatenate(found) + np.repeat(np.cumsum(n_tokens) - n_tokens, n_sentences)
        begins = np.array([text.begins_document for text in chunk])
        continues = np.array(not begins[0])
        begins[0] = True
        document_lengths = np.add.reduceat(n_sentences, np.flatnonzero(begins))
        texts = join_texts(read_texts(docs), begins)
        if isinstance(self.pieces, CharacterPieces):
            encoded = encode_types(docs, starts)
        else:
            encoded = encode_pieces(self.pieces, texts, starts, document_lengths)
        if self.others:
            encoded = self._share_words(encoded, texts, starts)
        return Shard(
            ids=encoded.ids.astype(np.int32),
            word_starts=encoded.word_starts,
            sentence_lengths=encoded.sentence_lengths,
            document_lengths=document_lengths,
            continues=continues,
            types=encoded.types,
            type_counts=encoded.type_counts,
        )

    def _tokenize(self, text: Text) -> Doc:
        # Not nlp.make_doc, which refuses texts that are too long for parsers.
        doc: Doc = self.tokenizer(text.text)
        if self.sentencizer is not None and not text.is_sentence:
            doc = self.sentencizer(doc)
        return doc

    def _share_words(self, encoded: "Encoded", texts: Texts, sentence_starts: Ints) -> "Encoded":
        """Take the words that these pieces share with others in place of their own."""
        own = encoded.pieces or self.pieces.encode(texts)
        kinds = [own, *(other.encode(texts) for other in self.others)]
        kept, word_starts, lengths = share_words(kinds, texts.n_tokens, sentence_starts)[0]
        return encoded._replace(
            ids=encoded.ids[kept], word_starts=word_starts, sentence_lengths=lengths
        )


class Encoded(NamedTuple):
    """The parts of a Shard that depend on the kind of pieces; pieces: but for those of types."""

    ids: NDArray[Any]
    word_starts: NDArray[np.bool_]
    sentence_lengths: Ints
    types: list[str]
    type_counts: Ints
    pieces: TextPieces | None


def encode_pieces(pieces: Pieces, texts: Texts, starts: Ints, document_lengths: Ints) -> Encoded:
    """Encode documents. starts: (S,), the tokens that begin a sentence. document_lengths: (D,)."""
    found = pieces.encode(texts)
    starts = starts - np.repeat(np.cumsum(texts.n_tokens) - texts.n_tokens, document_lengths)
    by_document = [x.tolist() for x in np.split(starts, np.cumsum(document_lengths)[:-1])]
    lengths = count_in_sequences(texts, found, by_document)
    words = find_words(found.starts, found.lengths, n_pieces=len(found.ids))
    none = np.zeros(0, dtype=np.int64)
    return Encoded(found.ids, np.diff(words, prepend=-1) > 0, lengths, [], none, found)


def encode_types(docs: Sequence[Doc], starts: Ints) -> Encoded:
    """Number words as types, in any order; white space is left out. starts: see encode_pieces."""
    table = np.concatenate([doc.to_array(["ORTH", "IS_SPACE"]) for doc in docs])  # (W, 2)
    is_word = table[:, 1] == 0
    orths, ids, counts = np.unique(table[is_word, 0], return_inverse=True, return_counts=True)
    words_before = np.concatenate([[0], np.cumsum(is_word)])
    lengths = np.diff(words_before[np.append(starts, len(table))])
    strings = docs[0].vocab.strings
    types = [strings[orth] for orth in orths.tolist()]
    return Encoded(ids.ravel(), np.ones(len(ids), dtype=np.bool_), lengths, types, counts, None)


def join_texts(texts: Texts, begins: NDArray[np.bool_]) -> Texts:
    """Join the texts of each document, with a space between any two, as in running text.

    begins: (n,), whether a text begins a document; the first one does.
    """
    shift = np.cumsum(~begins)  # (n,), spaces put before a text
    first = np.flatnonzero(begins)
    bounds = zip(first, [*first[1:], len(begins)], strict=True)
    return Texts(
        texts=[" ".join(texts.texts[start:end]) for start, end in bounds],
        n_tokens=np.add.reduceat(texts.n_tokens, first),
        offsets=(texts.offsets + shift)[first],
        starts=texts.starts + np.repeat(shift, texts.n_tokens),
        ends=texts.ends + np.repeat(shift, texts.n_tokens),
        is_space=texts.is_space,
    )
