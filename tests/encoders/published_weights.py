"""Weights in the layout of the published biLM files: random ones, real ones, and how to put
them into an encoder."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spacy_ctxemb.encoders import BiLM

from .bilm_loop import Options, Weights, cell_name

#: Where data shared between checkouts lies; the fixtures of AllenNLP and bilm-tf among them.
SHARED = Path(
    os.environ.get("SPACY_CTXEMB_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)


def build_encoder(options: Options, **settings: Any) -> BiLM:
    """An encoder of these options, in evaluation mode."""
    return BiLM(
        width=2 * options.width,
        hidden_width=options.hidden_width,
        n_lstm_layers=options.n_layers,
        filters=options.filters,
        character_width=options.character_width,
        max_characters=options.max_characters,
        activation=options.activation,
        n_highways=options.n_highways,
        cell_clip=options.cell_clip,
        projection_clip=options.projection_clip,
        skip_connections=options.skip_connections,
        project_filters=options.project_filters,
        project_hidden=options.project_hidden,
        **settings,
    ).eval()


def draw_weights(options: Options, seed: int = 0) -> Weights:
    """Random weights, large enough for gates, clips and highways to matter."""
    rng = np.random.default_rng(seed)
    F, P, C = options.n_filters, options.width, options.hidden_width
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (261, options.character_width)}
    for i, (size, count) in enumerate(options.filters):
        shapes[f"CNN/W_cnn_{i}"] = (1, size, options.character_width, count)
        shapes[f"CNN/b_cnn_{i}"] = (count,)
    for k in range(options.n_highways):
        for part in ("carry", "transform"):
            shapes[f"CNN_high_{k}/W_{part}"] = (F, F)
            shapes[f"CNN_high_{k}/b_{part}"] = (F,)
    if options.project_filters or F != P:
        shapes |= {"CNN_proj/W_proj": (F, P), "CNN_proj/b_proj": (P,)}
    for name in (cell_name(d, layer) for d in (0, 1) for layer in range(options.n_layers)):
        shapes |= {f"{name}/W_0": (2 * P, 4 * C), f"{name}/B": (4 * C,)}
        if options.project_hidden or C != P:
            shapes[f"{name}/W_P_0"] = (C, P)
    return {name: rng.normal(0, 0.5, shape).astype("f4") for name, shape in shapes.items()}


def set_weights(encoder: BiLM, weights: Weights) -> BiLM:
    """Put published weights into an encoder, every parameter of it."""
    cnn = encoder.token_encoder
    blank = np.zeros_like(weights["char_embed"][:1])
    values: list[tuple[Tensor | None, NDArray[Any]]] = [
        (cnn.embedding.weight, np.concatenate([blank, weights["char_embed"]]))
    ]
    for i, convolution in enumerate(cnn.convolutions):
        values.append((convolution.weight, weights[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)))
        values.append((convolution.bias, weights[f"CNN/b_cnn_{i}"]))
    for k, highway in enumerate(cnn.highways):
        for part, linear in (("carry", highway.gate), ("transform", highway.transform)):
            values.append((linear.weight, weights[f"CNN_high_{k}/W_{part}"].T))
            values.append((linear.bias, weights[f"CNN_high_{k}/b_{part}"]))
    if cnn.projection is not None:
        values.append((cnn.projection.weight, weights["CNN_proj/W_proj"].T))
        values.append((cnn.projection.bias, weights["CNN_proj/b_proj"]))
    for direction, lstms in enumerate(encoder.directions):
        for layer, lstm in enumerate(lstms):
            cell = cell_name(direction, layer)
            values.append((lstm.weight_input, weights[f"{cell}/W_0"][: lstm.width].T))
            values.append((lstm.weight_hidden, weights[f"{cell}/W_0"][lstm.width :].T))
            values.append((lstm.bias, weights[f"{cell}/B"]))
            if lstm.projection is not None:
                values.append((lstm.projection, weights[f"{cell}/W_P_0"].T))
    assert len(values) == len(list(encoder.parameters()))
    with torch.no_grad():
        for parameter, value in values:
            assert parameter is not None and parameter.shape == value.shape
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return encoder


def find_fixture(name: str) -> Path:
    """The folder of a fixture, or skip the test."""
    folder = SHARED / "data" / "elmo_fixture" / name
    if not (folder / "lm_weights.hdf5").exists():
        pytest.skip(f"no biLM fixture in {folder}; SPACY_CTXEMB_SHARED may say where it is")
    return folder


def read_hdf5(path: Path) -> Weights:
    """Every data set of a file, by its path inside."""
    h5py = pytest.importorskip("h5py", reason="the fixtures are HDF5 files")
    found: Weights = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[...]

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def read_options(path: Path) -> Options:
    """The options of a published model."""
    stored = json.loads(path.read_text())
    cnn, lstm = stored["char_cnn"], stored["lstm"]
    return Options(
        filters=tuple((size, count) for size, count in cnn["filters"]),
        character_width=cnn["embedding"]["dim"],
        max_characters=cnn["max_characters_per_token"],
        activation=cnn["activation"],
        n_highways=cnn["n_highway"],
        width=lstm["projection_dim"],
        hidden_width=lstm["dim"],
        n_layers=lstm["n_layers"],
        cell_clip=lstm["cell_clip"],
        projection_clip=lstm["proj_clip"],
        skip_connections=lstm["use_skip_connections"],
    )
