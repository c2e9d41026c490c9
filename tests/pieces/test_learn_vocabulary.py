"""Learning word pieces: merges worked out by hand, and the same vocabulary each time."""

import json
import string
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.pieces.learn_vocabulary import learn_word_pieces

SPECIAL = ["[PAD]", "[UNK]"]
LETTERS = string.ascii_lowercase

#: Special pieces, punctuation, and letters and digits, each of them at the start and inside.
N_ALPHABET = len(SPECIAL) + 32 + 2 * 36


def learn(counts: dict[str, int], *, n_merges: int) -> list[str]:
    """The pieces of several characters, in the order of their ids."""
    vocabulary = learn_word_pieces(
        Counter(counts),
        size=N_ALPHABET + n_merges,
        special=SPECIAL,
        letters=LETTERS,
        progress=False,
    )
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    ranked = sorted(vocabulary, key=vocabulary.__getitem__)
    assert ranked[:2] == SPECIAL
    return [piece for piece in ranked[2:] if len(piece.removeprefix("##")) > 1]


def test_the_alphabet_is_there_whatever_the_text() -> None:
    vocabulary = learn_word_pieces(
        Counter(), size=200, special=SPECIAL, letters=LETTERS, progress=False
    )
    characters = LETTERS + string.digits
    inside = {f"##{character}" for character in characters}
    assert set(vocabulary) == {*SPECIAL, *string.punctuation, *characters, *inside}
    assert len(vocabulary) == N_ALPHABET


def test_frequent_pairs_are_merged_first() -> None:
    """Pairs: ##a ##t 9, h ##a 5, c ##a 4; then h ##at 5, c ##at 4."""
    counts = {"hat": 5, "cat": 4, "a": 50, "t": 50}
    assert learn(counts, n_merges=1) == ["##at"]
    assert learn(counts, n_merges=3) == ["##at", "hat", "cat"]


def test_a_letter_at_the_start_is_not_one_inside() -> None:
    """In "abab" a begins the word once: a ##b 3, ##a ##b 3 and ##b ##a 3, but ab in "ab" too."""
    assert learn({"abab": 3, "ab": 2}, n_merges=1) == ["ab"]


def test_no_more_pieces_than_there_are_merges() -> None:
    assert learn({"ab": 2}, n_merges=90) == ["ab"]


@given(st.dictionaries(st.text("abcé日", min_size=1, max_size=6), st.integers(1, 9), max_size=8))
def test_pieces_are_stretches_of_words(counts: dict[str, int]) -> None:
    starts = {word[:end] for word in counts for end in range(1, len(word) + 1)}
    inside = {
        f"##{word[start:end]}"
        for word in counts
        for start in range(1, len(word))
        for end in range(start + 1, len(word) + 1)
    }
    assert set(learn(counts, n_merges=200)) <= starts | inside


def test_a_character_left_out_does_not_join_its_neighbours() -> None:
    """There is no room for é, which is rarer than the 104 characters that are always there."""
    assert learn({"aéb": 5, "cd": 3}, n_merges=1) == ["cd"]


WORD_PIECES = f"""
from collections import Counter
from spacy_ctxemb.pieces.learn_vocabulary import learn_word_pieces
found = learn_word_pieces(
    Counter(words), size={N_ALPHABET + 110}, special={SPECIAL!r}, letters={LETTERS!r},
    progress=False,
)
"""
BYTE_PAIRS = """
from spacy_ctxemb.pieces.learn_vocabulary import train_byte_pairs
special = ["<s>", "<pad>", "</s>"]
tokenizer = train_byte_pairs([" ".join(words)], size=369, special=special, progress=False)
found = tokenizer.get_vocab()
"""


@pytest.mark.parametrize(
    "code, n_pieces", [(WORD_PIECES, N_ALPHABET + 110), (BYTE_PAIRS, 369)], ids=["words", "bytes"]
)
def test_another_process_learns_the_same(code: str, n_pieces: int) -> None:
    """Hash tables have another order in each process; all pairs here are ties."""
    words = [a + b for a in "zyxwvutsrq" for b in "éèabcdefghij"]
    code = f"import json\nwords = {words!r}\n{code}print(json.dumps(sorted(found, key=found.get)))"
    outputs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(4)
    ]
    assert len(json.loads(outputs[0])) == n_pieces
    assert len(set(outputs)) == 1
