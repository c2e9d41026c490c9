"""Tokenizers from lists of pieces, where there is no tokenizer.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import RootModel

from ...errors import Errors
from ...read_files import coding_errors
from ..read_json import check_types, read_json, read_optional, read_text
from .tokenizer_settings import TokenizerSettings
from .write_tokenizer import BERT, MPNET, ROBERTA, add_special

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class AddedTokens(RootModel[dict[str, int]], strict=True):
    """added_tokens.json: ids by pieces."""


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
