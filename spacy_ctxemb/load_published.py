"""Pipelines of published models, by a path, a name on the hub or an address."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .errors import Errors
from .remote.find_model import Found, find_file

if TYPE_CHECKING:
    from spacy.language import Language

    from .checkpoints.bert.checkpoint import BertModel
    from .checkpoints.elmo.checkpoint import ElmoModel
    from .checkpoints.load_any_huggingface import WrappedModel
    from .checkpoints.sentence_transformers import Sentences
    from .thinc_model.embedder_shim import EmbedderShim

#: What vectors are made of, by the values of `layers`.
MIXES: dict[str, dict[str, Any]] = {
    "top": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
    "average": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None},
    "last4": {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 4},
    "all": {"@architectures": "spacy-ctxemb.ConcatLayers.v1"},
}

#: Pieces of the longest window that is encoded at once.
LONGEST = 4096


class Loaded(NamedTuple):
    """A pipeline with a published model.

    what: it is, for a message. origins: of its files.
    sentences: how vectors of texts are made, where files of sentence-transformers say so.
    """

    nlp: "Language"
    what: str
    origins: list[Found]
    sentences: "Sentences | None" = None


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
) -> "Language":
    """Load a published model as a pipeline with a component `ctxemb`.

    name: OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face Hub, or the folder of a model of
        BERT's family, of sentence-transformers or of an adapter. For ELMo the path or the address
        of options.json, or of a ZIP file with both files, or a folder that has them.
    weights: for ELMo the path or the address of the HDF5 file; None with a ZIP file or a folder.
    lang: language of the tokenizer.
    layers: what vectors are: "top", "average", "last4" or "all"; None for "top", or "average" of
        an ELMo.
    width: of the vectors, by a projection that is random until it is trained; None for none.
    wrap: whether the package transformers runs the model, which may then be of any architecture.
    revision: a branch, a tag or a commit on the hub; None for the newest.
    with_pooling: whether texts get vectors as in sentence-transformers.
    Raises E370 to E378 for what cannot be downloaded, E300 to E357 and E390 to E394 for files that
    cannot be used, E395 for another name of layers.

        nlp = spacy_ctxemb.load("sentence-transformers/all-MiniLM-L6-v2")
        doc = nlp("the bank of the river")
    """
    if layers not in (None, *MIXES):
        raise ValueError(Errors.E395.format(found=layers, options=", ".join(MIXES)))
    files = [str(name), *([] if weights is None else [str(weights)])]
    if weights is None:
        files = [str(path) for path in find_elmo_files(Path(name))] or files
    if len(files) == 2 or files[0].partition("#")[0].endswith(".zip"):
        return load_elmo(files, lang=lang, layers=layers or "average", width=width).nlp
    return load_bert(
        files[0],
        lang=lang,
        layers=layers or "top",
        width=width,
        wrap=wrap,
        revision=revision,
        with_pooling=with_pooling,
    ).nlp


def load_bert(
    name: str,
    *,
    lang: str = "en",
    layers: str = "top",
    width: int | None = None,
    wrap: bool = False,
    revision: str | None = None,
    with_pooling: bool = True,
) -> Loaded:
    """A pipeline with a model of BERT's family; see `load`."""
    from .checkpoints.bert.checkpoint import read_bert
    from .checkpoints.load_any_huggingface import read_huggingface
    from .checkpoints.open_checkpoint import open_checkpoint

    model: BertModel | WrappedModel
    read = read_huggingface if wrap else read_bert
    with open_checkpoint(name, revision=revision) as (folder, origins):
        model = read(folder, with_pooling=with_pooling)
    section = describe_bert(model, MIXES[layers]) | {"width": width}
    sentences = model.sentences
    warn_of_prompt(sentences)
    pooling = {"doc_pooling": sentences.doc_pooling, "normalize": sentences.normalize}
    nlp = build_pipeline(lang, section, **pooling)
    shim = find_shim(nlp)
    give_weights(shim, model)
    note_origins(nlp, "ctxemb", origins)
    encoder = shim.embedder.encoder
    what = f"a model of the type {model.model_type}: {encoder.n_layers - 1} blocks, width "
    what += f"{encoder.width}, vocabulary of {encoder.n_ids}"
    return Loaded(nlp, what, origins, sentences)


def describe_bert(model: "BertModel | WrappedModel", mix: dict[str, Any]) -> dict[str, Any]:
    """The section of a config for a model of BERT's family."""
    from spacy.util import registry

    from .windows.pieces_to_windows import N_BOUNDARIES

    encoder = registry.resolve({"encoder": model.section})["encoder"]
    longest = min(encoder.max_length or LONGEST, LONGEST)
    return {
        "encoder": model.section,
        "pieces": {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": encoder.n_ids},
        "mix": mix,
        "window": longest - N_BOUNDARIES,
        "split_sentences": False,
    }


def give_weights(shim: "EmbedderShim", model: "BertModel | WrappedModel") -> None:
    """Give an encoder its weights, and its pieces their vocabulary."""
    from .pieces.subwords import SubwordPieces

    cast(SubwordPieces, shim.pieces).load(model.tokenizer)
    shim.load_encoder(model.tensors)


def warn_of_prompt(sentences: "Sentences") -> None:
    """W014 where sentence-transformers would change texts."""
    if sentences.prompt is not None:
        warnings.warn(Errors.W014.format(prompt=sentences.prompt), stacklevel=3)


def load_elmo(
    files: Sequence[str],
    *,
    lang: str = "en",
    layers: str = "average",
    width: int | None = None,
    tokens_to_add: dict[str, int] | None = None,
    unpack_limit: float = 1e9,
) -> Loaded:
    """A pipeline with an ELMo.

    files: options and weights, or a ZIP file with both: paths or addresses.
    tokens_to_add: tokens that are one character each. unpack_limit: bytes that a ZIP file may
    unpack to. Raises what `load` raises.
    """
    from .checkpoints.elmo.checkpoint import read_elmo

    origins = [find_file(file) for file in files]
    model = read_elmo(*(found.path for found in origins), unpack_limit=unpack_limit)
    section = describe_elmo(model, MIXES[layers], tokens_to_add) | {"width": width}
    nlp = build_pipeline(lang, section)
    find_shim(nlp).load_encoder(model.tensors)
    note_origins(nlp, "ctxemb", origins)
    what = "a biLM of {n_lstm_layers} LSTM layers, width {width}".format(**model.settings)
    return Loaded(nlp, what, origins)


def describe_elmo(
    model: "ElmoModel", mix: dict[str, Any], tokens_to_add: dict[str, int] | None
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


def find_elmo_files(path: Path) -> list[Path]:
    """The files of an ELMo at a path: one ZIP file, or two."""
    if path.suffix == ".zip" and path.is_file():
        return [path]
    options, weights = sorted(path.glob("*options.json")), sorted(path.glob("*.hdf5"))
    if options and weights:
        return [options[0], weights[0]]
    return sorted(path.glob("*.zip"))[:1]


def build_pipeline(lang: str, model: dict[str, Any], **settings: Any) -> "Language":
    """A blank language and `ctxemb`, whose encoder has no weights yet.

    model: its section of the config. settings: others of the component.
    """
    import spacy

    nlp = spacy.blank(lang)
    nlp.add_pipe("ctxemb", config={"model": model, **settings})
    return nlp


def find_shim(nlp: "Language") -> "EmbedderShim":
    from .thinc_model.embedder_shim import get_shim

    return get_shim(cast(Any, nlp.get_pipe("ctxemb")).model)


def note_origins(nlp: "Language", component: str, origins: Sequence[Found]) -> None:
    """Write into meta.json where the weights of a component come from, if not from a path."""
    sources = [{"source": f.source, "revision": f.revision} for f in origins if f.revision]
    if sources:
        nlp.meta.setdefault("ctxemb", {})[component] = sources
