"""options.json of an ELMo model, and the settings of a BiLM: one table for both ways."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from ...encoders import BiLM
from ...encoders.char_cnn import ACTIVATIONS
from ...errors import Errors
from ...pieces.characters import CharacterPieces
from ..read_json import BOUND, COUNT, REQUIRED, SIZE, SWITCH, Kind, is_whole, read_json, shorten
from .find_files import Source

#: Bytes, boundaries and padding, and the id 0 of the mask; training leaves the latter out.
N_CHARACTERS = CharacterPieces.n_ids

#: Keys of another format, ELMoForManyLangs.
FOREIGN_KEYS = {"token_embedder", "config_path"}


class Key(NamedTuple):
    """A key of options.json, the setting it stands for, and how values are converted.

    default: where the key is absent or null, as bilm-tf takes it.
    """

    path: str
    setting: str
    kind: Kind
    default: Any = REQUIRED
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


def is_filters(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(f, list) and len(f) == 2 and all(map(is_whole, f)) for f in value)
    )


LENGTH = Kind(lambda value: is_whole(value, 3), "a whole number from 3")
FILTERS = Kind(is_filters, "a list of [width, count], whole numbers from 1")
NAME = Kind(lambda value: value in list(ACTIVATIONS), " or ".join(map(repr, ACTIVATIONS)))


def to_bound(value: float | None) -> float | None:
    """0 is no bound."""
    return float(value) if value else None


KEYS = (
    Key("char_cnn.activation", "activation", NAME),
    Key("char_cnn.embedding.dim", "character_width", SIZE),
    Key("char_cnn.filters", "filters", FILTERS),
    Key("char_cnn.max_characters_per_token", "max_characters", LENGTH),
    Key("char_cnn.n_highway", "n_highways", COUNT, default=0),
    Key("lstm.cell_clip", "cell_clip", BOUND, default=None, read=to_bound),
    Key("lstm.dim", "hidden_width", SIZE),
    Key("lstm.n_layers", "n_lstm_layers", SIZE, default=1),
    Key("lstm.proj_clip", "projection_clip", BOUND, default=None, read=to_bound),
    Key("lstm.projection_dim", "width", SIZE, read=lambda p: 2 * p, write=lambda w: w // 2),
    Key("lstm.use_skip_connections", "skip_connections", SWITCH, default=False),
)


def read_options(source: Source) -> dict[str, Any]:
    """The settings of a BiLM that options.json determines; what is projected, weights tell."""
    options = read_json(source.path, name=source.name, message=Errors.E302)
    if FOREIGN_KEYS & options.keys() and "char_cnn" not in options:
        raise ValueError(Errors.E311.format(path=source.name))
    if "char_cnn" not in options and "lstm" in options:
        raise ValueError(Errors.E312.format(path=source.name, found="no char_cnn"))
    check_characters(options, source)
    return {key.setting: key.read(look_up(options, key, source)) for key in KEYS}


def look_up(options: dict[str, Any], key: Key, source: Source) -> Any:
    """The value of a key. Raises E303 if it is missing or does not fit."""
    value: Any = options
    path = ""
    for name in key.path.split("."):
        if not isinstance(value, dict):
            raise_wrong(source, path, shorten(value), "an object")
        path = f"{path}.{name}".lstrip(".")
        if name not in value and (key.default is REQUIRED or path != key.path):
            is_last = path == key.path
            raise_wrong(source, path, "missing", key.kind.description if is_last else "an object")
        value = value.get(name)
    if value is None and key.default is not REQUIRED:
        return key.default
    if not key.kind.fits(value):
        raise_wrong(source, key.path, shorten(value), key.kind.description)
    return value


def check_characters(options: dict[str, Any], source: Source) -> None:
    """Warn for 261, which training writes (without the mask); the weights are the same.

    Raises E303 for another number.
    """
    n = look_up(options, Key("char_cnn.n_characters", "", SIZE), source)
    if n == N_CHARACTERS - 1:
        warnings.warn(Errors.W010.format(path=source.name), stacklevel=2)
    elif n != N_CHARACTERS:
        raise_wrong(source, "char_cnn.n_characters", n, N_CHARACTERS)


def raise_wrong(source: Source, key: str, found: object, expected: object) -> None:
    raise ValueError(Errors.E303.format(path=source.name, key=key, found=found, expected=expected))


def to_options(settings: dict[str, Any]) -> dict[str, Any]:
    """options.json of a BiLM's settings, every key present."""
    options: dict[str, Any] = {"char_cnn": {"n_characters": N_CHARACTERS}, "lstm": {}}
    for key in KEYS:
        *parents, name = key.path.split(".")
        place = options
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = key.write(settings[key.setting])
    return options


def describe(encoder: BiLM) -> dict[str, Any]:
    """The settings of a BiLM that its files determine; it is said what is projected."""
    settings = encoder.settings
    found = {key.setting: key.read(key.write(settings[key.setting])) for key in KEYS}
    return found | find_projections(settings)


def find_projections(settings: dict[str, Any]) -> dict[str, bool]:
    """What is projected; where the settings do not say, whatever has not the width it needs."""
    width, n_filters = settings["width"] // 2, sum(n for _, n in settings["filters"])
    needed = {
        "project_filters": n_filters != width,
        "project_hidden": settings["hidden_width"] != width,
    }
    return {name: needed[name] or bool(settings[name]) for name in needed}
