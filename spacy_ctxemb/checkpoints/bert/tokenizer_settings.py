"""What tokenizer_config.json says, beside what tokenizer.json does."""

import json
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from ...errors import Errors
from ..read_json import Switch, Typed, expect
from .write_tokenizer import Special

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: How the names of classes begin that put bos_token and eos_token around a text.
BY_BOS = ("camembert", "xlmroberta")

#: Keys of tokenizer_config.json, and what BERT's normaliser calls them.
NORMALIZER = {
    "tokenize_chinese_chars": "handle_chinese_chars",
    "strip_accents": "strip_accents",
    "do_lower_case": "lowercase",
}


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


#: Keys of tokenizer_config.json for pieces with a meaning of their own.
ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "cls", "sep", "pad", "mask"))


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
