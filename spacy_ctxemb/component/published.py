"""A published model that `pretrained` names, read when the user adds the component."""

from typing import TYPE_CHECKING, Any, NamedTuple

from spacy.language import Language

from ..checkpoints.bert.checkpoint import BertModel, read_bert
from ..checkpoints.open_checkpoint import open_checkpoint
from ..checkpoints.registered_checkpoint_loaders import check_fit, find_bert_differences
from ..load_published import MIXES, describe_bert, give_weights, note_origins, warn_of_prompt
from ..remote.find_model import Found
from ..thinc_model.embedder_shim import get_shim

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder


class Published(NamedTuple):
    """A model. name: as the user wrote it. origins: of its files."""

    name: str
    model: BertModel
    origins: list[Found]

    @property
    def section(self) -> dict[str, Any]:
        """The section `model` of a config."""
        return describe_bert(self.model, MIXES["top"])

    @property
    def pooling(self) -> tuple[str | None, bool]:
        """How it makes a vector of a text: doc_pooling and normalize."""
        return self.model.sentences.doc_pooling, self.model.sentences.normalize

    def give_to(self, nlp: Language, pipe: "ContextualEmbedder") -> None:
        """Give its weights to a component. Raises E360 if they are for another encoder."""
        shim = get_shim(pipe.model)
        section = f"components.{pipe.name}.model"
        differences = find_bert_differences(self.model, shim.embedder.encoder, shim.pieces, section)
        check_fit(self.name, "bert", differences)
        warn_of_prompt(self.model.sentences)
        give_weights(shim, self.model)
        note_origins(nlp, pipe.name, self.origins)


def read_published(name: str) -> Published:
    """Read a model. name: a path, OWNER/NAME or OWNER/NAME@REVISION. Raises what `load` raises."""
    with open_checkpoint(name) as (folder, origins):
        return Published(name, read_bert(folder), origins)
