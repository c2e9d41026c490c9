"""A listener that reads the states of pieces and windows in the encoder's last layer.

A published head has learned on these: on each piece, or on the first step of a window.
"""

from typing import Any

import numpy as np
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model

from ..doc_vectors import STATES, fit_tokens, get_value
from ..encoders import Encoder
from ..errors import Errors
from .listener import Backprop, check_factor, fetch, guard, missing, needs_outputs, remember_sample


class PieceStatesListener(Tok2VecListener):
    """Gets of each Doc what doc_vectors/names.py describes as STATES.

    width: of the encoder; None until the listener is linked to one.
    """

    name = "piece-states-listener"

    def __init__(self, upstream_name: str, width: int | None, *, grad_factor: float = 1.0) -> None:
        super().__init__(upstream_name, width)  # type: ignore[arg-type] # it may be known later
        guard(self).grad_factor = check_factor(grad_factor)
        self._func = listen_to_states
        self.init = remember_sample

    def fit_encoder(self, upstream: str, component: str, encoder: Encoder) -> None:
        """Take the width of the encoder of an upstream component. Raises E601 for another one."""
        found, width = self.maybe_get_dim("nO"), encoder.width
        if found is None:
            self.set_dim("nO", width)
        elif found != width:
            names = {"component": component, "name": upstream}
            raise ValueError(Errors.E601.format(found=found, width=width, **names))


def listen_to_states(
    listener: Model[Any, Any], docs: list[Doc], is_train: bool
) -> tuple[list[dict[str, Any]], Backprop]:
    """The states of each Doc. The callback takes the gradients of their rows."""
    known = guard(listener)
    known.check()
    if listener.maybe_get_dim("nO") is None:
        raise RuntimeError(Errors.E600.format(upstream=known.upstream))
    return fetch(listener, docs, is_train, STATES, read_states)


def read_states(listener: Model[Any, Any], doc: Doc, is_train: bool) -> dict[str, Any]:
    """doc._.ctxemb_states, or an error where it is missing or of another width."""
    known, width = guard(listener), listener.get_dim("nO")
    fit_tokens(doc)
    states = get_value(doc, STATES)
    if states is None:
        if needs_outputs(known, doc):
            raise missing(Errors.E025 if is_train else Errors.E602, known, doc)
        return make_blank(listener, doc, width)
    found = states["rows"].shape[1]
    if found != width:
        names = {"component": known.component, "name": known.upstream}
        raise ValueError(Errors.E601.format(found=width, width=found, **names))
    return {**states, "rows": listener.ops.asarray(states["rows"])}


def make_blank(listener: Model[Any, Any], doc: Doc, width: int) -> dict[str, Any]:
    """States of a Doc without pieces, in one window, from which a model can infer its shapes."""
    nothing = np.zeros(len(doc), dtype=np.int64)
    return {
        "rows": listener.ops.alloc2f(2, width),
        "offsets": np.zeros((0, 2), dtype=np.int64),
        **{"starts": nothing, "lengths": nothing},
        **{"owned": np.zeros(1, dtype=np.int64), "sequences": np.zeros(1, dtype=np.int64)},
        "sentences": [0],
    }
