"""What `pretrained` decides where a config leaves it open: the model, and vectors of texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from spacy.language import Language
from spacy.util import registry

from ..default_model import DEFAULT_MODEL
from ..pretrained import AUTO, DEFAULT, MINILM, TEXT_VECTORS, fits, get_model
from ..thinc_model.build_model import ARGUMENTS, ContextualModel, build_again

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder


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
    model: ContextualModel, pretrained: str | None
) -> tuple[ContextualModel, dict[str, Any]]:
    """The model that weights are for, in the place of the default one.

    Settings that differ from those of the default model are kept.
    Returns the settings of its section that have changed besides.
    """
    if pretrained != MINILM or model not in ARGUMENTS:
        return model, {}
    given = ARGUMENTS[model]
    if not fits(DEFAULT, given["encoder"]):
        return model, {}
    usual = build({"mix": DEFAULT_MODEL["mix"]})["mix"]
    has_own_mix = (given["mix"].func, given["mix"].keywords) != (usual.func, usual.keywords)
    names = ("encoder", "pieces") if has_own_mix else ("encoder", "pieces", "mix")
    changes = {name: get_model(MINILM)[name] for name in names}
    return build_again(model, **build(changes)), changes


def build(section: Mapping[str, Any]) -> dict[str, Any]:
    """The objects that a section of a config describes."""
    return registry.resolve(dict(section))
