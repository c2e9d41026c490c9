"""Tokenizers of the fixtures: of the kinds and with the settings of each family's published ones.

The pieces are few; special ones stand where they stand in the published vocabularies.
"""

import base64
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

from family_texts import CORPUS
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

#: Rules of a sentencepiece normaliser (ﬁ, …, ½, the no-break space and some others), as the
#: `precompiled_charsmap` that sentencepiece 0.2 makes of them, compressed.
CHARSMAP = zlib.decompress(
    base64.b64decode(
        "eNol0wmQj2UcB/Df/y9jmJpiFBlNxTaOtNhydSlHIlEqlURKm2PQRdL1X1at1lWJTcVuF1tERY5yZFU024Wi6EKD"
        "GeTKUa7Pyzvzeb/PPL/fO/O88zxPnBERF0VUrhxRpWJEKiJTHunIOyuimnFxVa+sdFQSheqeTAUyZ6Yj0yxi1nC9"
        "5s82VyJ9ljlXU3VqcB7nU5MlN0fUkhdQmwv5fG46Lj69hKhLHS4hi3q8NzuigazPpTTkMhrRmGya0oTLycGy4gpa"
        "0JxWtOQqruQarqY113I919GWNrSnHR24gY7cyE10wm9EZ7rShVu5hdvoxh3czp10527u4h56cC896U0v+nAfD3A/"
        "D9KXh8ilP/0YyAAGJT2T0jFEDuYRHuYxHmUoj/MEw3iS4TzFCJ7haZ7jWfKSTWUUIxlNPi/wPGMooJAXGcdYJjCe"
        "l5jIK7zMq0xiCpN5jSJeZypv8gbTmUYJxbzNW7zLO8xI9p9SZvIB7+NIxCzm8CEfMZdP+Jj5zGMBn7KIhXzG4uQc"
        "JueOZSzlC5ZTxgq+ZCVf8xWrWZXU5qXiG/kt5XzPd/zID6xlDT+xjvX8zC9sYCO/8hub+IPf+Ys/2cJm/mYr2/jn"
        "nFTskNuTWkEqthSlYpfxzqTGbvayh/3s418OcIiDHOEw//MfxzjKCY7HqcuXnZ0dTTfn5ee4DLn9o6w0TgKIHZTc"
    )
)


def build_word_pieces(size: int, specials: Sequence[str], *, lowercase: bool = True) -> Tokenizer:
    """BERT's: `[CLS] text [SEP]`. specials: the first pieces of the vocabulary."""
    tokenizer = build_bert_splitter(lowercase)
    vocab = [*specials, *list_word_pieces(size - len(specials), tokenizer)]
    tokenizer.model = models.WordPiece({p: i for i, p in enumerate(vocab)}, unk_token="[UNK]")
    mark_special(tokenizer, specials)
    bound(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def build_mpnet_pieces(size: int) -> Tokenizer:
    """MPNet's: BERT's pieces between RoBERTa's boundaries, `<s> text </s>`."""
    first, mask = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]"], "<mask>"
    tokenizer = build_bert_splitter(lowercase=True)
    vocab = [*first, *list_word_pieces(size - len(first) - 1, tokenizer), mask]
    tokenizer.model = models.WordPiece({p: i for i, p in enumerate(vocab)}, unk_token="[UNK]")
    mark_special(tokenizer, [*first, mask])
    bound_like_roberta(tokenizer)
    return tokenizer


def build_bert_splitter(lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def build_byte_pairs(size: int, specials: Sequence[str]) -> Tokenizer:
    """RoBERTa's: `<s> text </s>`, a space being part of the piece that follows it."""
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    train_bytes(tokenizer, size, specials)
    mark_special(tokenizer, specials)
    bound_like_roberta(tokenizer)
    return tokenizer


def build_modernbert_pieces(size: int, specials: Sequence[str]) -> Tokenizer:
    """ModernBERT's: `[CLS] text [SEP]` of byte pairs; runs of spaces are pieces of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    train_bytes(tokenizer, size, ["[UNK]"])
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in (3, 2)])
    mark_special(tokenizer, specials)
    bound(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def build_unigrams(size: int, first: Sequence[str], last: Sequence[str]) -> Tokenizer:
    """XLM-RoBERTa's and CamemBERT's: `<s> text </s>`. first, last: special pieces."""
    vocab = list_unigrams(size, first, last)
    unknown = [piece for piece, _ in vocab].index("<unk>")
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=unknown))
    tokenizer.normalizer = normalizers.Precompiled(CHARSMAP)
    split_at_spaces(tokenizer)
    mark_special(tokenizer, [*first, *last])
    bound(tokenizer, "<s>", "</s>")
    return tokenizer


def build_albert_pieces(size: int) -> Tokenizer:
    """ALBERT's: `[CLS] text [SEP]`, lower case without accents."""
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    rules = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Precompiled(CHARSMAP),
        ]
    )
    corpus = [rules.normalize_str(line) for line in CORPUS]
    tokenizer = Tokenizer(models.Unigram(list_unigrams(size, specials, [], corpus), unk_id=1))
    tokenizer.normalizer = rules
    split_at_spaces(tokenizer)
    mark_special(tokenizer, specials)
    bound(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def split_at_spaces(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")


def train_bytes(tokenizer: Tokenizer, size: int, specials: Sequence[str]) -> None:
    """Learn merges of bytes; every byte is a piece, so none is unknown."""
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)


def list_unigrams(
    size: int, first: Sequence[str], last: Sequence[str], corpus: Sequence[str] = CORPUS
) -> list[tuple[str, float]]:
    """Pieces with the logarithms of their frequencies, special ones around them."""
    counts = choose_substrings(
        (f"▁{word}" for line in corpus for word in line.split()), size - len(first) - len(last)
    )
    total = sum(counts.values())
    scored = [(piece, math.log(count / total)) for piece, count in counts.items()]
    return [*((s, 0.0) for s in first), *scored, *((s, 0.0) for s in last)]


def list_word_pieces(size: int, splitter: Tokenizer) -> list[str]:
    """Pieces of words as BERT's vocabularies spell them, `##` before those inside a word."""
    words = [
        f"▁{word}"
        for line in CORPUS
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(
            splitter.normalizer.normalize_str(line)
        )
    ]
    pieces = choose_substrings(words, size + 1)
    return [p[1:] if p[0] == "▁" else f"##{p}" for p in pieces if p != "▁"]


def choose_substrings(words: Iterable[str], size: int) -> dict[str, int]:
    """Every letter of the words, and the substrings that shorten them most, with their counts.

    A letter at the start of a word, marked by ▁, is another than that letter within a word.
    Unlike the trainers of WordPiece and Unigram, always the same.
    """
    counts: Counter[str] = Counter()
    for word in words:
        counts.update(word[i:j] for i in range(len(word)) for j in range(i + 1, len(word) + 1))
    letters = [piece for piece in counts if len(piece.removeprefix("▁")) < 2]
    longer = [piece for piece in counts if piece not in letters and len(piece) < 8]
    longer.sort(key=lambda piece: (-counts[piece] * (len(piece) - 1), piece))
    kept = (letters + longer)[:size]
    kept.sort(key=lambda piece: (-counts[piece], piece))
    return {piece: counts[piece] for piece in kept}


def mark_special(tokenizer: Tokenizer, specials: Sequence[str]) -> None:
    """Declare special pieces; the mask takes the space before it, as in the published files."""
    tokenizer.add_special_tokens(
        [AddedToken(s, lstrip="mask" in s.lower(), normalized=False) for s in specials]
    )


def bound(tokenizer: Tokenizer, begin: str, end: str) -> None:
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, ids[begin]), (end, ids[end])]
    )


def bound_like_roberta(tokenizer: Tokenizer) -> None:
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), trim_offsets=True, add_prefix_space=False
    )


def sort_pieces(tokenizer: Tokenizer) -> list[str]:
    """The pieces of a vocabulary in the order of their ids."""
    vocab = tokenizer.get_vocab()
    return sorted(vocab, key=lambda piece: vocab[piece])
