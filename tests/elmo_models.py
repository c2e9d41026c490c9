"""Tiny models in ELMo's published format, written without the package's own code."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from .encoders.bilm_loop import Options, Weights
from .encoders.published_weights import draw_weights


class Files(NamedTuple):
    options: Path
    weights: Path


def to_json(options: Options) -> dict[str, Any]:
    """options.json, as published."""
    return {
        "char_cnn": {
            "activation": options.activation,
            "embedding": {"dim": options.character_width},
            "filters": [list(f) for f in options.filters],
            "max_characters_per_token": options.max_characters,
            "n_characters": 262,
            "n_highway": options.n_highways,
        },
        "lstm": {
            "cell_clip": options.cell_clip,
            "dim": options.hidden_width,
            "n_layers": options.n_layers,
            "proj_clip": options.projection_clip,
            "projection_dim": options.width,
            "use_skip_connections": options.skip_connections,
        },
    }


def write_model(folder: Path, options: Options | None = None) -> Files:
    """Both files of a random model."""
    options = options or Options()
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "options.json", folder / "weights.hdf5")
    write_json(files.options, to_json(options))
    write_weights(files.weights, draw_weights(options))
    return files


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf8")


def write_weights(path: Path, weights: Weights) -> None:
    with h5py.File(path, "w") as file:
        for name, values in weights.items():
            file[name] = values


def change_weights(path: Path, **changes: Any) -> None:
    """Replace, add or remove (None) datasets. changes: by name."""
    with h5py.File(path, "r+") as file:
        for name, values in changes.items():
            if name in file:
                del file[name]
            if values is not None:
                file[name] = values
