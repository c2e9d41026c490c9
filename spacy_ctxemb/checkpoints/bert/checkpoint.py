"""Hugging Face checkpoints of BERT and its family: directories with config.json, weights and
tokenizer, also those of sentence-transformers.

What is read and written again has equal values, bit for bit. Heads are read by read_head.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ...atomic_files import replacing, replacing_folder
from ...encoders import Encoder
from ...errors import Errors
from ..check_finite import check_vectors
from ..sentence_transformers import Sentences, read_sentences
from .families_and_tensor_names import FAMILIES, Family
from .read_head import PublishedHead
from .read_tokenizer import read_tokenizer
from .read_weight_files import check_folder
from .settings_from_config_json import describe, read_config, to_config
from .weights_to_and_from_encoder import build_encoder, read_weights, to_tensors
from .write_head import find_head_obstacles, name_architecture, to_head_config, to_head_tensors
from .write_tokenizer import find_padding, write_tokenizer


class BertModel(NamedTuple):
    """What the files of a model hold.

    settings: of the builder of `family.encoder`, ready for a config.
    tensors: by the names of the encoder's parameters.
    tokenizer: JSON of the `tokenizers` library.
    sentences: how vectors become one of a text, where sentence-transformers' files say so.
    """

    model_type: str
    family: Family
    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: str
    sentences: Sentences

    @property
    def section(self) -> dict[str, Any]:
        """The encoder's section of a config."""
        return {"@architectures": self.family.registered_name, **self.settings}


class Tokens(NamedTuple):
    """A tokenizer as JSON, and the ids of the pieces before and after a text."""

    tokenizer: str
    boundaries: tuple[int, int]


def read_bert(folder: Path, *, with_pooling: bool = True) -> BertModel:
    """Read a model from the directory that transformers or sentence-transformers saved.

    with_pooling: False to leave out how a text's vector is made.
    Raises E330 to E356 for files that are missing, damaged, or of another kind; E124, E125, E128
    and E309 too.

        model = read_bert(Path("all-MiniLM-L6-v2"))
        encoder = build_encoder(model.family, model.settings)
        encoder.load_state_dict(model.tensors, assign=True)
    """
    sentences = read_sentences(folder, with_pooling=with_pooling)
    place = sentences.folder
    check_folder(place)
    config = read_config(place / "config.json")
    tokenizer = read_tokenizer(
        place,
        model_type=config.model_type,
        n_ids=config.settings["vocab_size"],
        lowercase=sentences.lowercase,
        padding=config.n_skipped - 1 if config.family.first_position is None else None,
    )
    tensors = read_weights(place, config)
    encoder = build_encoder(config.family, config.settings)
    encoder.load_state_dict(tensors, assign=True)
    check_vectors(encoder, place)
    return BertModel(
        config.model_type, config.family, config.settings, tensors, tokenizer, sentences
    )


def write_bert(
    encoder: Encoder, tokens: Tokens, folder: Path, *, head: PublishedHead | None = None
) -> str:
    """Write a directory that transformers loads; returns the model_type.

    head: what stands on the encoder. One of masked language modelling may have fewer pieces than
        the encoder's table, which is cut.
    Equal encoders give equal bytes. Raises E008 for an encoder without weights, E348 for one that
    no family of transformers has.

        write_bert(encoder, Tokens(tokenizer_json, (101, 102)), Path("exported"))
    """
    if any(parameter.is_meta for parameter in encoder.parameters()):
        raise RuntimeError(Errors.E008)
    settings = describe(encoder)
    parameters = dict(encoder.state_dict())
    if head is not None and head.task == "masked":
        settings["vocab_size"] = n_ids = head.settings["n_classes"]
        parameters["piece_embedding.weight"] = parameters["piece_embedding.weight"][:n_ids]
        head = head.tie(parameters["piece_embedding.weight"])
    padding = find_padding(tokens.tokenizer)
    model_type = choose_family(encoder, settings, padding, head)
    family = FAMILIES[model_type]
    n_skipped = (padding or 0) + 1 if family.first_position is None else family.first_position
    tensors = to_tensors(parameters, family, settings, n_skipped)
    config = to_config(model_type, settings, n_skipped)
    if head is not None:
        tensors = {family.prefix + name: value for name, value in tensors.items()}
        tensors |= to_head_tensors(head, model_type)
        config |= to_head_config(head, model_type)
    write_folder(folder, config, tensors, tokens, settings)
    return model_type


def write_folder(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    tokens: Tokens,
    settings: dict[str, Any],
) -> None:
    """Write all files of a model. settings: of the encoder."""
    from safetensors.torch import save_file

    with replacing_folder(folder) as temporary:
        padding = write_tokenizer(
            tokens.tokenizer, temporary, boundaries=tokens.boundaries, settings=settings
        )
        begin, end = tokens.boundaries
        ids = {"pad": padding, "bos": begin, "eos": end, "cls": begin, "sep": end}
        named = {f"{role}_token_id": i for role, i in ids.items()}
        text = json.dumps(named | config, indent=2)
        (temporary / "config.json").write_text(text + "\n", encoding="utf8")
        with replacing(temporary / "model.safetensors") as path:
            save_file(tensors, path, metadata={"format": "pt"})


def choose_family(
    encoder: Encoder, settings: dict[str, Any], padding: int | None, head: PublishedHead | None
) -> str:
    """The first model_type that an encoder and a head can be written as; of a head that names its
    architecture this one, where it can be written at all. Raises E348."""
    known = [name for name, family in FAMILIES.items() if family.architecture is not None]
    if head is not None:
        named = [n for n in known if name_architecture(n, head.task) == head.architecture]
        known = named or known
    obstacles = {
        name: [
            *find_obstacles(settings, FAMILIES[name], padding),
            *(() if head is None else find_head_obstacles(head, name, settings)),
        ]
        for name in known
        if type(encoder) is FAMILIES[name].encoder
    }
    if not obstacles:
        raise ValueError(Errors.E348.format(reasons=f"it is a {type(encoder).__name__}"))
    n = min(map(len, obstacles.values()))
    nearest = {name: reasons for name, reasons in obstacles.items() if len(reasons) == n}
    if n:
        lines = [f"as {name}, {', '.join(reasons)}" for name, reasons in nearest.items()]
        raise ValueError(Errors.E348.format(reasons="; ".join(lines)))
    return next(iter(nearest))


def find_obstacles(settings: dict[str, Any], family: Family, padding: int | None) -> Iterator[str]:
    """Why an encoder would not be the same in a family. padding: the id of its piece."""
    for name, value in family.constants.items():
        if settings[name] != value:
            yield f"{name} is {settings[name]} where it has {value}"
    if padding != family.padding and family.padding is not None:
        yield f"the id of padding is {padding} where it has {family.padding}"
    if padding is None and family.first_position is None:
        yield "the vocabulary has no piece for padding, from which it counts positions"
