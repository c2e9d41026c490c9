"""What spaCy's listeners lack: errors in place of zeros, and safe training state.

spaCy's own `Tok2VecListener` reads doc.tensor and returns zeros where there is none, so a
disabled encoder goes unnoticed; and it keeps a batch's outputs after they were used. `guard`
gives a listener of any pipeline component the functions below in place of its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model, get_array_module
from thinc.types import Floats2d, FloatsXd

from ..errors import Errors

Backprop = Callable[[list[Any]], Any]


class Listener(Tok2VecListener):
    """spaCy's listener, with a weight.

    grad_factor: of the gradient that goes upstream; 0 for none. What the upstream learns is the sum
        over its listeners, so that this weighs them against each other. One factor for all of them
        would be lost on Adam.
    """

    name = "ctxemb-listener"

    def __init__(self, upstream_name: str, width: int, *, grad_factor: float) -> None:
        super().__init__(upstream_name, width)
        set_grad_factor(self, grad_factor)


def set_grad_factor(listener: Tok2VecListener, factor: float) -> None:
    """Give a listener a weight."""
    if not 0.0 <= factor < math.inf:
        raise ValueError(Errors.E139.format(factor=factor))
    vars(listener)["grad_factor"] = factor


@dataclass
class Guard:
    """What a guarded listener knows.

    upstream, component: the names of the pipe that writes the vectors and of the one that reads.
    last_readers: where this component is the last to read, and is to drop what it has read: how
        many listeners of it read from each Doc first. 0 elsewhere.
    sample: Docs for which zeros will do, since a model infers its shapes from them.
    """

    upstream: str
    component: str
    last_readers: int = 0
    sample: Sequence[Doc] = field(default_factory=list)


def guard(listener: Tok2VecListener, guard: Guard) -> None:
    """Make one of spaCy's listeners check what it gets."""
    listener._func = listen
    listener.init = remember_sample
    set_guard(listener, guard)


def set_guard(listener: Tok2VecListener, guard: Guard) -> None:
    """Tell a listener whom it reads from, and for whom."""
    vars(listener)["guard"] = guard


def get_guard(listener: Tok2VecListener) -> Guard:
    """The guard of a listener that has one."""
    return cast(Guard, vars(listener)["guard"])


class Carrier(NamedTuple):
    """How a Doc carries what listeners read at prediction.

    read: from a Doc, or fail. drop: take it off a Doc. counter: name under which doc.user_data
    counts readers, where there are several to wait for.
    """

    read: Callable[[Any, Doc, bool], FloatsXd]
    drop: Callable[[Doc], None]
    counter: str


def listen(
    listener: Tok2VecListener, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Backprop]:
    """The vectors of each Doc: while training what the upstream sent, else doc.tensor."""
    return fetch(listener, docs, is_train, TENSOR)


def fetch(
    listener: Tok2VecListener, docs: list[Doc], is_train: bool, carrier: Carrier
) -> tuple[list[Any], Backprop]:
    """What the upstream sent, while training, else what the Docs carry."""
    # What another batch has left behind is not meant: these Docs carry vectors, or it is an error.
    batch_id = listener._batch_id
    if is_train and batch_id is not None and batch_id == listener.get_batch_id(docs):
        outputs = cast(list[Any], listener._outputs)
        backprop_upstream = cast(Backprop, listener._backprop)

        def backprop(d_outputs: list[Any]) -> Any:
            # Used up: a later batch of frozen vectors must not find it.
            listener._batch_id = listener._outputs = listener._backprop = None
            factor = vars(listener).get("grad_factor", 1.0)
            if factor == 0.0:
                return []
            if factor != 1.0:
                d_outputs = [factor * gradient for gradient in d_outputs]
            return backprop_upstream(d_outputs)

        return outputs, backprop
    if is_train:
        get_guard(listener).sample = []
    outputs = [carrier.read(listener, doc, is_train) for doc in docs]
    last_readers = get_guard(listener).last_readers
    if last_readers and not is_train:
        for doc in docs:
            release(doc, carrier, last_readers)
    return outputs, no_backprop


def release(doc: Doc, carrier: Carrier, n_readers: int) -> None:
    """Count one reader of a Doc, and drop what it carries after the last."""
    remaining = doc.user_data.pop(carrier.counter, n_readers) - 1
    if remaining:
        doc.user_data[carrier.counter] = remaining
    else:
        carrier.drop(doc)


def read_vectors(listener: Tok2VecListener, doc: Doc, is_train: bool) -> Floats2d:
    """doc.tensor, or an error where it is missing or somebody else's."""
    known = get_guard(listener)
    width = listener.get_dim("nO")
    if doc.tensor.size == 0:
        if len(doc) and not any(doc is sample for sample in known.sample):
            message = Errors.E045 if is_train else Errors.E022
            raise ValueError(
                message.format(
                    component=known.component, upstream=known.upstream, n_tokens=len(doc)
                )
            )
        return listener.ops.alloc2f(len(doc), width)
    if doc.tensor.shape[-1] != width:
        raise ValueError(
            Errors.E026.format(found=doc.tensor.shape[-1], component=known.component, width=width)
        )
    return listener.ops.asarray2f(cast(Floats2d, doc.tensor))


def drop_vectors(doc: Doc) -> None:
    """Leave a Doc without doc.tensor."""
    doc.tensor = get_array_module(doc.tensor).zeros((0,), dtype="float32")


TENSOR = Carrier(read_vectors, drop_vectors, "ctxemb_tensor_readers")


def remember_sample(
    listener: Tok2VecListener, X: Sequence[Doc] | None = None, Y: object = None
) -> None:
    """While a model infers its shapes it sees sample Docs without vectors."""
    get_guard(listener).sample = list(X or ())


def no_backprop(d_outputs: list[Any]) -> list[Doc]:
    """Vectors read from a Doc pass no gradient on."""
    return []


def list_listeners(component: Any) -> list[Tok2VecListener]:
    """Those in the model of a pipeline's component."""
    model = getattr(component, "model", None)
    if not isinstance(model, Model):
        return []
    return [node for node in model.walk() if isinstance(node, Tok2VecListener)]
