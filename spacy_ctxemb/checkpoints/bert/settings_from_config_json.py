"""config.json of a Hugging Face checkpoint, and the settings of an encoder: both ways."""

from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ...encoders import Encoder
from ...errors import Errors
from ..read_json import check_types, read_json, shorten
from .config_json_types import ACTIVATIONS, ModernBertConfig
from .families_and_tensor_names import FAMILIES, Family


class Config(NamedTuple):
    """What config.json says.

    settings: of the encoder's builder. n_skipped: rows of the position table before the first.
    """

    model_type: str
    family: Family
    settings: dict[str, Any]
    n_skipped: int


def read_config(path: Path) -> Config:
    """The family of a model and the settings of its encoder.

    Raises E331 for a damaged file, E332 for an unknown family, E333 for a value that does not fit.
    """
    data = read_json(path)
    model_type = data.get("model_type")
    if model_type is None:
        raise ValueError(Errors.E331.format(path=path, reason="it has no model_type"))
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(Errors.E332.format(path=path, found=shorten(model_type), known=known))
    family = FAMILIES[model_type]
    config = check_types(data, family.config, path=path)
    settings = config.model_dump()
    for key, name in family.synonyms.items():
        if data.get(key, settings[name]) != settings[name]:
            raise_wrong(path, key, data[key], str(settings[name]))
    if isinstance(config, ModernBertConfig):
        settings |= read_attention(config, path)
    n_skipped = family.first_position
    if n_skipped is None:
        n_skipped = 2 if config.pad_token_id is None else config.pad_token_id + 1
    settings["max_length"] -= n_skipped
    if settings["max_length"] < 1:
        found = settings["max_length"] + n_skipped
        raise_wrong(path, "max_position_embeddings", found, f"more than {n_skipped}")
    check_sizes(settings, path)
    return Config(model_type, family, normalise(settings | family.constants), n_skipped)


def check_sizes(settings: dict[str, Any], path: Path) -> None:
    """Raise E333 for sizes that the encoder cannot have, or that transformers reads otherwise."""
    width, n_heads, L = settings["width"], settings["n_heads"], settings["n_blocks"]
    if width % n_heads:
        raise_wrong(path, "num_attention_heads", n_heads, f"a divisor of the width {width}")
    G = settings.get("n_groups", L)
    if not shares_evenly(G, L):
        raise_wrong(path, "num_hidden_groups", G, f"a number that shares {L} blocks evenly")


def shares_evenly(n_groups: int, n_blocks: int) -> bool:
    """Whether transformers, which divides floats, takes the groups that our encoder takes."""
    if not 1 <= n_groups <= n_blocks:
        return False
    theirs = [int(i / (n_blocks / n_groups)) for i in range(n_blocks)]
    return theirs == [i * n_groups // n_blocks for i in range(n_blocks)]


def normalise(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which None stands for every number that the encoder would choose itself."""
    result = dict(settings)
    for name, default in (("embedding_width", "width"), ("n_groups", "n_blocks")):
        if name in result and result[name] == result[default]:
            result[name] = None
    return result


def read_attention(config: ModernBertConfig, path: Path) -> dict[str, Any]:
    """Which blocks of a ModernBERT have global attention, and how they rotate positions."""
    settings: dict[str, Any] = {}
    if config.local_theta is None:  # before transformers 5: the same as global
        settings["local_theta"] = config.global_theta
    ropes = config.rope_parameters
    for name, rope in (
        ("global_theta", ropes and ropes.full_attention),
        ("local_theta", ropes and ropes.sliding_attention),
    ):
        if rope and rope.rope_theta is not None:
            settings[name] = rope.rope_theta
    if config.layer_types is not None:
        settings["global_every"] = find_period(config, config.layer_types, path)
    return settings


def find_period(config: ModernBertConfig, types: list[str], path: Path) -> int:
    """Every how many blocks attention is global."""
    names = {True: "full_attention", False: "sliding_attention"}
    for period in (config.global_every, *range(1, config.n_blocks + 1)):
        if types == [names[i % period == 0] for i in range(config.n_blocks)]:
            return period
    expected = f"full_attention first and at equal distances, {config.n_blocks} names"
    raise_wrong(path, "layer_types", types, expected)


def raise_wrong(path: Path, key: str, found: object, expected: str) -> NoReturn:
    raise ValueError(
        Errors.E333.format(path=path, key=key, found=shorten(found), expected=expected)
    )


def to_config(model_type: str, settings: dict[str, Any], n_skipped: int) -> dict[str, Any]:
    """config.json of an encoder's settings, every key of the family present.

    n_skipped: rows of the position table before the first piece's.
    """
    family, full = FAMILIES[model_type], dict(settings)
    full["embedding_width"] = full.get("embedding_width") or full["width"]
    full["n_groups"] = full.get("n_groups") or full["n_blocks"]
    full["max_length"] += n_skipped
    if "n_segments" in full:  # a table of zeros stands for none
        full["n_segments"] = max(full["n_segments"], 1)
    theirs = {ours: name for name, ours in reversed(ACTIVATIONS.items())}
    full["activation"] = theirs[full["activation"]]
    config = family.config.model_construct(**full)
    return {
        "model_type": model_type,
        "architectures": [family.architecture],
        **config.model_dump(by_alias=True),
    }


def describe(encoder: Encoder) -> dict[str, Any]:
    """The settings of an encoder, in the form in which a checkpoint determines them."""
    return normalise(encoder.settings)
