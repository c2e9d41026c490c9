"""Reading tokenizer.json files: what a tokenizer's special pieces are for."""

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Errors
from ..read_files import coding_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

#: Begin and end of a text, as BERT and RoBERTa name them.
BOUNDARIES = (("[CLS]", "[SEP]"), ("<s>", "</s>"))
MASKS = ("[MASK]", "<mask>")
UNKNOWN = ("[UNK]", "<unk>")
PADDING = ("[PAD]", "<pad>")

#: Published tokenizers make one or two characters of one.
MOST_GROWTH = 64
#: A piece of more characters. The library frees a vocabulary of Unigram character by character, and
#: runs out of stack where a piece is very long.
TOO_LONG = re.compile(r'\[\s*"(?:[^"\\]|\\.){1001}')


class SpecialPieces(NamedTuple):
    """Ids of special pieces by what they are for.

    begin, end: put around a text. mask: hides a piece; unknown: for what has no other piece;
    None where there is none. ids: of all special pieces, in order. n_ids: all ids are below.
    """

    begin: int
    end: int
    mask: int | None
    unknown: int | None
    ids: list[int]
    n_ids: int


def read_tokenizer(tokenizer_json: str, source: str) -> "Tokenizer":
    """The tokenizer, which pads and cuts nothing, leaves nothing to chance, and puts a piece before
    and after a text.

    source: where it comes from, for messages. Raises E124 for text of another kind, pieces that
    are too long, a prefix that no piece has, or a normaliser that lets text grow beyond measure,
    E125 for a vocabulary without the piece for unknown text.
    """
    tokenizer = parse(tokenizer_json, source)
    growth = count_growth(tokenizer.normalizer)
    if growth > MOST_GROWTH:
        reason = (
            f"its normalizer makes up to {growth} characters of one, at most {MOST_GROWTH} are read"
        )
        raise ValueError(Errors.E124.format(source=source, reason=reason))
    # "##" is the usual prefix. A vocabulary of whole words alone has it too, and no such piece.
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    if prefix and prefix != "##" and not any(p.startswith(prefix) for p in tokenizer.get_vocab()):
        reason = f"no piece begins with its continuing_subword_prefix {prefix[:40]!r}"
        raise ValueError(Errors.E124.format(source=source, reason=reason))
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown and tokenizer.token_to_id(unknown) is None:
        raise ValueError(Errors.E125.format(source=source, missing=[unknown]))
    # Both would change how many pieces a text has.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if getattr(tokenizer.model, "dropout", None):  # meant for training; drawn anew for each text
        tokenizer.model.dropout = None
    if not tokenizer.num_special_tokens_to_add(is_pair=False):
        add_boundaries(tokenizer)
    return tokenizer


def parse(tokenizer_json: str, source: object) -> "Tokenizer":
    """The tokenizer as the text has it. Raises E124 for text of another kind, and long pieces."""
    from tokenizers import Tokenizer

    if TOO_LONG.search(tokenizer_json):
        reason = "it has pieces of more than 1,000 characters"
        raise ValueError(Errors.E124.format(source=source, reason=reason))
    with coding_errors(Errors.E124, source=source):
        return Tokenizer.from_str(tokenizer_json)


def count_growth(normalizer: "Normalizer | None") -> int:
    """The characters that the replacements of a normaliser, one after the other, make of one."""
    growth, rest = 1, [json.loads(normalizer.__getstate__())] if normalizer else []
    while rest:
        part = rest.pop()
        growth *= max(1, len(part.get("content", "")))
        rest += part.get("normalizers", [])
    return growth


def add_boundaries(tokenizer: "Tokenizer") -> None:
    """Let a tokenizer put the pieces of known names around a text, if it has them."""
    from tokenizers import processors

    for begin, end in BOUNDARIES:
        ids = tokenizer.token_to_id(begin), tokenizer.token_to_id(end)
        if None in ids:
            continue
        template = processors.TemplateProcessing(
            single=f"{begin} $A {end}",
            pair=f"{begin} $A {end} $B:1 {end}:1",
            special_tokens=list(zip((begin, end), ids, strict=True)),
        )
        own = tokenizer.post_processor
        tokenizer.post_processor = processors.Sequence([own, template]) if own else template
        return


def find_special_pieces(tokenizer: "Tokenizer", source: str) -> SpecialPieces:
    begin, end = find_boundaries(tokenizer, source)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    own_unknown = getattr(tokenizer.model, "unk_token", None)
    names = {name for pair in BOUNDARIES for name in pair} | {*MASKS, *UNKNOWN, *PADDING}
    named = {vocabulary[name] for name in (*names, own_unknown) if name in vocabulary}
    added = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return SpecialPieces(
        begin=begin,
        end=end,
        mask=next((vocabulary[name] for name in MASKS if name in vocabulary), None),
        unknown=next(
            (vocabulary[name] for name in (own_unknown, *UNKNOWN) if name in vocabulary), None
        ),
        ids=sorted({begin, end} | named | added),
        n_ids=1 + max(vocabulary.values()),
    )


def find_boundaries(tokenizer: "Tokenizer", source: str) -> tuple[int, int]:
    """The pieces before and after a text. Raises E128 unless there is one of each."""
    plain, whole = (tokenizer.encode("a", add_special_tokens=add) for add in (False, True))
    if len(whole.ids) != len(plain.ids) + 2 or whole.ids[1:-1] != plain.ids:
        raise ValueError(Errors.E128.format(source=source, found=whole.tokens))
    return whole.ids[0], whole.ids[-1]
