"""What to say where an encoder has no weights."""

import srsly

from ..errors import Errors
from ..pretrained import DEFAULT, get_language, is_published
from ..stack.name_encoders import name_encoders
from ..thinc_model.build_model import ContextualModel


def check_weights(
    model: ContextualModel, component: str, pretrained: str | None, *, lang: str
) -> None:
    """Raise E008 where an encoder of a component has no weights, with the two settings that
    decide whether it gets those of the package; E379 for those of a published model."""
    for shim in name_encoders(model, component).values():
        if not (shim.is_materialised or shim.awaits_pretrained):
            given = {"pretrained": srsly.json_dumps(pretrained), "lang": lang, "name": component}
            if is_published(pretrained):
                raise RuntimeError(
                    Errors.E379.format(
                        reason="its weights were never loaded",
                        advice="Call nlp.initialize(), which reads them, or load a saved pipeline.",
                        **given,
                    )
                )
            reason = Errors.E013.format(**given, language=get_language(DEFAULT), default=DEFAULT)
            raise RuntimeError(f"{Errors.E008} {reason}")
