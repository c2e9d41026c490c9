"""What `pretrained` decides where a config leaves it open: the model, and vectors of texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from spacy.language import Language
from spacy.util import registry

from ..cache.keys import describe
from ..pretrained import AUTO, TEXT_VECTORS, WITH_MODEL, read_model
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.embedder_shim import get_shim
from ..thinc_model.registered_tok2vec import ARGUMENTS, build_again

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder

#: The settings of a model that weights bring along; all others stay as they are.
ENCODER = ("encoder", "pieces", "split_sentences")


@dataclass(frozen=True)
class ConfigChange:
    """What the config of a component must say too, since its model is another one.

    spaCy stores the config only when the factory has returned.
    nlp: the pipeline. model: settings of the section `model`.
    """

    nlp: "ref[Language]"
    model: Mapping[str, Any]

    def write(self, pipe: "ContextualEmbedder") -> bool:
        """Write it, once the component is in the pipeline. Returns whether it is."""
        nlp = self.nlp()
        if nlp is None or not any(one is pipe for _, one in nlp.components):
            return False
        config = nlp.get_pipe_config(pipe.name)
        config["model"] = {**config["model"], **self.model}
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle of a component is in no pipeline: None."""
        return type(None), ()


def choose_text_vectors(
    doc_pooling: str | None, pretrained: str | None, *, normalize: bool
) -> tuple[str | None, bool]:
    """doc_pooling and normalize. AUTO stands for those of the weights."""
    if doc_pooling != AUTO:
        return doc_pooling, normalize
    pooling, has_length_1 = TEXT_VECTORS.get(pretrained, (None, False))
    return pooling, normalize or has_length_1


def choose_model(
    model: ContextualModel, pretrained: str | None, default: Mapping[str, Any]
) -> tuple[ContextualModel, dict[str, Any]]:
    """The model that weights are for, in the place of the default one.

    default: the default model, as in a config. Settings that differ from it are kept.
    Returns the settings of its section that have changed besides.
    """
    if pretrained not in WITH_MODEL or model not in ARGUMENTS:
        return model, {}
    given = describe(get_shim(model))
    usual = describe(get_shim(build({"model": default})["model"]))
    if given["encoder"] != usual["encoder"]:
        return model, {}
    names = [*ENCODER, "mix"] if given["mix"] == usual["mix"] else ENCODER
    changes = {name: read_model(pretrained)[name] for name in names}
    return build_again(model, **build(changes)), changes


def build(section: Mapping[str, Any]) -> dict[str, Any]:
    """The objects that a section of a config describes."""
    return registry.resolve(dict(section))
