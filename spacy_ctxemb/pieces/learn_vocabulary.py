"""Learning vocabularies, the same ones each time.

The trainer of WordPiece in `tokenizers` numbers the pieces inside words in the order of a hash
table, which changes from run to run, and breaks ties by these numbers. Its trainer of byte-pair
encoding does not. So characters inside a word are written as private characters of their own,
byte-pair encoding merges them, and the result is read as word pieces.

Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units",
section 3.2.
"""

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The first of the private characters that stand for characters inside words.
PRIVATE = 0xF0000

#: Pieces of the largest vocabulary: the trainer takes memory for as many as it is asked for.
MOST = 1 << 22

#: Repetitions of a word passed to the trainer at a time.
LINE_LENGTH = 1000


def train_word_pieces(
    texts: Iterable[str], *, size: int, special: Sequence[str], lowercase: bool, progress: bool
) -> "Tokenizer":
    """BERT's tokenizer with a vocabulary learned from texts.

    size: pieces at most. special: unknown pieces are the second of them. lowercase: fold case and
    accents.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(unk_token=special[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vocabulary = learn_word_pieces(
        count_words(tokenizer, texts),
        size=size,
        special=special,
        letters=string.ascii_lowercase if lowercase else string.ascii_letters,
        progress=progress,
    )
    tokenizer.model = models.WordPiece(vocabulary, unk_token=special[1])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def train_byte_pairs(
    texts: Iterable[str], *, size: int, special: Sequence[str], progress: bool
) -> "Tokenizer":
    """RoBERTa's tokenizer with a vocabulary learned from texts.

    size: pieces at most. special: a text stands between the first and the third of them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=min(max(size, 0), MOST),
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin, end = ((piece, special.index(piece)) for piece in (special[0], special[2]))
    # By position: the library's name of `cls` has changed.
    tokenizer.post_processor = processors.RobertaProcessing(end, begin, True, False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def learn_word_pieces(
    counts: Counter[str], *, size: int, special: Sequence[str], letters: str, progress: bool
) -> dict[str, int]:
    """Word pieces and their ids, the special ones first. A piece inside a word begins with ##.

    counts: how often each word occurs. size: pieces at most. letters: these, digits and
    punctuation can be spelt whatever the text.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = letters + string.digits
    # Pieces left for other characters, twice each, and for what is longer: half for either.
    room = size - len(special) - len(string.punctuation) - 2 * len(alphabet)
    counts = keep_common_characters(
        counts, limit=max(room, 0) // 4, always=alphabet + string.punctuation
    )
    characters = sorted(set(alphabet).union(*counts))
    inner = {character: chr(PRIVATE + i) for i, character in enumerate(characters)}
    outer = {private: character for character, private in inner.items()}
    always = [*string.punctuation, *alphabet, *(inner[character] for character in alphabet)]
    trainer = trainers.BpeTrainer(
        vocab_size=min(max(size, 0), MOST),
        special_tokens=list(special),
        initial_alphabet=always,
        show_progress=progress,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_lines(counts, inner), trainer)
    return {_read_piece(piece, outer, special): i for piece, i in tokenizer.get_vocab().items()}


def keep_common_characters(counts: Counter[str], *, limit: int, always: str) -> Counter[str]:
    """The words without rare characters, so that these do not fill the vocabulary.

    limit: characters to keep besides those of `always`; each takes up to two pieces.
    """
    frequencies: Counter[str] = Counter()
    for word, n in counts.items():
        for character in word:
            frequencies[character] += n
    others = sorted(set(frequencies) - set(always), key=lambda c: (-frequencies[c], c))
    kept = {*always, *others[:limit]}
    return Counter({word: n for word, n in counts.items() if kept.issuperset(word)})


def count_words(tokenizer: "Tokenizer", texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, as a tokenizer normalises and splits it."""
    counts: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return counts


def _lines(counts: Counter[str], inner: dict[str, str]) -> Iterator[str]:
    """Each word as often as it occurs, private characters inside."""
    for word in sorted(counts):
        written = word[0] + "".join(inner[character] for character in word[1:])
        for start in range(0, counts[word], LINE_LENGTH):
            yield " ".join([written] * min(LINE_LENGTH, counts[word] - start))


def _read_piece(piece: str, outer: dict[str, str], special: Sequence[str]) -> str:
    if piece in special:
        return piece
    text = "".join(outer.get(character, character) for character in piece)
    return f"##{text}" if piece[0] in outer else text
