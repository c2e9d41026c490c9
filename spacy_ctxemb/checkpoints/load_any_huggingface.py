"""Checkpoints of any encoder that transformers knows, converted by that package."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..encoders.huggingface_wrapper import EmptyOnMeta, HuggingFaceEncoder, build_model, build_sizes
from ..errors import Errors
from ..read_files import coding_errors
from .bert.checkpoint import Tokens, write_folder
from .bert.read_tokenizer import fit_to_model
from .bert.read_weight_files import Stored, check_folder, read_tensors, refuse_names
from .check_finite import check_finite, check_vectors
from .read_json import LARGEST, read_json, shorten
from .sentence_transformers import Sentences, read_sentences

#: Keys of config.json that the encoder does not need; names of labels do not fit into a config.
OTHERS = {
    *("_name_or_path", "architectures", "dtype", "id2label", "label2id", "task_specific_params"),
    *("torch_dtype", "transformers_version"),
}
#: Layers that a model may have whatever its tensors are: some share theirs.
SHARED_LAYERS = 256
#: Keys that count layers.
LAYERS = "layer|block|depth|stage|group"

#: Keys of config.json for weights of other kinds, or in other files.
FOREIGN = ("quantization_config", "transformers_weights")


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


def read_huggingface(folder: Path, *, with_pooling: bool = True) -> WrappedModel:
    """Read a model from the directory that transformers or sentence-transformers saved.

    with_pooling: False to leave out how a text's vector is made.
    Raises E113 for a model that cannot be wrapped, E352 for files that transformers cannot use,
    and what `read_bert` raises.
    """
    sentences = read_sentences(folder, with_pooling=with_pooling)
    place = sentences.folder
    check_folder(place)
    path = place / "config.json"
    config = {name: v for name, v in read_json(path).items() if name not in OTHERS}
    stored = read_tensors(place)
    check_claims(config, stored, path)
    n_ids = build_sizes(config).vocab_size
    tensors = load_tensors(place, config, stored)
    tokenizer = fit_to_model(
        load_tokenizer(place), place, n_ids=n_ids, lowercase=sentences.lowercase
    )
    with coding_errors(Errors.E352, path=place):
        with torch.device("meta"):
            encoder = HuggingFaceEncoder(config)
        encoder.load_state_dict(tensors, assign=True)
        check_vectors(encoder, place)
    return WrappedModel(config, tensors, tokenizer, sentences)


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


def check_claims(config: dict[str, Any], stored: Mapping[str, Stored], path: Path) -> None:
    """Raise E356 for a value of config.json that the tensors do not bear out, or no config has."""
    largest = max([LARGEST, *(n for tensor in stored.values() for n in tensor.value.shape)])
    n_layers = max(SHARED_LAYERS, len(stored))
    for key, name, value in walk(config):
        reason = None
        if not re.fullmatch(r"\w[\w-]*", name) or (isinstance(value, str) and "$" in value):
            reason = "spaCy's configs do not keep it as it is"
        elif key in FOREIGN and value is not None:
            reason = "weights of this kind are not read; save the model without it"
        elif isinstance(value, float) and not math.isfinite(value):
            reason = "it is no finite number"
        elif isinstance(value, int) and abs(value) > largest and not name.endswith("theta"):
            reason = f"no model has more than {largest}"
        elif isinstance(value, int) and value > n_layers and re.search(LAYERS, name):
            reason = f"there are {len(stored)} tensors"
        if reason:
            found = shorten(value)
            raise ValueError(Errors.E356.format(path=path, key=key, found=found, reason=reason))


def walk(value: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """All values in an object: their keys with those above them, their keys, and they."""
    for name, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield f"{place}{name}", str(name), child
        if isinstance(child, dict | list):
            yield from walk(child, f"{place}{name}.")


def load_tensors(
    folder: Path, config: dict[str, Any], stored: Mapping[str, Stored]
) -> dict[str, Tensor]:
    """The values of a model's parameters, in fp32, as transformers takes them from the files.

    Raises E335 if some are not there, E309 for values that are not finite.
    """
    with EmptyOnMeta():
        empty = build_model(config)
    needed = sum(parameter.numel() for parameter in empty.parameters())
    present = sum(tensor.value.numel() for tensor in stored.values())
    if needed > 2 * present:
        reason = f"its sizes make {needed} parameters, and the files have {present}"
        found = shorten(config.get("model_type"))
        raise ValueError(
            Errors.E356.format(
                path=folder / "config.json", key="model_type", found=found, reason=reason
            )
        )
    values = {
        name: value.float() if value.is_floating_point() else value
        for name, (value, _) in stored.items()
    }
    with coding_errors(Errors.E352, path=folder):
        model, report = type(empty).from_pretrained(
            None, config=empty.config, state_dict=values, output_loading_info=True
        )
    # A pooler is no part of the layers; what has no values of its own gets zeros.
    missing = sorted(report["missing_keys"])
    refuse_names(Errors.E335, [name for name in missing if "pooler" not in name], path=folder)
    for name, parameter in model.named_parameters():
        check_finite(parameter.detach(), name=name, path=folder)
    tensors = {name: value.float() for name, value in model.state_dict().items()}
    tensors |= {name: torch.zeros_like(tensors[name]) for name in missing}
    return {f"model.{name}": value for name, value in tensors.items()}


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of the `tokenizers` library behind that of transformers.

    Raises E344 for a tokenizer without one, E352 for files that transformers cannot use.
    """
    from transformers import AutoTokenizer

    with coding_errors(Errors.E352, path=folder):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if not tokenizer.is_fast:
            hint = f" transformers' {type(tokenizer).__name__} is none of the library `tokenizers`."
            raise ValueError(Errors.E344.format(path=folder, hint=hint))
        return tokenizer.backend_tokenizer
