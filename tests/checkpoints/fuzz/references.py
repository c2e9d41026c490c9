"""Other readers of the same files: transformers, and NumPy loops for ELMo."""

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...encoders.bilm_loop import Options, run_sentence
from ...encoders.published_weights import read_hdf5


class Reference(NamedTuple):
    """All layers of the text, (L, T, D), and its pieces if the reader has a tokenizer."""

    layers: NDArray[np.float64]
    ids: list[int] | None


def run_elmo_reference(folder: Path, ids: NDArray[Any], noise: float) -> Reference:
    """noise: by how much of itself each weight is changed, at random."""
    with TemporaryDirectory() as place:
        packed = folder / "model.zip"
        if packed.exists():
            folder = Path(place)
            with zipfile.ZipFile(packed) as archive:
                for name in ("options.json", "weights.hdf5"):
                    (folder / name).write_bytes(archive.read(name))
        options = read_options(folder / "options.json")
        rng = np.random.default_rng(0)
        weights = {
            name: values.astype("f8") * (1 + noise * rng.standard_normal(values.shape))
            for name, values in read_hdf5(folder / "weights.hdf5").items()
            if values.dtype.kind == "f"
        }
    return Reference(np.stack(run_sentence(ids, weights, options)), None)


def read_options(path: Path) -> Options:
    stored = json.loads(path.read_text(encoding="utf8"))
    cnn, lstm = stored["char_cnn"], stored["lstm"]
    return Options(
        filters=tuple((size, count) for size, count in cnn["filters"]),
        character_width=cnn["embedding"]["dim"],
        max_characters=cnn["max_characters_per_token"],
        activation=cnn["activation"],
        n_highways=cnn.get("n_highway") or 0,
        width=lstm["projection_dim"],
        hidden_width=lstm["dim"],
        n_layers=1 if lstm.get("n_layers") is None else lstm["n_layers"],
        cell_clip=lstm.get("cell_clip") or None,
        projection_clip=lstm.get("proj_clip") or None,
        skip_connections=lstm.get("use_skip_connections") or False,
    )


def run_bert_reference(folder: Path, ids: NDArray[Any], noise: float) -> Reference:
    """noise: by how much of itself each weight is changed, at random."""
    import transformers

    path = folder
    if (folder / "modules.json").is_file():
        path = folder / json.loads((folder / "modules.json").read_text())[0]["path"]
    # Without a dtype the first tensor of a file would tell to what all others are rounded.
    model, report = transformers.AutoModel.from_pretrained(
        path,
        local_files_only=True,
        output_loading_info=True,
        attn_implementation="eager",
        dtype=torch.float32,
    )
    made_up = [name for name in report["missing_keys"] if "pooler" not in name]
    if made_up or report.get("mismatched_keys"):
        raise ValueError(f"has no values for {made_up[:2] or report['mismatched_keys']}")
    model.eval()
    torch.manual_seed(0)
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter *= 1 + noise * torch.randn(parameter.shape)
        states = model(torch.from_numpy(ids)[None].long(), output_hidden_states=True).hidden_states
    return Reference(torch.stack(states)[:, 0].double().numpy(), find_ids(path))


def find_ids(path: Path) -> list[int] | None:
    import transformers

    from .run_case import TEXT

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        return list(tokenizer(TEXT, truncation=False)["input_ids"])
    except Exception:
        return None
