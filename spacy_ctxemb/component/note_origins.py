"""Where the weights of components come from, and which version wrote a pipeline, in meta.json."""

import re
import warnings
from collections.abc import Sequence
from typing import Any
from weakref import ref

from spacy.language import Language

from .. import __version__
from ..errors import Errors
from ..remote.find_model import Found
from ..stack.name_encoders import is_of

KEY, VERSION = "ctxemb", "ctxemb_version"


class Notes:
    """What a pipeline has noted of the component that was made for it.

    A copy or a pickle of the component is in no pipeline: None.
    """

    def __init__(self, nlp: Language) -> None:
        self._nlp = ref(nlp)
        nlp.meta.setdefault(VERSION, __version__)

    def check_version(self) -> None:
        """Warn, W019, of a pipeline that a newer version has written; else write this version."""
        nlp = self._nlp()
        if nlp is None:
            return
        written = str(nlp.meta.get(VERSION))
        if list_numbers(written) > list_numbers(__version__):
            warnings.warn(Errors.W019.format(written=written, own=__version__), stacklevel=2)
        else:
            nlp.meta[VERSION] = __version__

    def rename(self, pipe: Any, old: str, new: str) -> None:
        """Let notes follow the name of the component, and those of the members of its Stack."""
        nlp = self._nlp()
        if nlp is None or dict(nlp.components).get(new) is not pipe:
            return
        noted = nlp.meta.get(KEY, {})
        for encoder in [name for name in noted if is_of(name, old)]:
            noted[new + encoder.removeprefix(old)] = noted.pop(encoder)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


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


def list_numbers(version: str) -> list[int]:
    """Those that decide which of two is newer: 0.10.2rc1 to [0, 10, 2], and 0.3 to [0, 3, 0]."""
    return [int(number) for number in [*re.findall(r"\d+", version), 0, 0, 0][:3]]
