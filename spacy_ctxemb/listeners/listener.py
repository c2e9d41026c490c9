"""What spaCy's listeners lack: errors in place of zeros, and safe training state.

spaCy's own `Tok2VecListener` reads doc.tensor and returns zeros where there is none, so a
disabled encoder goes unnoticed; and it keeps a batch's outputs after they were used. `guard`
gives a listener of any pipeline component the functions below in place of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from .. import doc_vectors
from ..doc_vectors import check_tensor, count_tokens, fit_tokens, has_tensor
from ..errors import Errors
from .guard import Guard

Backprop = Callable[[list[Any]], Any]


#: The name of a listener's guard among its attributes, which Thinc copies with a model. It is not
#: stored: who reads from whom is found out anew when a pipeline is loaded.
GUARD = "ctxemb_guard"

#: Docs of a batch whose lengths an error shows.
N_SHOWN = 8


def guard(listener: Model[Any, Any]) -> Guard:
    """Make a listener check what it gets, if it does not do so already; a copy does."""
    if GUARD not in listener.attrs:
        upstream = cast(Tok2VecListener, listener).upstream_name
        listener.attrs[GUARD] = Guard(upstream, upstream)
        listener._func = listen
        listener.init = remember_sample
    return cast(Guard, listener.attrs[GUARD])


def check_factor(factor: float) -> float:
    """Raise E027 for a factor below 0 or not finite."""
    if not 0.0 <= factor < math.inf:
        raise ValueError(Errors.E027.format(factor=factor))
    return factor


def listen(
    listener: Model[Any, Any], docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Backprop]:
    """The vectors of each Doc: while training what the upstream sent, else doc.tensor."""
    return fetch(listener, docs, is_train, doc_vectors.TENSOR, read_vectors)


def fetch(
    listener: Model[Any, Any],
    docs: list[Doc],
    is_train: bool,
    name: str,
    read: Callable[[Any, Doc, bool], Any],
) -> tuple[list[Any], Backprop]:
    """What the upstream sent, while training, else what the Docs carry.

    name: of what they carry, TENSOR, LAYERS or STATES. read: from a Doc, or fail.
    Raises E034 for a listener that has no upstream, E037 for one that would learn without it, and
    E035 for other Docs than the upstream has sent something of.
    """
    known = guard(listener)
    known.check(is_train=is_train)
    # A copy, for which Thinc makes a plain model, gets nothing sent.
    if is_train and isinstance(listener, Tok2VecListener) and listener._batch_id is not None:
        return receive_batch(listener, docs, name)
    if is_train:
        known.sample = []
    outputs = [read(listener, doc, is_train) for doc in docs]
    if known.last_readers and not is_train:
        for doc in docs:
            release(doc, name, known.last_readers)
    return outputs, no_backprop


def receive_batch(
    listener: Tok2VecListener, docs: list[Doc], name: str
) -> tuple[list[Any], Backprop]:
    """What the upstream has made of a batch, and a callback that can be used once."""
    known = guard(listener)
    outputs = cast(list[Any], listener._outputs)
    backprop_upstream = cast(Backprop, listener._backprop)
    lengths, expected = [len(doc) for doc in docs], [count_tokens(name, x) for x in outputs]
    if listener._batch_id != listener.get_batch_id(docs) or lengths != expected:
        names = {"component": known.component, "upstream": known.upstream}
        some = {"found": lengths[:N_SHOWN], "expected": expected[:N_SHOWN]}
        raise ValueError(Errors.E035.format(**names, **some))

    def backprop(d_outputs: list[Any]) -> Any:
        # Used up: a later batch of frozen vectors must not find it.
        forget_batch(listener)
        if known.grad_factor == 0.0:
            return []
        if known.grad_factor != 1.0:
            d_outputs = [known.grad_factor * gradient for gradient in d_outputs]
        return backprop_upstream(d_outputs)

    return outputs, backprop


def forget_batch(listener: Tok2VecListener) -> None:
    """Let a listener read Docs again."""
    listener._batch_id = listener._outputs = listener._backprop = None


def release(doc: Doc, name: str, n_readers: int) -> None:
    """Count one reader of what a Doc carries, which is dropped after the last."""
    key = doc_vectors.readers_key(name)
    remaining = doc.user_data.pop(key, n_readers) - 1
    if remaining:
        doc.user_data[key] = remaining
    else:
        doc_vectors.drop(doc, name)


def read_vectors(listener: Model[Any, Any], doc: Doc, is_train: bool) -> Floats2d:
    """doc.tensor, or an error where it is missing or somebody else's. (n_tokens, width)"""
    known = guard(listener)
    width = listener.get_dim("nO")
    fit_tokens(doc)
    if not has_tensor(doc):
        if needs_outputs(known, doc):
            raise missing(Errors.E025 if is_train else Errors.E021, known, doc)
        return listener.ops.alloc2f(len(doc), width)
    if doc.tensor.shape[-1] != width:
        raise ValueError(
            Errors.E023.format(found=doc.tensor.shape[-1], component=known.component, width=width)
        )
    check_tensor(doc)
    return listener.ops.asarray2f(cast(Floats2d, doc.tensor))


def needs_outputs(known: Guard, doc: Doc) -> bool:
    """Whether a Doc has tokens that are not only there to infer shapes from."""
    return bool(len(doc)) and not any(doc is sample for sample in known.sample)


def missing(message: str, known: Guard, doc: Doc) -> ValueError:
    """The error for a Doc that does not carry what its reader needs."""
    if known.is_unlinked:
        return ValueError(known.explain())
    # A listener that was never linked does not know its component.
    upstream = "ctxemb" if known.upstream == "*" else known.upstream
    names = {"component": known.component or "a component", "upstream": upstream}
    return ValueError(message.format(**names, n_tokens=len(doc)))


def remember_sample(
    listener: Model[Any, Any], X: Sequence[Doc] | None = None, Y: object = None
) -> None:
    """While a model infers its shapes it sees sample Docs without vectors."""
    known = guard(listener)
    known.check()
    known.sample = list(X or ())


def no_backprop(d_outputs: list[Any]) -> list[Doc]:
    """Vectors read from a Doc pass no gradient on."""
    return []


def list_listeners(component: Any) -> list[Tok2VecListener]:
    """Those in the model of a pipeline's component."""
    model = getattr(component, "model", None)
    if not isinstance(model, Model):
        return []
    return [node for node in model.walk() if isinstance(node, Tok2VecListener)]
