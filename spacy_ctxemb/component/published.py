"""A published model of BERT's family as a component."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from spacy.language import Language
from spacy.util import registry

from ..checkpoints.bert.checkpoint import BertModel, read_bert
from ..checkpoints.load_any_huggingface import WrappedModel
from ..checkpoints.open_checkpoint import open_checkpoint
from ..checkpoints.registered_checkpoint_loaders import check_fit, find_bert_differences
from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from ..remote.find_model import Found
from ..thinc_model.embedder_shim import get_shim
from ..windows.pieces_to_windows import N_BOUNDARIES
from .note_origins import note_origins

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder

#: What vectors are made of, by the values of `layers`.
MIXES: dict[str, dict[str, Any]] = {
    "top": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
    "average": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": None},
    "last4": {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 4},
    "all": {"@architectures": "spacy-ctxemb.ConcatLayers.v1"},
}

#: Pieces of the longest window that is encoded at once.
LONGEST = 4096


class Published(NamedTuple):
    """A model. name: as the user wrote it. origins: of its files."""

    name: str
    model: BertModel | WrappedModel
    origins: list[Found]

    def describe(self, layers: str = "top") -> dict[str, Any]:
        """The section `model` of a config. layers: of MIXES."""
        section = self.model.section
        encoder = registry.resolve({"encoder": section})["encoder"]
        pieces = {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": encoder.n_ids}
        return {
            "encoder": section,
            "pieces": pieces,
            "mix": MIXES[layers],
            "window": min(encoder.max_length or LONGEST, LONGEST) - N_BOUNDARIES,
            "split_sentences": False,
        }

    @property
    def pooling(self) -> tuple[str | None, bool]:
        """How it makes a vector of a text: doc_pooling and normalize."""
        return self.model.sentences.doc_pooling, self.model.sentences.normalize

    def give_to(self, nlp: Language, pipe: "ContextualEmbedder") -> None:
        """Give a component its weights and vocabulary. Raises E360 if they are for another one.

        Warns of a prompt that sentence-transformers would put before texts.
        """
        shim, section = get_shim(pipe.model), f"components.{pipe.name}.model"
        pieces = cast(SubwordPieces, shim.pieces)
        differences = find_bert_differences(self.model, shim.embedder.encoder, pieces, section)
        check_fit(self.name, "bert", differences)
        if prompt := self.model.sentences.prompt:
            warnings.warn(Errors.W014.format(prompt=prompt), stacklevel=4)
        pieces.load(self.model.tokenizer)
        shim.load_encoder(self.model.tensors)
        note_origins(nlp, pipe.name, self.origins)


def read_published(name: str) -> Published:
    """Read a model. name: a path, OWNER/NAME or OWNER/NAME@REVISION. Raises what `load` raises."""
    with open_checkpoint(name) as (folder, origins):
        return Published(name, read_bert(folder), origins)
