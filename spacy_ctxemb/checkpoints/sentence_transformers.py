"""Directories of sentence-transformers: a model, and how its vectors become one of a text."""

from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from ..errors import Errors
from .read_json import (
    Size,
    Switch,
    Typed,
    check_types,
    expect,
    one_of,
    read_json,
    read_optional,
    read_typed,
)

#: The pooling modes of sentence-transformers that doc_pooling has.
POOLINGS = ("cls", "mean", "max")
#: Settings of a Transformer, the older ones by families; sentence-transformers takes the first.
SETTINGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
MODULES = ["Transformer", "Pooling", "Normalize"]

Name = Annotated[str, expect("a name")]
Text = Annotated[str | None, expect("a text, or null")]


class Module(Typed):
    """A line of modules.json."""

    type: Name = ""
    path: Name = ""


class Modules(Typed):
    modules: list[Module]


Nothing = Annotated[Any, one_of({}, None)]


class Modality(Typed):
    """What is taken of transformers' model, by the kind of input."""

    method: Annotated[Any, one_of("forward", None)] = None
    method_output_name: Annotated[Any, one_of("last_hidden_state", "logits", None)] = None


class Modalities(Typed):
    text: Modality = Modality()


class TransformerSettings(Typed):
    """What sentence-transformers does to texts; others of its settings would change vectors.

    The task of a cross-encoder is "sequence-classification".
    """

    do_lower_case: Annotated[bool | None, expect("true, false or null")] = None
    max_seq_length: Annotated[int | None, Field(ge=1), expect("a whole number, or null")] = None
    transformer_task: Annotated[
        Any, one_of("feature-extraction", "sequence-classification", None)
    ] = None
    modality_config: Modalities = Modalities()
    module_output_name: Annotated[Any, one_of("token_embeddings", "scores", None)] = None
    query_expansion: Nothing = None
    processing_kwargs: Nothing = None
    model_args: Nothing = None
    model_kwargs: Nothing = None
    config_args: Nothing = None
    config_kwargs: Nothing = None
    tokenizer_args: Nothing = None
    processor_kwargs: Nothing = None


class PoolingSettings(Typed):
    """How a text's vector is made of those of its pieces: a mode, or switches in old versions."""

    pooling_mode: Annotated[Any, expect("a name, or a list of one")] = None
    cls: Switch = Field(False, alias="pooling_mode_cls_token")
    max: Switch = Field(False, alias="pooling_mode_max_tokens")
    mean: Switch = Field(False, alias="pooling_mode_mean_tokens")
    mean_sqrt_len_tokens: Switch = Field(False, alias="pooling_mode_mean_sqrt_len_tokens")
    weightedmean: Switch = Field(False, alias="pooling_mode_weightedmean_tokens")
    lasttoken: Switch = Field(False, alias="pooling_mode_lasttoken")
    include_prompt: Switch = True


class NormalizeSettings(Typed):
    module_input_name: Annotated[Any, one_of("sentence_embedding", None)] = None
    module_output_name: Annotated[Any, one_of("sentence_embedding", None)] = None


class TextSettings(Typed):
    """What sentence-transformers does around the modules. prompts: by their names."""

    prompts: Annotated[dict[str, str | None] | None, expect("an object of texts")] = None
    default_prompt_name: Text = None
    truncate_dim: Annotated[Size | None, expect("a whole number from 1, or null")] = None


class Sentences(NamedTuple):
    """Where the model of a directory lies, and what is done to texts and vectors.

    doc_pooling: None in a directory without sentence-transformers' modules.
    max_pieces: longer texts are cut by sentence-transformers, never here.
    prompt: put before every text by sentence-transformers, never here.
    """

    folder: Path
    doc_pooling: str | None = None
    normalize: bool = False
    lowercase: bool = False
    max_pieces: int | None = None
    prompt: str | None = None


def read_sentences(folder: Path, *, with_pooling: bool = True) -> Sentences:
    """What the modules of a directory say, if it has any.

    with_pooling: False to leave out what makes one vector of a text.
    Raises E331, E333, E346, E347 or E355 for files that say what is not done here.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return Sentences(folder)
    model, *others = read_modules(path, with_pooling=with_pooling)
    given = next(filter(None, (read_optional(model / name) for name in SETTINGS)), {})
    settings = check_types(given, TransformerSettings, path=model / SETTINGS[0])
    is_cross_encoder = settings.transformer_task == "sequence-classification" and not others
    if with_pooling and not (others or is_cross_encoder):
        raise ValueError(Errors.E347.format(path=path, found=MODULES[:1]))
    texts = read_typed(folder / "config_sentence_transformers.json", TextSettings)
    sentences = Sentences(
        model,
        lowercase=bool(settings.do_lower_case),
        max_pieces=settings.max_seq_length,
        prompt=(texts.prompts or {}).get(texts.default_prompt_name or "") or None,
    )
    if not with_pooling or is_cross_encoder:
        return sentences
    if texts.truncate_dim is not None:
        raise ValueError(Errors.E355.format(path=folder, found=texts.truncate_dim))
    pooling, *norms = others
    for norm in norms:
        read_typed(norm / "config.json", NormalizeSettings)
    mode = read_pooling(pooling / "config.json", has_prompt=sentences.prompt is not None)
    return sentences._replace(doc_pooling=mode, normalize=bool(norms))


def read_modules(path: Path, *, with_pooling: bool) -> list[Path]:
    """The folders of a Transformer, and of its Pooling and perhaps a Normalize if it has them.

    Raises E347 for modules that are unknown, or in another order or number, E331 for one that
    lies elsewhere.
    """
    data = {"modules": read_json(path, kind=list)}
    modules = check_types(data, Modules, path=path).modules
    # A module of the same name in another package may compute anything.
    kinds = [
        module.type.rpartition(".")[2]
        if module.type.startswith("sentence_transformers.")
        else module.type
        for module in modules
    ]
    if not with_pooling:
        kinds, modules = kinds[:1], modules[:1]
    if kinds not in [MODULES[:n] for n in (1, 2, 3)]:
        raise ValueError(Errors.E347.format(path=path, found=kinds))
    for module in modules:
        place = PureWindowsPath(module.path)  # which knows both kinds of separators
        if place.anchor or ".." in place.parts:
            reason = f"its module {module.path} lies outside the folder"
            raise ValueError(Errors.E331.format(path=path, reason=reason))
    return [path.parent / module.path for module in modules]


def read_pooling(path: Path, *, has_prompt: bool) -> str:
    """How a text's vector is made of those of its pieces.

    Raises E346 for a way we do not have, E333 where the pieces of a prompt are to be left out.
    """
    settings = read_typed(path, PoolingSettings)
    if has_prompt and not settings.include_prompt:
        expected = "true, since a prompt is part of your texts here"
        values = {"key": "include_prompt", "found": "false", "expected": expected}
        raise ValueError(Errors.E333.format(path=path, **values))
    modes = settings.pooling_mode
    if modes is None:
        switches = settings.model_dump(exclude={"pooling_mode", "include_prompt"})
        modes = [mode for mode, is_on in switches.items() if is_on] or ["mean"]
    modes = modes if isinstance(modes, list) else [modes]
    if modes not in [[mode] for mode in POOLINGS]:
        raise ValueError(Errors.E346.format(path=path, found=modes, known=list(POOLINGS)))
    return str(modes[0])
