"""Where the weights of components come from, in meta.json."""

from collections.abc import Sequence

from spacy.language import Language

from ..remote.find_model import Found

KEY = "ctxemb"


def note_origins(nlp: Language, encoder: str, origins: Sequence[Found]) -> None:
    """Write into meta.json where the weights of an encoder come from, if not from a path.

    encoder: the name of a component, or COMPONENT.MEMBER. What was noted before is removed.
    """
    noted = nlp.meta.setdefault(KEY, {})
    noted.pop(encoder, None)
    sources = [{"source": f.source, "revision": f.revision} for f in origins if f.revision]
    if sources:
        noted[encoder] = sources
    if not noted:
        del nlp.meta[KEY]
