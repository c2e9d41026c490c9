"""Pipelines of published models, by a path, a name on the hub or an address."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import spacy
from spacy.language import Language

from .checkpoints.bert.checkpoint import read_bert
from .checkpoints.bert.merge_adapter import CONFIG
from .checkpoints.bert.read_head import PublishedHead, read_head
from .checkpoints.elmo.checkpoint import ElmoModel, read_elmo
from .checkpoints.elmo.find_files import UNPACK_LIMIT, find_elmo, find_elmo_files
from .checkpoints.load_any_huggingface import read_huggingface
from .checkpoints.open_checkpoint import Opened, open_checkpoint
from .checkpoints.read_json import read_optional
from .checkpoints.sentence_transformers import Sentences
from .component import ContextualEmbedder
from .component.note_origins import note_origins
from .component.published import MIXES, Published
from .errors import Errors
from .heads.add_head import add_head
from .remote.choose_files import choose_any
from .remote.find_model import Found, hide_secrets
from .thinc_model.embedder_shim import EmbedderShim, get_shim

#: In the place of a task: the encoder alone.
NO_HEAD = "none"

#: The tasks of heads that were trained with an adapter, by peft's task_type.
TASKS = {"TOKEN_CLS": "token", "SEQ_CLS": "text", "QUESTION_ANS": "question"}


class Loaded(NamedTuple):
    """A pipeline with a published model.

    what: it is, for a message. origins: of its files.
    sentences: how vectors of texts are made, where files of sentence-transformers say so.
    """

    nlp: Language
    what: str
    origins: list[Found]
    sentences: Sentences | None = None


def load(
    name: str | Path,
    weights: str | Path | None = None,
    *,
    lang: str = "en",
    layers: str | None = None,
    width: int | None = None,
    wrap: bool = False,
    revision: str | None = None,
    with_pooling: bool = True,
    head: str | None = None,
) -> Language:
    """Load a published model as a pipeline with a component `ctxemb`, and one for its head.

    name: OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face Hub, or the folder of a model of
        BERT's family, of sentence-transformers or of an adapter. For ELMo the path or the address
        of options.json, or of a ZIP file with both files; or a folder or a repository of the hub
        that has them.
    weights: for ELMo the path or the address of the HDF5 file, with options.json alone.
    lang: language of the tokenizer.
    layers: what vectors are: "top", "average", "last4" or "all"; None for "top", or "average" of
        an ELMo.
    width: of the vectors, by a projection that is random until it is trained; None for none.
    wrap: whether the package transformers runs the model, which may then be of any architecture.
    revision: a branch, a tag or a commit on the hub; None for the newest.
    with_pooling: whether texts get vectors as in sentence-transformers.
    head: the task of the trained head: "token", "text", "question" or "masked"; "none" for the
        encoder alone; None for the head that config.json names, but "masked". With `wrap` there
        is the encoder alone.
    Raises E370 to E378 for what cannot be downloaded, E300 to E357, E380 to E382 and E390 to E394
    for files that cannot be used, E395 for another name of layers, E396 for a name that is taken
    for a path, E398 for a head with `wrap`.

        nlp = spacy_ctxemb.load("sentence-transformers/all-MiniLM-L6-v2")
        doc = nlp("the bank of the river")
    """
    if layers not in (None, *MIXES):
        raise ValueError(Errors.E395.format(found=layers, options=", ".join(MIXES)))
    if weights is not None or hide_secrets(str(name)).endswith(".zip"):
        files = [str(file) for file in (name, weights) if file is not None]
        return load_elmo(files, lang=lang, layers=layers or "average", width=width).nlp
    with open_checkpoint(str(name), revision=revision, choose=choose_any) as opened:
        if paths := find_elmo_files(opened.folder):
            layers = layers or "average"
            return build_elmo(paths, opened.origins, lang=lang, layers=layers, width=width).nlp
        return build_bert(
            str(name),
            opened,
            lang=lang,
            layers=layers or "top",
            width=width,
            wrap=wrap,
            with_pooling=with_pooling,
            head=head,
        ).nlp


def load_bert(name: str, *, revision: str | None = None, **settings: Any) -> Loaded:
    """A pipeline with a model of BERT's family; see `load`. settings: of `build_bert`."""
    with open_checkpoint(name, revision=revision) as opened:
        return build_bert(name, opened, **settings)


def build_bert(
    name: str,
    opened: Opened,
    *,
    lang: str = "en",
    layers: str = "top",
    width: int | None = None,
    wrap: bool = False,
    with_pooling: bool = True,
    head: str | None = None,
) -> Loaded:
    """A pipeline with a model whose files are here."""
    if wrap and head not in (None, NO_HEAD):
        raise ValueError(Errors.E398.format(head=head))
    read = read_huggingface if wrap else read_bert
    published = Published(name, read(opened.folder, with_pooling=with_pooling), opened.origins)
    task = NO_HEAD if wrap else head
    found = find_head(opened.folder, task, has_own_config=opened.has_own_config)
    doc_pooling, normalize = published.pooling
    section = published.describe(layers) | {"width": width}
    nlp = build_pipeline(lang, section, doc_pooling=doc_pooling, normalize=normalize)
    published.give_to(nlp, cast(ContextualEmbedder, nlp.get_pipe("ctxemb")))
    encoder, model_type = find_shim(nlp).embedder.encoder, published.model.model_type
    what = f"a model of the type {model_type}: {encoder.n_layers - 1} blocks, width "
    what += f"{encoder.width}, vocabulary of {encoder.n_ids}"
    if found is not None:
        add_head(nlp, found)
        what += f", with the head {found.architecture or found.task}"
        if found.labels and not opened.has_own_config:
            what += f" of the labels {', '.join(found.labels[:3])} (no config.json is beside the "
            what += "adapter, whose id2label would name them)"
    return Loaded(nlp, what, opened.origins, published.model.sentences)


def find_head(
    folder: Path, task: str | None, *, has_own_config: bool = True
) -> PublishedHead | None:
    """The head that is wanted: that of a task, or the one that an adapter or config.json names.

    One that is unknown is left out with a warning unless its task was named.
    """
    if task == NO_HEAD:
        return None
    task = task or TASKS.get(str(read_optional(folder / CONFIG).get("task_type")))
    if task is not None:
        return read_head(folder, task=task, has_own_config=has_own_config)
    try:
        found = read_head(folder, has_own_config=has_own_config)
    except ValueError as error:
        if not str(error).startswith(("[E380]", "[E381]")):
            raise
        warnings.warn(Errors.W015.format(reason=error), stacklevel=3)
        return None
    return None if found is None or found.task == "masked" else found


def load_elmo(files: Sequence[str], **settings: Any) -> Loaded:
    """A pipeline with an ELMo; see `find_elmo` for files, and `build_elmo` for settings."""
    return build_elmo(*find_elmo(files), **settings)


def build_elmo(
    files: Sequence[Path],
    origins: list[Found],
    *,
    lang: str = "en",
    layers: str = "average",
    width: int | None = None,
    tokens_to_add: dict[str, int] | None = None,
    unpack_limit: float = UNPACK_LIMIT,
) -> Loaded:
    """A pipeline with an ELMo whose files are here.

    files: options and weights, or a ZIP file with both. tokens_to_add: tokens that are one
    character each. unpack_limit: bytes that a ZIP file may unpack to.
    """
    model = read_elmo(*files, unpack_limit=unpack_limit)
    section = describe_elmo(model, MIXES[layers], tokens_to_add) | {"width": width}
    nlp = build_pipeline(lang, section)
    find_shim(nlp).load_encoder(model.tensors)
    note_origins(nlp, "ctxemb", origins)
    what = "a biLM of {n_lstm_layers} LSTM layers, width {width}".format(**model.settings)
    return Loaded(nlp, what, origins)


def describe_elmo(
    model: ElmoModel, mix: dict[str, Any], tokens_to_add: dict[str, int] | None
) -> dict[str, Any]:
    """The section of a config for an ELMo."""
    return {
        "encoder": {"@architectures": "spacy-ctxemb.BiLM.v1", **model.settings},
        "pieces": {
            "@architectures": "spacy-ctxemb.CharacterPieces.v1",
            "max_characters": model.settings["max_characters"],
            "tokens_to_add": [list(pair) for pair in (tokens_to_add or {}).items()],
        },
        "mix": mix,
        "window": 512,
        "stride": 384,
        "split_sentences": True,
    }


def build_pipeline(lang: str, model: dict[str, Any], **settings: Any) -> Language:
    """A blank language and `ctxemb`, whose encoder has no weights yet.

    model: its section of the config. settings: others of the component.
    """
    nlp = spacy.blank(lang)
    nlp.add_pipe("ctxemb", config={"model": model, **settings})
    return nlp


def find_shim(nlp: Language) -> EmbedderShim:
    return get_shim(cast(ContextualEmbedder, nlp.get_pipe("ctxemb")).model)
