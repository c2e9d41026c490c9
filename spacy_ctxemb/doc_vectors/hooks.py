"""Contextual vectors where users look for them: Token, Span and Doc.

spaCy prefers the vocabulary's static vectors to doc.tensor, and calls two tokens of equal text
equal before it looks at any vector. Hooks change both. They do not survive serialisation;
`attach` puts them back.
"""

import multiprocessing
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, Token

from ..errors import Errors
from .changed_tokens import fit_tokens
from .doc_tensor import check_tensor, lacks_tensor
from .names import LAYERS, POOLED, user_key
from .tokens_when_encoded import is_pooled

Vector = NDArray[np.float32]


def attach(doc: Doc) -> Doc:
    """Make vectors and similarities of a Doc, its spans and tokens contextual.

    The pipeline does this itself; call it on a Doc that was serialised or came from
    `nlp.pipe(n_process=...)`, both of which keep doc.tensor but lose spaCy's hooks.

    doc: with doc.tensor of shape (n_tokens, width).
    Returns the same Doc. Raises ValueError where the Doc has no contextual vectors.
    """
    fit_tokens(doc)
    check_tensor(doc)
    was_attached = doc.user_hooks.get("vector") in HOOKS
    if not was_attached:  # else it may be what spaCy's as_doc has kept of a span
        cast(Any, doc)._vector = None
    pools = is_pooled(doc) or doc.user_hooks.get("vector") is pooled_vector
    shared: dict[str, Any] = {"has_vector": has_vector, "similarity": similarity}
    shared["vector"] = pooled_vector if pools else mean_vector
    own_norm = {"vector_norm": vector_norm}
    token_hooks = {**shared, "vector": token_vector, **own_norm}
    # New dictionaries: spaCy's as_doc shares those of a Doc.
    doc.user_token_hooks = {**doc.user_token_hooks, **token_hooks}
    # spaCy calls a span's "vector" hook for its norm where there is a "vector_norm" hook; without
    # that one it computes the norm of the vector, as it should.
    doc.user_span_hooks = {**doc.user_span_hooks, **shared}
    doc.user_hooks = {**doc.user_hooks, **shared, **own_norm}
    return doc


def detach(doc: Doc) -> None:
    """Take off what `attach` has put on a Doc."""
    for attribute in ("user_hooks", "user_span_hooks", "user_token_hooks"):
        hooks = getattr(doc, attribute)
        kept = {name: hook for name, hook in hooks.items() if hook not in HOOKS}
        setattr(doc, attribute, kept)


def in_pipe_worker() -> bool:
    """Whether this process serves `nlp.pipe(n_process=...)`.

    Docs go back from there as bytes, which cannot hold hooks: spaCy would warn for each.
    """
    target = getattr(multiprocessing.current_process(), "_target", None)
    return getattr(target, "__module__", "") == "spacy.language"


def elmo_outputs(doc: Doc) -> dict[str, Vector]:
    """The outputs of a biLM under the names they have in TF-Hub's `google/elmo`.

    doc: with doc._.ctxemb, from a component `ctxemb` with a BiLM and keep = "layers".
    Returns "word_emb": (n_tokens, D / 2), the context-free vectors; "lstm_outputs1" and so on for
        each LSTM layer: (n_tokens, D); "elmo": (n_tokens, width), their mix, which is doc.tensor;
        "default": (width,), its mean over the tokens.
    """
    fit_tokens(doc)
    layers = doc.user_data.get(user_key(LAYERS))
    if layers is None:
        raise ValueError(Errors.E062.format(n_tokens=len(doc)))
    check_tensor(doc)
    if layers.shape[1] != len(doc):  # made of a span of another Doc
        raise ValueError(Errors.E064.format(before=layers.shape[1], after=len(doc)))
    context_free, *lstm_outputs = layers
    half = context_free.shape[1] // 2
    if not np.array_equal(context_free[:, :half], context_free[:, half:]):
        raise ValueError(Errors.E063)
    return {
        "word_emb": context_free[:, :half],
        **{f"lstm_outputs{i}": output for i, output in enumerate(lstm_outputs, start=1)},
        "elmo": doc.tensor,
        "default": mean_vector(doc),
    }


def token_vector(token: Token) -> Vector:
    """The token's row of doc.tensor. (width,)"""
    return cast(Vector, read_rows(token.doc)[token.i])


def pooled_vector(tokens: Doc | Span) -> Vector:
    """The vector by the component's doc_pooling, of a Doc or of a sentence that was encoded by
    itself; `mean_vector` of other spans. (width,)

    Raises E065 for a Doc that was made of others, which has no such vectors.
    """
    doc = tokens.doc
    if lacks_tensor(doc):
        return mean_vector(tokens)
    fit_tokens(doc)
    check_tensor(doc)
    pooled, is_whole = doc.user_data.get(user_key(POOLED)), len(tokens) == len(doc)
    if pooled is not None and pooled["n_tokens"] == len(doc):
        if isinstance(tokens, Doc):
            return cast(Vector, pooled["document"])
        starts = [*pooled["starts"], len(doc)]
        if (tokens.start, tokens.end) in zip(starts, starts[1:], strict=False):
            return cast(Vector, pooled["sentences"][starts.index(tokens.start)])
    elif is_whole and cast(Any, doc)._vector is not None:  # spaCy's as_doc keeps the span's
        return cast(Vector, cast(Any, doc)._vector)
    elif is_whole or is_sentence(cast(Span, tokens)):
        raise ValueError(Errors.E065)
    return mean_vector(tokens)


def is_sentence(span: Span) -> bool:
    """Whether a span begins and ends where a sentence does."""
    doc = span.doc
    is_begin = span.start == 0 or doc[span.start].is_sent_start
    return bool(is_begin and (span.end == len(doc) or doc[span.end].is_sent_start))


def mean_vector(tokens: Doc | Span) -> Vector:
    """The mean of the tokens that have a vector; zeros where none has. (width,)

    White space has no vector and does not count, as in TF-Hub's `default` output.
    """
    rows = read_rows(tokens.doc)
    if isinstance(tokens, Span):
        rows = rows[tokens.start : tokens.end]
    n_rows = int(rows.any(axis=1).sum())
    return cast(Vector, np.divide(rows.sum(axis=0), max(n_rows, 1)))


def read_rows(doc: Doc) -> Vector:
    """doc.tensor, for the tokens that the Doc has now; zeros where it was taken away, of the
    vocabulary's width, as spaCy gives them. (n_tokens, width)"""
    if lacks_tensor(doc):
        return np.zeros((len(doc), doc.vocab.vectors_length), dtype="f")
    fit_tokens(doc)
    check_tensor(doc)
    return cast(Vector, doc.tensor)


def has_vector(tokens: Doc | Span | Token) -> bool:
    """Whether any value of the vector is not zero."""
    return bool(tokens.vector.any())


def vector_norm(tokens: Doc | Span | Token) -> float:
    """The Euclidean norm of the vector."""
    vector = to_doubles(tokens.vector)
    return float(vector @ vector) ** 0.5


def similarity(tokens: Doc | Span | Token, other: Any) -> float:
    """The cosine of the angle between two vectors; 0 where one of them is zero.

    other: a Doc, Span or Token.
    """
    a, b = to_doubles(tokens.vector), to_doubles(other.vector)
    if not (a.any() and b.any()):
        return 0.0
    if a.shape != b.shape:
        raise ValueError(Errors.E061.format(width=a.shape[-1], other=b.shape[-1]))
    return float(a @ b) / (float(a @ a) * float(b @ b)) ** 0.5


def to_doubles(vector: Any) -> NDArray[np.float64]:
    """A NumPy array, also of a vector on the GPU, whose squares neither overflow nor underflow."""
    return np.asarray(vector.get() if hasattr(vector, "get") else vector, dtype=np.float64)


#: All functions that `attach` puts on a Doc.
HOOKS = (token_vector, pooled_vector, mean_vector, has_vector, vector_norm, similarity)
