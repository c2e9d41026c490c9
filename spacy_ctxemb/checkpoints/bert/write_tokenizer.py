"""Special pieces of tokenizers, and the files that tell transformers of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Special pieces by role, as files name them.
Special = dict[str, str]
BERT: Special = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
ROBERTA: Special = {
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
MPNET = ROBERTA | {"unk_token": "[UNK]"}


def add_special(tokenizer: "Tokenizer", special: Special, path: Path) -> "Tokenizer":
    """Keep special pieces whole, and put a text between those that begin and end it."""
    from tokenizers import AddedToken, processors

    missing = [piece for piece in special.values() if tokenizer.token_to_id(piece) is None]
    if missing:
        raise ValueError(Errors.E125.format(source=path, missing=missing))
    # In RoBERTa and MPNet the mask takes the space before it.
    pieces = [AddedToken(p, lstrip=p == "<mask>", normalized=False) for p in special.values()]
    tokenizer.add_special_tokens(pieces)
    begin, end = special["cls_token"], special["sep_token"]
    is_bert = begin == BERT["cls_token"]
    second = f"$B:1 {end}:1" if is_bert else f"{end} $B {end}"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {second}",
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in (begin, end)],
    )
    return tokenizer


def write_tokenizer(
    tokenizer_json: str, folder: Path, *, boundaries: tuple[int, int], settings: dict[str, Any]
) -> int | None:
    """Write tokenizer.json and tokenizer_config.json; returns the id of padding, if there is any.

    boundaries: ids of the pieces before and after a text. settings: of the encoder.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special = find_roles(tokenizer, boundaries)
    if tokenizer.encode("").ids != list(boundaries):
        add_special(tokenizer, special, folder)
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **({"model_max_length": settings["max_length"]} if settings["max_length"] else {}),
        "model_input_names": inputs if settings.get("n_segments", 0) > 1 else inputs[::2],
        "clean_up_tokenization_spaces": False,
        **special,
    }
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf8")
    for name, data in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        text = json.dumps(data, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf8")
    return tokenizer.token_to_id(special["pad_token"]) if "pad_token" in special else None


def find_padding(tokenizer_json: str) -> int | None:
    """The id of the piece that stands for padding, if there is one."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_str(tokenizer_json).get_vocab()
    names = (names["pad_token"] for names in (BERT, ROBERTA))
    return next((vocabulary[name] for name in names if name in vocabulary), None)


def find_roles(tokenizer: "Tokenizer", boundaries: tuple[int, int]) -> Special:
    """The special pieces of a tokenizer by their roles, as far as it has them."""
    begin, end = (str(tokenizer.id_to_token(i)) for i in boundaries)
    special = {"cls_token": begin, "sep_token": end}
    for role in ("unk_token", "pad_token", "mask_token"):
        for names in (BERT, ROBERTA):
            if tokenizer.token_to_id(names[role]) is not None:
                special.setdefault(role, names[role])
    return special
