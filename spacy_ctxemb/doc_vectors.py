"""Contextual vectors where users look for them: Token, Span and Doc.

spaCy prefers the vocabulary's static vectors to doc.tensor, and calls two tokens of equal text
equal before it looks at any vector. Hooks change both. They do not survive serialisation;
`attach` puts them back.
"""

import multiprocessing
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, Token

from .errors import Errors

Vector = NDArray[np.float32]

#: All layers of a Doc: (L, n_tokens, D), the context-free layer first; or None.
LAYERS = "ctxemb"
#: Where spaCy keeps them in doc.user_data.
LAYERS_KEY: Any = ("._.", LAYERS, None, None)

#: All layers of the boundaries of a Doc's S sentences, (L, S, 2, D): of their begin and their end;
#: or None.
BOUNDARIES = "ctxemb_boundaries"

#: With doc_pooling, vectors of the Doc and its S sentences, or None: a dictionary of "document",
#: (width,), "sentences", (S, width), "starts", their first tokens, and "n_tokens", those of the Doc
#: as it was.
POOLED = "ctxemb_pooled"

#: Attention of each window of a Doc, or None: dictionaries of "weights", (n_blocks, n_heads, T, T),
#: from a piece, to a piece, and "start": the first of the Doc's pieces that the window reads. Row 0
#: and row T - 1 are the window's boundaries; row t is piece start + t - 1.
ATTENTION = "ctxemb_attention"

#: The P pieces of a Doc: a dictionary of "pieces", their text; "offsets", (P, 2), the first
#: character of each and the one after its last; "starts" and "lengths", (n_tokens,), the first
#: piece of each token, and how many it has; or None. Of a Token: the list of its pieces, or None.
PIECES = "ctxemb_pieces"


def token_pieces(token: Token) -> list[str] | None:
    """The text of a token's pieces."""
    of_doc = token.doc._.get(PIECES)
    if of_doc is None:
        return None
    starts, lengths = of_doc["starts"], of_doc["lengths"]
    if len(starts) != len(token.doc):
        raise ValueError(Errors.E064.format(found=len(starts), n_tokens=len(token.doc)))
    start = int(starts[token.i])
    return list(of_doc["pieces"][start : start + int(lengths[token.i])])


for extension in (LAYERS, BOUNDARIES, PIECES, POOLED, ATTENTION):
    if not Doc.has_extension(extension):
        Doc.set_extension(extension, default=None)
if not Token.has_extension(PIECES):
    Token.set_extension(PIECES, getter=token_pieces)


#: The extension for each field of what an encoder makes of a Doc.
FIELDS = {
    "layers": LAYERS,
    "boundaries": BOUNDARIES,
    "pooled": POOLED,
    "pieces": PIECES,
    "attention": ATTENTION,
}


def write(doc: Doc, found: Mapping[str, Any]) -> None:
    """Write what there is, by the names of FIELDS; None is left out."""
    for field, extension in FIELDS.items():
        if found[field] is not None:
            doc._.set(extension, found[field])


def clear(doc: Doc) -> None:
    """Take away what this package has written besides doc.tensor."""
    for name in FIELDS.values():
        key: Any = ("._.", name, None, None)
        doc.user_data.pop(key, None)


def attach(doc: Doc) -> Doc:
    """Make vectors and similarities of a Doc, its spans and tokens contextual.

    The pipeline does this itself; call it on a Doc that was serialised or came from
    `nlp.pipe(n_process=...)`, both of which keep doc.tensor but lose spaCy's hooks.

    doc: with doc.tensor of shape (n_tokens, width).
    Returns the same Doc. Raises ValueError where the Doc has no contextual vectors.
    """
    check_tensor(doc)
    doc.user_token_hooks.update(
        vector=token_vector,
        has_vector=has_vector,
        vector_norm=vector_norm,
        similarity=similarity,
    )
    # spaCy calls a span's "vector" hook for its norm where there is a "vector_norm" hook; without
    # that one it computes the norm of the vector, as it should.
    doc.user_span_hooks.update(vector=pooled_vector, has_vector=has_vector, similarity=similarity)
    doc.user_hooks.update(
        vector=pooled_vector,
        has_vector=has_vector,
        vector_norm=vector_norm,
        similarity=similarity,
    )
    return doc


def detach(doc: Doc) -> None:
    """Take off what `attach` has put on a Doc."""
    for hooks in (doc.user_hooks, doc.user_span_hooks, doc.user_token_hooks):
        for name in [name for name, hook in hooks.items() if hook in HOOKS]:
            del hooks[name]


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
    layers = doc._.get(LAYERS)
    if layers is None:
        raise ValueError(Errors.E062.format(n_tokens=len(doc)))
    check_tensor(doc)
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


def check_tensor(doc: Doc) -> None:
    """Refuse a Doc that has lost its vectors."""
    if doc.tensor.ndim != 2 or len(doc.tensor) != len(doc):
        raise ValueError(Errors.E060.format(n_tokens=len(doc), shape=doc.tensor.shape))


def token_vector(token: Token) -> Vector:
    """The token's row of doc.tensor. (width,)"""
    return cast(Vector, token.doc.tensor[token.i])


def pooled_vector(tokens: Doc | Span) -> Vector:
    """The vector by the component's doc_pooling, of a Doc or of a sentence that was encoded by
    itself; `mean_vector` where there is none. (width,)"""
    pooled = tokens.doc._.get(POOLED)
    if pooled is None:
        return mean_vector(tokens)
    if isinstance(tokens, Doc):
        return cast(Vector, pooled["document"])
    if pooled["n_tokens"] != len(tokens.doc):  # it was retokenised, and sentences begin elsewhere
        return mean_vector(tokens)
    starts = [*pooled["starts"], len(tokens.doc)]
    if (tokens.start, tokens.end) in zip(starts, starts[1:], strict=False):
        return cast(Vector, pooled["sentences"][starts.index(tokens.start)])
    return mean_vector(tokens)


def mean_vector(tokens: Doc | Span) -> Vector:
    """The mean of the tokens that have a vector; zeros where none has. (width,)

    White space has no vector and does not count, as in TF-Hub's `default` output.
    """
    rows = tokens.doc.tensor[: len(tokens.doc)]  # retokenising may leave more
    if isinstance(tokens, Span):
        rows = rows[tokens.start : tokens.end]
    n_rows = int(rows.any(axis=1).sum())
    return cast(Vector, np.divide(rows.sum(axis=0), max(n_rows, 1)))


def has_vector(tokens: Doc | Span | Token) -> bool:
    """Whether any value of the vector is not zero."""
    return bool(tokens.vector.any())


def vector_norm(tokens: Doc | Span | Token) -> float:
    """The Euclidean norm of the vector."""
    vector = tokens.vector
    return float(vector @ vector) ** 0.5


def similarity(tokens: Doc | Span | Token, other: Any) -> float:
    """The cosine of the angle between two vectors; 0 where one of them is zero.

    other: a Doc, Span or Token.
    """
    a, b = to_cpu(tokens.vector), to_cpu(other.vector)
    if a.shape != b.shape:
        raise ValueError(Errors.E061.format(width=a.shape[-1], other=b.shape[-1]))
    norms = (float(a @ a) * float(b @ b)) ** 0.5
    return float(a @ b) / norms if norms else 0.0


def to_cpu(vector: Any) -> Vector:
    """A NumPy array, also of a vector on the GPU."""
    return cast(Vector, vector.get() if hasattr(vector, "get") else vector)


#: All functions that `attach` puts on a Doc.
HOOKS = (token_vector, pooled_vector, has_vector, vector_norm, similarity)
