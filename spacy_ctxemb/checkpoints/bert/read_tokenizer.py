"""Tokenizers of Hugging Face checkpoints, in the JSON format of the `tokenizers` library."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Errors
from ...pieces.special_pieces import find_special_pieces, parse
from ...pieces.special_pieces import read_tokenizer as parse_tokenizer
from ...read_files import coding_errors
from ..read_json import check_types, read_optional, read_text
from .build_tokenizer import add_stored_tokens, add_tokens, build_byte_pairs, build_word_pieces
from .tokenizer_settings import ROLES, TokenizerSettings, check_agreement, follow_settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
#: Classes of tokenizers for which tokenizer.json says it all.
WHOLE = ("PreTrainedTokenizerFast", "TokenizersBackend")
#: Text that a vocabulary lacks, wherever it may lack some.
ODD_TEXT = "a\u0378\U0001f9ff 1.\u00e9"


def read_tokenizer(
    folder: Path, *, model_type: str, n_ids: int, lowercase: bool, padding: int | None = None
) -> str:
    """The tokenizer of a checkpoint, as JSON; see `fit_to_model`."""
    with coding_errors(Errors.E124, source=folder):
        tokenizer = find_tokenizer(folder, model_type)
    return fit_to_model(tokenizer, folder, n_ids=n_ids, lowercase=lowercase, padding=padding)


def fit_to_model(
    tokenizer: "Tokenizer",
    folder: Path,
    *,
    n_ids: int,
    lowercase: bool,
    padding: int | None = None,
) -> str:
    """A tokenizer that pads and cuts nothing, as JSON.

    n_ids: rows of the model's table of pieces. lowercase: whether text is folded before all else.
    padding: the piece from which positions are counted, which is skipped wherever it stands.
    Raises E338 for a vocabulary that is larger than the model's table, E356 for padding that stands
    in texts, E124, E125 or E128 for a tokenizer that cannot be used.
    """
    from tokenizers import normalizers

    with coding_errors(Errors.E124, source=folder):
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if lowercase:  # as sentence-transformers does
            own = [tokenizer.normalizer] if tokenizer.normalizer else []
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        size = max(len(vocabulary), max(vocabulary.values(), default=-1) + 1)
        if size > n_ids:
            raise ValueError(Errors.E338.format(path=folder, size=size, limit=n_ids))
        text = str(tokenizer.to_str())
        check_pieces(text, vocabulary, folder, padding)
    return text


def check_pieces(
    text: str, vocabulary: Mapping[str, int], folder: Path, padding: int | None
) -> None:
    """Raise E344, E356 or ValueError for pieces that cannot be what they are said to be."""
    whole = parse_tokenizer(text, str(folder))
    special = find_special_pieces(whole, str(folder))
    if len(special.ids) == len(vocabulary):  # transformers takes missing files for empty ones
        raise ValueError(Errors.E344.format(path=folder, hint=""))
    whole.encode(ODD_TEXT)
    if whole.get_vocab(with_added_tokens=True) != vocabulary:
        raise ValueError("some of its pieces have the same id")
    for piece, i in list_boundaries(json.loads(text)["post_processor"]):
        if vocabulary.get(piece, i) != i:
            found = f"{piece} with the id {i}, which is {vocabulary[piece]}"
            raise ValueError(f"its post_processor puts around texts {found} in the vocabulary")
    in_texts = (special.begin, special.end, special.unknown)
    if padding is not None and (padding not in special.ids or padding in in_texts):
        given = {"path": folder / "config.json", "key": "pad_token_id", "found": padding}
        reason = "it is the id of a piece that stands in texts"
        raise ValueError(Errors.E356.format(**given, reason=reason))


def list_boundaries(processor: Any) -> Iterator[tuple[str, int]]:
    """The pieces that a post_processor puts around texts, and their ids."""
    if processor is None:
        return
    for one in processor.get("processors", []):
        yield from list_boundaries(one)
    for role in ("cls", "sep"):
        if role in processor:
            yield tuple(processor[role])
    for one in processor.get("special_tokens", {}).values():
        yield from zip(one["tokens"], one["ids"], strict=True)


def find_tokenizer(folder: Path, model_type: str) -> "Tokenizer":
    """The tokenizer of whatever files there are."""
    path = folder / "tokenizer_config.json"
    data = read_optional(folder / "special_tokens_map.json") | read_optional(path)
    settings = check_types(data, TokenizerSettings, path=path)
    if (folder / "tokenizer.json").is_file():
        own = folder / "tokenizer.json"
        tokenizer = parse(read_text(own), own)
        if settings.tokenizer_class not in WHOLE:
            follow_settings(tokenizer, settings)
            check_agreement(tokenizer, settings, path, model_type)
    elif (folder / "vocab.txt").is_file():
        tokenizer = build_word_pieces(folder / "vocab.txt", settings, model_type)
        add_stored_tokens(tokenizer, folder / "added_tokens.json")
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = build_byte_pairs(folder, settings)
        add_stored_tokens(tokenizer, folder / "added_tokens.json")
    else:
        found = [name for name in SENTENCEPIECE if (folder / name).is_file()]
        hint = f" Its {found[0]} is sentencepiece's." if found else ""
        raise ValueError(Errors.E344.format(path=folder, hint=hint))
    add_tokens(tokenizer, {piece: i for i, piece in settings.added_tokens_decoder.items()}, path)
    # As in transformers, special pieces are cut out of a text before all else.
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    given = [getattr(settings, role) for role in ROLES]
    given += [*settings.additional_special_tokens, *settings.extra_special_tokens]
    tokenizer.add_special_tokens([piece for piece in given if piece and piece not in known])
    return tokenizer
