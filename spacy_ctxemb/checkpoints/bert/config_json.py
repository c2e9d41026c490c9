"""config.json of a Hugging Face checkpoint, and the settings of an encoder: both ways."""

from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from ...encoders import Encoder, ModernTransformerEncoder
from ...errors import Errors
from ..read_json import COUNT, POSITIVE, read_json, shorten
from .supported_families import ACTIVATION, ACTIVATIONS, FAMILIES, Family, Key

#: Keys that newer versions of transformers write in the place of others, in ModernBERT.
ROPE = (("full_attention", "global_rope_theta"), ("sliding_attention", "local_rope_theta"))


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
    for name, expected in family.fixed.items():
        if data.get(name) not in (expected, None):
            raise_wrong(path, name, data[name], shorten(expected))
    if family.encoder is ModernTransformerEncoder:
        data = use_old_keys(data, path)
    settings = {key.setting: look_up(data, key, path) for key in family.keys}
    n_skipped = find_first_position(data, family, path)
    settings["max_length"] -= n_skipped
    if settings["max_length"] < 1:
        found = data["max_position_embeddings"]
        raise_wrong(path, "max_position_embeddings", found, f"more than {n_skipped}")
    check_sizes(settings, path)
    return Config(model_type, family, normalise(settings | family.constants), n_skipped)


def look_up(data: dict[str, Any], key: Key, path: Path) -> Any:
    """The value of a key as our setting has it. Raises E333 for a value that does not fit."""
    value = data.get(key.name)
    if value is None:
        value = key.default
    if not key.kind.fits(value):
        raise_wrong(path, key.name, value, key.kind.description)
    if key.kind is ACTIVATION:
        return ACTIVATIONS[value]
    return float(value) if key.kind is POSITIVE else value


def find_first_position(data: dict[str, Any], family: Family, path: Path) -> int:
    """The rows of the position table that no piece uses."""
    padding = data.get("pad_token_id")
    if padding is not None and not COUNT.fits(padding):
        raise_wrong(path, "pad_token_id", padding, f"{COUNT.description}, or null")
    if family.first_position is not None:
        return family.first_position
    return 2 if padding is None else int(padding) + 1


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


def use_old_keys(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """A ModernBERT's config with the keys of transformers 4, also if transformers 5 wrote it."""
    data = dict(data)
    if data.get("local_rope_theta", 0) is None:
        data["local_rope_theta"] = data.get("global_rope_theta")
    for kind, name in ROPE:
        rope = (data.get("rope_parameters") or {}).get(kind) or {}
        if rope.get("rope_type", "default") != "default":
            raise_wrong(path, f"rope_parameters.{kind}.rope_type", rope["rope_type"], '"default"')
        if "rope_theta" in rope:
            data[name] = rope["rope_theta"]
    if data.get("layer_types") is not None:
        data["global_attn_every_n_layers"] = find_period(data, path)
    return data


def find_period(data: dict[str, Any], path: Path) -> int:
    """Every how many blocks attention is global."""
    types = data["layer_types"]
    names = {True: "full_attention", False: "sliding_attention"}
    candidates = [data.get("global_attn_every_n_layers") or 3, *range(1, len(types) + 1)]
    for period in candidates:
        if types == [names[i % period == 0] for i in range(len(types))]:
            return cast(int, period)
    raise_wrong(path, "layer_types", types, "full_attention first and at equal distances")


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
    return {
        "model_type": model_type,
        "architectures": [family.architecture],
        **{key.name: full[key.setting] for key in family.keys},
    }


def describe(encoder: Encoder) -> dict[str, Any]:
    """The settings of an encoder, in the form in which a checkpoint determines them."""
    return normalise(encoder.settings)
