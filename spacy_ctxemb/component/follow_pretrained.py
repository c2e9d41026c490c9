"""What `pretrained` decides where a config leaves it open: the model, and vectors of texts."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from spacy.language import Language
from spacy.util import registry

from ..default_model import DEFAULT_MODEL
from ..errors import Errors
from ..pretrained import AUTO, DEFAULT, TEXT_VECTORS, fits, get_model, is_published
from ..thinc_model.build_model import ARGUMENTS, ContextualModel, build_again
from .note_origins import Notes

if TYPE_CHECKING:
    from .pipe import ContextualEmbedder
    from .published import Published


@dataclass(frozen=True)
class ConfigChange:
    """What the config of a component must say too, since its model is another one.

    spaCy stores the config only when the factory has returned.
    nlp: the pipeline. settings: of the component; of its section `model` those that change.
    """

    nlp: "ref[Language]"
    settings: Mapping[str, Any]

    def write(self, pipe: "ContextualEmbedder") -> bool:
        """Write it, once the component is in the pipeline. Returns whether it is."""
        nlp = self.nlp()
        if nlp is None or not any(one is pipe for _, one in nlp.components):
            return False
        config = nlp.get_pipe_config(pipe.name)
        model = {**config["model"], **self.settings.get("model", {})}
        config.update({**self.settings, "model": model})
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle of a component is in no pipeline: None."""
        return type(None), ()


class Followed(NamedTuple):
    """The model of a component, and how it makes vectors of texts.

    changes: what the config is to say too. published: what gives it its weights at once.
    """

    model: ContextualModel
    doc_pooling: str | None
    normalize: bool
    changes: dict[str, Any]
    published: "Published | None" = None

    def finish(self, nlp: Language, pipe: "ContextualEmbedder") -> None:
        """Give the component its weights where they were read, and let the config follow."""
        pipe.notes = Notes(nlp)
        if self.published is not None:
            self.published.give_to(nlp, pipe)
        if self.changes:
            pipe.config_change = ConfigChange(ref(nlp), self.changes)


def follow_pretrained(
    model: ContextualModel,
    pretrained: str | None,
    doc_pooling: str | None,
    *,
    normalize: bool,
    component: str,
) -> Followed:
    """What weights decide where a config leaves it open.

    The model that they are for takes the place of the default one, of which settings that differ
    are kept. doc_pooling: AUTO stands for that of the weights.
    A published model is read where the user adds a component, never where a config is loaded.
    Raises E379 for a config that has not the model of a published one, and what reading it raises.
    """
    published: Published | None = None
    section: Mapping[str, Any] | None = None
    pooling: tuple[str | None, bool] = (None, False)
    if pretrained is not None and is_published(pretrained):
        if is_added_by_user():
            from .published import read_published

            published = read_published(pretrained)
            section, pooling = published.describe(), published.pooling
        else:
            check_has_model(model, pretrained, component)
    elif pretrained in TEXT_VECTORS:
        section, pooling = get_model(pretrained), TEXT_VECTORS[pretrained]
    changes: dict[str, Any] = {}
    if section is not None:
        model, changes = replace_default(model, section)
    if doc_pooling == AUTO:
        doc_pooling, normalize = pooling[0], normalize or pooling[1]
        if published is not None:
            changes |= {"doc_pooling": doc_pooling, "normalize": normalize}
    return Followed(model, doc_pooling, normalize, changes, published)


def replace_default(
    model: ContextualModel, section: Mapping[str, Any]
) -> tuple[ContextualModel, dict[str, Any]]:
    """A model of another section of a config in the place of the default one.

    Returns the settings of the component that have changed, too.
    """
    if not is_default(model):
        return model, {}
    given = ARGUMENTS[model]
    usual = build({"mix": DEFAULT_MODEL["mix"]})["mix"]
    has_own = {
        "mix": (given["mix"].func, given["mix"].keywords) != (usual.func, usual.keywords),
        "window": given["window"] is not None,
    }
    names = [name for name in ("encoder", "pieces", "mix", "window") if not has_own.get(name)]
    changes = {name: section[name] for name in names if name in section}
    return build_again(model, **build(changes)), {"model": changes}


def is_default(model: ContextualModel) -> bool:
    return model in ARGUMENTS and fits(DEFAULT, ARGUMENTS[model]["encoder"])


def check_has_model(model: ContextualModel, pretrained: str, component: str) -> None:
    """Raise E379 for the default model where that of a published one is needed."""
    if is_default(model):
        advice = (
            "Let `python -m spacy ctxemb init-config --encoder` write a config; or call "
            "nlp.add_pipe with this setting, whose nlp.config has the whole model."
        )
        reason = "the config has not the encoder of that model"
        given = {"name": component, "pretrained": json.dumps(pretrained)}
        raise ValueError(Errors.E379.format(reason=reason, advice=advice, **given))


def is_added_by_user() -> bool:
    """Whether a component is built by nlp.add_pipe itself, not of a config that spaCy loads."""
    loads = Language.__dict__["from_config"].__func__.__code__
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is loads:
            return False
    return True


def build(section: Mapping[str, Any]) -> dict[str, Any]:
    """The objects that a section of a config describes."""
    return registry.resolve(dict(section))
