"""Tokenizers of Hugging Face checkpoints, in the JSON format of the `tokenizers` library."""

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, RootModel

from ...errors import Errors
from ...pieces.special_pieces import find_special_pieces, parse
from ...pieces.special_pieces import read_tokenizer as parse_tokenizer
from ...read_files import coding_errors
from ..read_json import Switch, Typed, check_types, expect, read_json, read_optional, read_text
from .write_tokenizer import BERT, MPNET, ROBERTA, Special, add_special

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
#: Classes of tokenizers for which tokenizer.json says it all.
WHOLE = ("PreTrainedTokenizerFast", "TokenizersBackend")
#: How the names of classes begin that put bos_token and eos_token around a text.
BY_BOS = ("camembert", "xlmroberta")
#: Text that a vocabulary lacks, wherever it may lack some.
ODD_TEXT = "a\u0378\U0001f9ff 1.\u00e9"


def take_content(value: Any) -> Any:
    """A piece may be an object with the piece and how it is cut out of a text."""
    return value.get("content", value) if isinstance(value, dict) else value


SwitchOrNull = Annotated[bool | None, expect("true, false or null")]
Piece = Annotated[str | None, BeforeValidator(take_content), expect("a piece, or null")]

Added = Annotated[str, BeforeValidator(take_content), expect("an object with a piece")]


def list_pieces(value: Any) -> Any:
    """Further special pieces: a list, or their names and they; null for none."""
    return list(value.values()) if isinstance(value, dict) else value or []


SpecialPieces = Annotated[list[Added], BeforeValidator(list_pieces), expect("a list of pieces")]


class TokenizerSettings(Typed):
    """tokenizer_config.json. None stands for what is absent."""

    tokenizer_class: Annotated[str | None, expect("a name, or null")] = None
    do_lower_case: Switch = True
    keep_accents: Switch = False
    tokenize_chinese_chars: Switch = True
    strip_accents: SwitchOrNull = None
    add_prefix_space: SwitchOrNull = None
    bos_token: Piece = None
    eos_token: Piece = None
    unk_token: Piece = None
    cls_token: Piece = None
    sep_token: Piece = None
    pad_token: Piece = None
    mask_token: Piece = None
    additional_special_tokens: SpecialPieces = []
    extra_special_tokens: SpecialPieces = []  # their name in later versions
    added_tokens_decoder: dict[str, Added] = {}

    def special(self, default: Special) -> Special:
        return {role: getattr(self, role) or piece for role, piece in default.items()}


class AddedTokens(RootModel[dict[str, int]], strict=True):
    """added_tokens.json: ids by pieces."""


#: Keys of tokenizer_config.json for pieces with a meaning of their own.
ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "cls", "sep", "pad", "mask"))

#: Keys of tokenizer_config.json, and what BERT's normaliser calls them.
NORMALIZER = {
    "tokenize_chinese_chars": "handle_chinese_chars",
    "strip_accents": "strip_accents",
    "do_lower_case": "lowercase",
}


def read_tokenizer(folder: Path, *, model_type: str, n_ids: int, lowercase: bool) -> str:
    """The tokenizer of a checkpoint, as JSON.

    n_ids: rows of the model's table of pieces. lowercase: whether text is folded before all else.
    """
    with coding_errors(Errors.E124, source=folder):
        tokenizer = find_tokenizer(folder, model_type)
    return fit_to_model(tokenizer, folder, n_ids=n_ids, lowercase=lowercase)


def fit_to_model(tokenizer: "Tokenizer", folder: Path, *, n_ids: int, lowercase: bool) -> str:
    """A tokenizer that pads and cuts nothing, as JSON.

    Raises E338 for a vocabulary that is larger than the model's table of n_ids pieces, E124, E125
    or E128 for a tokenizer that cannot be used.
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
    return text


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


def follow_settings(tokenizer: "Tokenizer", settings: TokenizerSettings) -> None:
    """What tokenizer_config.json says counts more than tokenizer.json, as in transformers.

    Where it is silent, transformers takes defaults of the tokenizer's class, which fold case and
    put no space before a text. We keep to tokenizer.json, which is the model's own.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import ByteLevel

    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    given = settings.model_fields_set
    if isinstance(normalizer, BertNormalizer):
        for theirs, ours in NORMALIZER.items():
            if theirs in given:
                setattr(normalizer, ours, getattr(settings, theirs))
        tokenizer.normalizer = normalizer
    if isinstance(splitter, ByteLevel) and "add_prefix_space" in given:
        splitter.add_prefix_space = bool(settings.add_prefix_space)
        tokenizer.pre_tokenizer = splitter


def check_agreement(
    tokenizer: "Tokenizer", settings: TokenizerSettings, path: Path, model_type: str
) -> None:
    """Raise E357 where settings give a role to another piece than tokenizer.json does, or treat
    text in another way.

    Which of the two counts depends on the version of transformers.
    """
    from tokenizers.models import Unigram

    kind = (settings.tokenizer_class or model_type).lower().replace("-", "")
    roles = ("bos_token", "eos_token") if kind.startswith(BY_BOS) else ("cls_token", "sep_token")
    encoded = tokenizer.encode("")
    around = [t for t, mask in zip(encoded.tokens, encoded.attention_mask, strict=True) if mask]
    pieces = (around[0], around[-1]) if around else (None, None)
    own: dict[str, Any] = dict(
        zip((*roles, "unk_token"), (*pieces, find_unknown(tokenizer)), strict=True)
    )
    if isinstance(tokenizer.model, Unigram):
        own |= find_switches(tokenizer, kind, settings.model_fields_set)
    for key, found in own.items():
        value = getattr(settings, key)
        if isinstance(found, bool):
            value = bool(value)  # null too, as transformers does
        if None not in (value, found) and value != found:
            raise ValueError(Errors.E357.format(path=path, key=key, value=value, found=found))


def find_switches(tokenizer: "Tokenizer", kind: str, given: Set[str]) -> dict[str, bool]:
    """How tokenizer.json treats text, by the given keys that sentencepiece's kin have."""
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    found = {}
    if splitter is not None:
        found["add_prefix_space"] = splitter.pre_tokenize_str("a")[0][0] != "a"
    if kind.startswith("albert"):
        text = normalizer.normalize_str("\u00c9") if normalizer is not None else "\u00c9"
        found |= {"do_lower_case": text == text.lower(), "keep_accents": text not in ("E", "e")}
    return {key: value for key, value in found.items() if key in given}


def find_unknown(tokenizer: "Tokenizer") -> str | None:
    """The piece for unknown text, if the model has one."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token") and str(model["unk_token"])


def build_word_pieces(path: Path, settings: TokenizerSettings, model_type: str) -> "Tokenizer":
    """BERT's tokenizer, from a list of pieces, one a line."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = settings.special(MPNET if model_type == "mpnet" else BERT)
    lines = read_text(path).split("\n")
    pieces = [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.tokenize_chinese_chars,
        strip_accents=settings.strip_accents,
        lowercase=settings.do_lower_case,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return add_special(tokenizer, special, path)


def build_byte_pairs(folder: Path, settings: TokenizerSettings) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    path = folder / "vocab.json"
    read_json(path)  # says what is wrong with it
    special = settings.special(ROBERTA)
    with coding_errors(Errors.E124, source=path):
        model = models.BPE.from_file(str(path), str(folder / "merges.txt"))
    tokenizer = Tokenizer(model)
    add_prefix_space = bool(settings.add_prefix_space)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return add_special(tokenizer, special, path)


def add_stored_tokens(tokenizer: "Tokenizer", path: Path) -> None:
    """The pieces of added_tokens.json, if there is one."""
    add_tokens(tokenizer, check_types(read_optional(path), AddedTokens, path=path).root, path)


def add_tokens(tokenizer: "Tokenizer", added: Mapping[str, int | str], path: Path) -> None:
    """Pieces that were added to a vocabulary, which have the ids after it.

    added: ids, as numbers or texts. Raises E345 for a piece that gets another id.
    """
    for piece, i in sorted(added.items(), key=lambda item: int(item[1])):
        if tokenizer.token_to_id(piece) is None:
            tokenizer.add_tokens([piece])
        found = tokenizer.token_to_id(piece)
        if found != int(i):
            raise ValueError(Errors.E345.format(path=path, piece=piece, id=i, found=found))
