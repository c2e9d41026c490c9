"""Checkpoints of any encoder that transformers knows, read by that package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..encoders.huggingface_wrapper import HuggingFaceEncoder, build_sizes
from ..errors import Errors
from .bert.checkpoint import Tokens, write_folder
from .bert.read_tokenizer import fit_to_model
from .bert.read_weight_files import check_folder
from .read_json import read_json
from .sentence_transformers import Sentences, read_sentences

#: Keys of config.json that the encoder does not need; names of labels do not fit into a config.
OTHERS = {
    *("_name_or_path", "architectures", "dtype", "id2label", "label2id", "task_specific_params"),
    *("torch_dtype", "transformers_version"),
}


class WrappedModel(NamedTuple):
    """What the files of a model hold.

    config: of `HuggingFaceEncoder`. tensors: by the names of its parameters.
    tokenizer: JSON of the `tokenizers` library.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: str
    sentences: Sentences

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type"))

    @property
    def section(self) -> dict[str, Any]:
        """The encoder's section of a config."""
        return {"@architectures": "spacy-ctxemb.HuggingFace.v1", "config": self.config}


def read_huggingface(folder: Path) -> WrappedModel:
    """Read a model from the directory that transformers or sentence-transformers saved."""
    sentences = read_sentences(folder)
    place = sentences.folder
    check_folder(place)
    config = read_json(place / "config.json")
    kept = {name: value for name, value in config.items() if name not in OTHERS}
    n_ids = build_sizes(kept).vocab_size
    tensors = load_tensors(place)
    tokenizer = fit_to_model(
        load_tokenizer(place), place, n_ids=n_ids, lowercase=sentences.lowercase
    )
    return WrappedModel(kept, tensors, tokenizer, sentences)


def write_huggingface(encoder: HuggingFaceEncoder, tokens: Tokens, folder: Path) -> str:
    """Write a directory that transformers loads; returns the model_type."""
    tensors = {
        name.removeprefix("model."): value.detach().cpu().contiguous()
        for name, value in encoder.state_dict().items()
    }
    n_segments = getattr(encoder.model.config, "type_vocab_size", None) or 0
    settings = {"max_length": encoder.max_length, "n_segments": n_segments}
    config = encoder.settings["config"]
    write_folder(folder, config, tensors, tokens, settings)
    return str(config["model_type"])


def describe_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """All that a config.json says of a model's vectors, the defaults of transformers included."""
    return {
        name: value
        for name, value in build_sizes(config).to_dict().items()
        if name not in OTHERS and not name.startswith("_") and "dropout" not in name
    }


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """The values of a model's parameters, in fp32. Raises E335 if some are not in the files."""
    from transformers import AutoModel

    model, report = AutoModel.from_pretrained(
        folder, local_files_only=True, output_loading_info=True
    )
    # A pooler is no part of the layers; what has no values of its own gets zeros.
    missing = sorted(report["missing_keys"])
    others = [name for name in missing if "pooler" not in name]
    if others:
        listed = ", ".join(others[:3])
        raise ValueError(Errors.E335.format(path=folder, names=listed, n=len(others)))
    tensors = {name: value.float() for name, value in model.state_dict().items()}
    tensors |= {name: torch.zeros_like(tensors[name]) for name in missing}
    return {f"model.{name}": value for name, value in tensors.items()}


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of the `tokenizers` library behind that of transformers.

    Raises E344 for a tokenizer without one.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.is_fast:
        hint = f" transformers' {type(tokenizer).__name__} is none of the library `tokenizers`."
        raise ValueError(Errors.E344.format(path=folder, hint=hint))
    return tokenizer.backend_tokenizer
