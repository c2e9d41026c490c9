"""From Docs to pieces: alignments worked out by hand, sentences, counts."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from spacy.tokens import Doc
from tokenizers import Tokenizer

from spacy_ctxemb.pieces.base import Pieces
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pieces.subwords import SubwordPieces
from spacy_ctxemb.windows.docs_to_pieces import count, encode_docs, list_pieces, read_texts
from spacy_ctxemb.windows.pieces_to_windows import Windowing

from ..strategies import words_W
from ..texts import read_tokens
from ..tokenizers import build_byte_level, build_sentence_piece, build_word_piece

NLP = spacy.blank("en")

#: The words of some documents; no token is empty.
documents = st.lists(words_W.map(lambda words: [word for word in words if word]), max_size=4)


def load(tokenizer: Tokenizer) -> SubwordPieces:
    pieces = SubwordPieces(1000)
    pieces.load(tokenizer.to_str())
    return pieces


def align_text(pieces: Pieces, text: str | Doc) -> tuple[list[str], dict[str, list[str]]]:
    """All pieces of a text, and those of each token."""
    doc = NLP.make_doc(text) if isinstance(text, str) else text
    encoded = encode_docs([doc], pieces, split_sentences=True).pieces
    tokens = read_tokens(pieces, encoded)
    found = {token.text: own for token, own in zip(doc, tokens, strict=True)}
    assert len(found) == len(doc)
    return pieces.spell(encoded.ids), found


WORD_PIECES = load(
    build_word_piece(
        ["cannot", "don", "'", "t", "naive", "cafe", "e", "-", "mail", "@", "example", ".", "com"]
        + ["a", "b", "##b", "c", "co", "##operate", "日", "本", "1", "##⁄", "##2"]
    )
)


@pytest.mark.parametrize(
    "text, pieces, tokens",
    [
        ("cannot", ["cannot"], {"can": ["cannot"], "not": ["cannot"]}),
        ("don't", ["don", "'", "t"], {"do": ["don"], "n't": ["don", "'", "t"]}),
        ("Naïve café", ["naive", "cafe"], {"Naïve": ["naive"], "café": ["cafe"]}),
        ("cafe\u0301 a", ["cafe", "a"], {"cafe\u0301": ["cafe"], "a": ["a"]}),
        # One unknown word of two emoji, each a token; its joiner is dropped, and spanned.
        ("👍🏽", ["[UNK]"], {"👍": ["[UNK]"], "🏽": ["[UNK]"]}),
        ("👩\u200d💻", ["[UNK]"], {"👩": ["[UNK]"], "\u200d": ["[UNK]"], "💻": ["[UNK]"]}),
        (
            "e-mail@example.com",
            ["e", "-", "mail", "@", "example", ".", "com"],
            {"e-mail@example.com": ["e", "-", "mail", "@", "example", ".", "com"]},
        ),
        ("a  b", ["a", "b"], {"a": ["a"], " ": [], "b": ["b"]}),
        ("a\n\tb", ["a", "b"], {"a": ["a"], "\n\t": [], "b": ["b"]}),
        (" a", ["a"], {" ": [], "a": ["a"]}),
        ("co\u00adoperate", ["co", "##operate"], {"co\u00adoperate": ["co", "##operate"]}),
        ("日本", ["日", "本"], {"日本": ["日", "本"]}),
        ("", [], {}),
        (" \n ", [], {" \n ": []}),
        ("a \x00 b", ["a", "b"], {"a": ["a"], "\x00": [], "b": ["b"]}),
        ("a\x00b", ["a", "##b"], {"a\x00b": ["a", "##b"]}),
        (Doc(NLP.vocab, ["日", "本", "a"], [False] * 3), ["日", "本", "a"], None),
        (Doc(NLP.vocab, ["ca", "nn", "ot"], [False] * 3), ["cannot"], None),
    ],
)
def test_word_pieces_of_tricky_texts(
    text: str | Doc, pieces: list[str], tokens: dict[str, list[str]] | None
) -> None:
    if tokens is None:  # one piece a token, or one for all of them
        words = [token.text for token in text]
        own = {"日": ["日"], "本": ["本"], "a": ["a"]}
        tokens = {word: own.get(word, ["cannot"]) for word in words}
    assert align_text(WORD_PIECES, text) == (pieces, tokens)


BYTES = ("c", "a"), ("n", "n"), ("o", "t"), ("Ġ", "b"), ("Ã", "©"), ("f", "Ã©"), ("Ġ", "Ġ")


@pytest.mark.parametrize("trim_offsets", [True, False])
@pytest.mark.parametrize(
    "text, pieces, tokens",
    [
        ("cannot", ["ca", "nn", "ot"], {"can": ["ca", "nn"], "not": ["nn", "ot"]}),
        ("a b", ["a", "Ġb"], {"a": ["a"], "b": ["Ġb"]}),
        # The pattern leaves the last of several spaces to the word.
        ("a  b", ["a", "Ġ", "Ġb"], {"a": ["a"], " ": [], "b": ["Ġb"]}),
        ("a\nb", ["a", "Ċ", "b"], {"a": ["a"], "\n": [], "b": ["b"]}),
        (" a", ["Ġ", "a"], {" ": [], "a": ["a"]}),
        ("   ", ["ĠĠ", "Ġ"], {"   ": []}),
        ("", [], {}),
        ("é", ["Ã©"], {"é": ["Ã©"]}),
        ("fé", ["fÃ©"], {"fé": ["fÃ©"]}),
        # F0 9F 91 8D: four bytes of one character.
        ("👍", ["ð", "Ł", "ĳ", "į"], {"👍": ["ð", "Ł", "ĳ", "į"]}),
        ("\x00", ["Ā"], {"\x00": ["Ā"]}),
    ],
)
def test_bytes_of_tricky_texts(
    text: str, pieces: list[str], tokens: dict[str, list[str]], trim_offsets: bool
) -> None:
    byte_level = load(build_byte_level(*BYTES, trim_offsets=trim_offsets))
    assert align_text(byte_level, text) == (pieces, tokens)


@pytest.mark.parametrize(
    "text, pieces, tokens",
    [
        ("new york", ["▁new▁york"], {"new": ["▁new▁york"], "york": ["▁new▁york"]}),
        (
            "in new york",
            ["▁in", "▁new▁york"],
            {"in": ["▁in"], "new": ["▁new▁york"], "york": ["▁new▁york"]},
        ),
        ("in  new", ["▁in", "▁", "▁new"], {"in": ["▁in"], " ": [], "new": ["▁new"]}),
        (" in", ["▁", "▁in"], {" ": [], "in": ["▁in"]}),
    ],
)
def test_pieces_that_span_tokens(
    text: str, pieces: list[str], tokens: dict[str, list[str]]
) -> None:
    unigram = load(build_sentence_piece("▁", "▁in", "▁new", "▁york", "▁new▁york"))
    assert align_text(unigram, text) == (pieces, tokens)


@given(documents, st.data())
def test_texts_are_those_of_the_docs(drawn: list[list[str]], data: st.DataObject) -> None:
    docs = [Doc(NLP.vocab, words, [data.draw(st.booleans()) for _ in words]) for words in drawn]
    texts = read_texts(docs)
    assert texts.texts == [doc.text for doc in docs]
    assert texts.words == [token.text for doc in docs for token in doc]
    assert texts.n_tokens.tolist() == [len(doc) for doc in docs]
    assert texts.is_space.tolist() == [token.is_space for doc in docs for token in doc]
    begins = [
        token.idx + begin
        for doc, begin in zip(docs, texts.offsets.tolist(), strict=True)
        for token in doc
    ]
    assert texts.starts.tolist() == begins


def split_at(doc: Doc, *starts: int) -> Doc:
    for token in doc:
        token.is_sent_start = token.i in (0, *starts)
    return doc


def test_a_piece_is_in_the_sentence_of_its_last_character() -> None:
    """Of "in new york" the second sentence begins inside a piece; it may also be white space."""
    unigram = load(build_sentence_piece("▁", "▁in", "▁new", "▁york", "▁new▁york"))
    docs = [
        split_at(NLP("in new york"), 2),
        NLP(""),
        split_at(NLP("in  new"), 1),
        NLP("in new york"),  # no sentences are known
        split_at(NLP(" in"), 1),
    ]
    encoded = encode_docs(docs, unigram, split_sentences=True)
    assert encoded.sequence_starts == [[0, 2], [0], [0, 1], [0], [0, 1]]
    assert encoded.pieces.document_lengths.tolist() == [2, 0, 3, 2, 2]
    assert encoded.sequence_lengths.tolist() == [1, 1, 0, 2, 1, 2, 1, 1]
    whole = encode_docs(docs, unigram, split_sentences=False)
    assert whole.sequence_lengths.tolist() == [2, 0, 3, 2, 2]


def test_sentences_are_tokens_where_pieces_are_words() -> None:
    doc = split_at(NLP("One two. \n Three"), 4)
    encoded = encode_docs([NLP(""), doc, NLP("  ")], CharacterPieces(9), split_sentences=True)
    assert [token.text for token in doc][4] == "Three"
    assert encoded.sequence_lengths.tolist() == [0, 3, 1, 0]


@given(documents, st.data())
def test_sequences_and_documents_have_all_pieces(
    drawn: list[list[str]], data: st.DataObject
) -> None:
    docs = [Doc(NLP.vocab, words) for words in drawn]
    for doc in docs:
        split_at(doc, *(i for i in range(len(doc)) if data.draw(st.booleans())))
    for pieces in (WORD_PIECES, load(build_byte_level(*BYTES)), CharacterPieces(9)):
        encoded = encode_docs(docs, pieces, split_sentences=True)
        n_sequences = [len(starts) for starts in encoded.sequence_starts]
        ends = np.cumsum(n_sequences)
        by_document = [
            int(encoded.sequence_lengths[end - n : end].sum())
            for n, end in zip(n_sequences, ends, strict=True)
        ]
        assert by_document == encoded.pieces.document_lengths.tolist()
        assert sum(by_document) == len(encoded.pieces.ids)


def test_what_is_counted() -> None:
    docs = [NLP("a  b \x00 cannot z"), NLP("")]
    encoded = encode_docs(docs, WORD_PIECES, split_sentences=True)
    windowing = Windowing(window=8, stride=8, batch_pieces=20, max_padding=1.0)
    windows = encoded.cut(encoded.pieces.ids, WORD_PIECES.boundaries, windowing)
    assert count(docs, encoded, WORD_PIECES, len(windows.owned)) == {
        "documents": 2,
        "tokens": 7,
        "tokens_without_pieces": 2,
        "pieces": 4,
        "lossy_pieces": 1,
        "windows": 1,
    }


def test_pieces_are_listed_by_document() -> None:
    docs = [NLP("a cannot"), NLP(""), NLP(" b")]
    encoded = encode_docs(docs, WORD_PIECES, split_sentences=False)
    first, empty, second = list_pieces(encoded, WORD_PIECES)
    assert first["pieces"] == ["a", "cannot"] and second["pieces"] == ["b"]
    assert_array_equal(first["offsets"], [[0, 1], [2, 8]])
    assert_array_equal(second["offsets"], [[1, 2]])
    assert_array_equal(first["starts"], [0, 1, 1])
    assert_array_equal(first["lengths"], [1, 1, 1])
    assert_array_equal(second["lengths"], [0, 1])
    assert empty["pieces"] == [] and empty["offsets"].shape == (0, 2)
