"""Directories of sentence-transformers: a model, and how its vectors become one of a text."""

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Errors
from .read_json import read_json, read_optional, shorten

#: doc_pooling by the pooling modes of sentence-transformers, and by the switches of old versions.
POOLINGS = {"cls": "cls", "mean": "mean", "max": "max"}
SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
#: Settings of a Transformer, the older ones by families; sentence-transformers takes the first.
SETTINGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
MODULES = ["Transformer", "Pooling", "Normalize"]


class Sentences(NamedTuple):
    """Where the model of a directory lies, and what is done to texts and vectors.

    doc_pooling: None in a directory without sentence-transformers' modules.
    max_pieces: longer texts are cut by sentence-transformers, never here.
    prompt: put before every text by sentence-transformers, never here.
    """

    folder: Path
    doc_pooling: str | None = None
    normalize: bool = False
    lowercase: bool = False
    max_pieces: int | None = None
    prompt: str | None = None


def read_sentences(folder: Path) -> Sentences:
    """What the modules of a directory say, if it has any."""
    path = folder / "modules.json"
    if not path.is_file():
        return Sentences(folder)
    modules = read_modules(path)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    check_modules(kinds, path)
    model, pooling = (folder / str(module.get("path", "")) for module in modules[:2])
    settings = next(filter(None, (read_optional(model / name) for name in SETTINGS)), {})
    return Sentences(
        model,
        doc_pooling=read_pooling(pooling / "config.json"),
        normalize=len(kinds) == 3,
        lowercase=bool(settings.get("do_lower_case")),
        max_pieces=settings.get("max_seq_length"),
        prompt=read_prompt(folder / "config_sentence_transformers.json"),
    )


def read_modules(path: Path) -> list[dict[str, Any]]:
    """The modules of a model, in their order. Raises E331 for a file that lists none."""
    modules: list[dict[str, Any]] = read_json(path, kind=list)
    if not all(isinstance(module, dict) for module in modules):
        raise ValueError(Errors.E331.format(path=path, reason=f"it holds {shorten(modules)}"))
    return modules


def check_modules(kinds: list[str], path: Path) -> None:
    """Raise E347 for modules that are unknown, or in another order or number."""
    if kinds not in (MODULES[:2], MODULES):
        raise ValueError(Errors.E347.format(path=path, found=kinds))


def read_pooling(path: Path) -> str:
    """How a text's vector is made of those of its pieces. Raises E346 for a way we do not have."""
    settings = read_optional(path)
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [mode for name, mode in SWITCHES.items() if settings.get(name)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ValueError(Errors.E346.format(path=path, found=modes, known=list(POOLINGS)))
    return POOLINGS[modes[0]]


def read_prompt(path: Path) -> str | None:
    """What sentence-transformers puts before a text unless told otherwise."""
    settings = read_optional(path)
    prompts = settings.get("prompts") or {}
    return prompts.get(settings.get("default_prompt_name")) or None
