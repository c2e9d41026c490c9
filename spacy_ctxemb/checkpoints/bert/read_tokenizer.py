"""Tokenizers of Hugging Face checkpoints, in the JSON format of the `tokenizers` library."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Errors
from ..read_json import read_json, read_optional
from .write_tokenizer import BERT, MPNET, ROBERTA, add_special, find_special

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")


def read_tokenizer(folder: Path, *, model_type: str, n_ids: int, lowercase: bool) -> str:
    """The tokenizer of a checkpoint, as JSON.

    n_ids: rows of the model's table of pieces. lowercase: whether text is folded before all else.
    """
    tokenizer = find_tokenizer(folder, model_type)
    return fit_to_model(tokenizer, folder, n_ids=n_ids, lowercase=lowercase)


def fit_to_model(tokenizer: "Tokenizer", folder: Path, *, n_ids: int, lowercase: bool) -> str:
    """A tokenizer that pads and cuts nothing, as JSON.

    Raises E338 for a vocabulary that is larger than the model's table of n_ids pieces.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if lowercase:
        put_lowercase_first(tokenizer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    size = max(len(vocabulary), max(vocabulary.values(), default=-1) + 1)
    if size > n_ids:
        raise ValueError(Errors.E338.format(path=folder, size=size, limit=n_ids))
    return str(tokenizer.to_str())


def find_tokenizer(folder: Path, model_type: str) -> "Tokenizer":
    """The tokenizer of whatever files there are."""
    settings = read_optional(folder / "tokenizer_config.json")
    if (folder / "tokenizer.json").is_file():
        return follow_settings(load_tokenizer(folder / "tokenizer.json"), settings)
    if (folder / "vocab.txt").is_file():
        tokenizer = build_word_pieces(folder / "vocab.txt", settings, model_type)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = build_byte_pairs(folder, settings)
    else:
        found = [name for name in SENTENCEPIECE if (folder / name).is_file()]
        hint = f" Its {found[0]} is sentencepiece's." if found else ""
        raise ValueError(Errors.E344.format(path=folder, hint=hint))
    add_tokens(tokenizer, folder / "added_tokens.json")
    return tokenizer


def load_tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text(encoding="utf8"))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(Errors.E124.format(source=path, reason=error)) from error


def follow_settings(tokenizer: "Tokenizer", settings: dict[str, Any]) -> "Tokenizer":
    """What tokenizer_config.json says counts more than tokenizer.json, as in transformers.

    Where it is silent, transformers takes defaults of the tokenizer's class, which fold case and
    put no space before a text. We keep to tokenizer.json, which is the model's own.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import ByteLevel

    if settings.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        return tokenizer
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    if isinstance(normalizer, BertNormalizer):
        tokenizer.normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=settings.get(
                "tokenize_chinese_chars", normalizer.handle_chinese_chars
            ),
            strip_accents=settings.get("strip_accents", normalizer.strip_accents),
            lowercase=settings.get("do_lower_case", normalizer.lowercase),
        )
    if isinstance(splitter, ByteLevel) and "add_prefix_space" in settings:
        splitter.add_prefix_space = bool(settings["add_prefix_space"])
        tokenizer.pre_tokenizer = splitter
    return tokenizer


def build_word_pieces(path: Path, settings: dict[str, Any], model_type: str) -> "Tokenizer":
    """BERT's tokenizer, from a list of pieces, one a line."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = find_special(settings, MPNET if model_type == "mpnet" else BERT)
    lines = path.read_text(encoding="utf8").split("\n")
    pieces = [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return add_special(tokenizer, special, path)


def build_byte_pairs(folder: Path, settings: dict[str, Any]) -> "Tokenizer":
    """RoBERTa's tokenizer, from its pieces and merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    path = folder / "vocab.json"
    read_json(path)  # says what is wrong with it
    special = find_special(settings, ROBERTA)
    try:
        model = models.BPE.from_file(str(path), str(folder / "merges.txt"))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(Errors.E124.format(source=path, reason=error)) from error
    tokenizer = Tokenizer(model)
    add_prefix_space = bool(settings.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return add_special(tokenizer, special, path)


def add_tokens(tokenizer: "Tokenizer", path: Path) -> None:
    """Pieces that were added to a vocabulary, which have the ids after it."""
    added = {piece: i for piece, i in read_optional(path).items() if isinstance(i, int)}
    for piece, i in sorted(added.items(), key=lambda item: item[1]):
        tokenizer.add_tokens([piece])
        if tokenizer.token_to_id(piece) != i:
            found = tokenizer.token_to_id(piece)
            raise ValueError(Errors.E345.format(path=path, piece=piece, id=i, found=found))


def put_lowercase_first(tokenizer: "Tokenizer") -> None:
    """As sentence-transformers does with `do_lower_case`."""
    from tokenizers import normalizers

    others = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *others])
