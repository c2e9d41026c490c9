"""options.json of an ELMo model, and the settings of a BiLM: both ways."""

import warnings
from typing import Annotated, Any

from pydantic import Field

from ...encoders import BiLM
from ...encoders.char_cnn import ACTIVATIONS
from ...errors import Errors
from ...pieces.characters import CharacterPieces
from ..read_json import (
    DEEPEST,
    LARGEST,
    REQUIRED,
    Depth,
    Size,
    Switch,
    Typed,
    check_types,
    expect,
    read_json,
)
from .find_files import Source

#: Bytes, boundaries and padding, and the id 0 of the mask; training leaves the latter out.
N_CHARACTERS = CharacterPieces.n_ids

#: Keys of another format, ELMoForManyLangs.
FOREIGN_KEYS = {"token_embedder", "config_path"}

#: The settings of a BiLM that options determine.
SETTINGS = (
    *("activation", "character_width", "filters", "max_characters", "n_highways", "cell_clip"),
    *("hidden_width", "n_lstm_layers", "projection_clip", "width", "skip_connections"),
)

#: Nobody has longer words, and every word takes as many ids.
LONGEST_WORD = 1000

Whole = Annotated[int, Field(ge=1, le=LARGEST)]
Filter = Annotated[list[Whole], Field(min_length=2, max_length=2)]
Filters = Annotated[
    list[Filter],
    Field(min_length=1, max_length=DEEPEST),
    expect("a list of [width, count], whole numbers from 1"),
]
Name = Annotated[
    str, Field(pattern=f"^({'|'.join(ACTIVATIONS)})$"), expect(" or ".join(map(repr, ACTIVATIONS)))
]
Length = Annotated[
    int, Field(ge=3, le=LONGEST_WORD), expect(f"a whole number from 3 to {LONGEST_WORD}")
]
Count = Annotated[int | None, Field(ge=0, le=DEEPEST), expect("a whole number from 0")]
Bound = Annotated[
    float | None, Field(ge=0, allow_inf_nan=False), expect("a number from 0, or null")
]


class Embedding(Typed):
    dim: Size = REQUIRED


class CharCNN(Typed):
    """The part of options.json about words; a default is what bilm-tf takes for absent and null."""

    activation: Name = REQUIRED
    embedding: Embedding = REQUIRED
    filters: Filters = REQUIRED
    max_characters_per_token: Length = REQUIRED
    n_characters: Size = REQUIRED
    n_highway: Count = None


class Lstm(Typed):
    cell_clip: Bound = None
    dim: Size = REQUIRED
    n_layers: Depth | None = None
    proj_clip: Bound = None
    projection_dim: Size = REQUIRED
    use_skip_connections: Switch | None = None


class Options(Typed):
    char_cnn: CharCNN = REQUIRED
    lstm: Lstm = REQUIRED

    def to_settings(self) -> dict[str, Any]:
        """The settings of a BiLM that options determine. 0 is no bound."""
        cnn, lstm = self.char_cnn, self.lstm
        return {
            "activation": cnn.activation,
            "character_width": cnn.embedding.dim,
            "filters": cnn.filters,
            "max_characters": cnn.max_characters_per_token,
            "n_highways": cnn.n_highway or 0,
            "cell_clip": lstm.cell_clip or None,
            "hidden_width": lstm.dim,
            "n_lstm_layers": lstm.n_layers or 1,
            "projection_clip": lstm.proj_clip or None,
            "width": 2 * lstm.projection_dim,
            "skip_connections": bool(lstm.use_skip_connections),
        }


def read_options(source: Source) -> dict[str, Any]:
    """The settings of a BiLM that options.json determines; what is projected, weights tell.

    Warns W010 for 261 characters, which training writes (without the mask); the weights are the
    same. Raises E302, E303, E311 or E312 for a file that says something else.
    """
    data = read_json(source.path, name=source.name, message=Errors.E302)
    if FOREIGN_KEYS & data.keys() and "char_cnn" not in data:
        raise ValueError(Errors.E311.format(path=source.name))
    if "char_cnn" not in data and "lstm" in data:
        raise ValueError(Errors.E312.format(path=source.name, found="no char_cnn"))
    options = check_types(data, Options, path=source.name, message=Errors.E303)
    n = options.char_cnn.n_characters
    if n == N_CHARACTERS - 1:
        warnings.warn(Errors.W010.format(path=source.name), stacklevel=2)
    elif n != N_CHARACTERS:
        key = "char_cnn.n_characters"
        raise ValueError(
            Errors.E303.format(path=source.name, key=key, found=n, expected=N_CHARACTERS)
        )
    return options.to_settings()


def to_options(settings: dict[str, Any]) -> dict[str, Any]:
    """options.json of a BiLM's settings, every key present."""
    return {
        "char_cnn": {
            "n_characters": N_CHARACTERS,
            "activation": settings["activation"],
            "embedding": {"dim": settings["character_width"]},
            "filters": settings["filters"],
            "max_characters_per_token": settings["max_characters"],
            "n_highway": settings["n_highways"],
        },
        "lstm": {
            "cell_clip": settings["cell_clip"],
            "dim": settings["hidden_width"],
            "n_layers": settings["n_lstm_layers"],
            "proj_clip": settings["projection_clip"],
            "projection_dim": settings["width"] // 2,
            "use_skip_connections": settings["skip_connections"],
        },
    }


def describe(encoder: BiLM) -> dict[str, Any]:
    """The settings of a BiLM that its files determine; it is said what is projected."""
    settings = encoder.settings
    bounds = {name: settings[name] for name in ("cell_clip", "projection_clip")}
    found = {name: settings[name] for name in SETTINGS}
    found |= {name: float(value) if value else None for name, value in bounds.items()}
    return found | find_projections(settings)


def find_projections(settings: dict[str, Any]) -> dict[str, bool]:
    """What is projected; where the settings do not say, whatever has not the width it needs."""
    width, n_filters = settings["width"] // 2, sum(n for _, n in settings["filters"])
    needed = {
        "project_filters": n_filters != width,
        "project_hidden": settings["hidden_width"] != width,
    }
    return {name: needed[name] or bool(settings[name]) for name in needed}
