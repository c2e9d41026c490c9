"""What the package writes to a Doc besides doc.tensor: spaCy's extensions, doc._.NAME."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from spacy.tokens import Doc, Token

from ..errors import Errors
from .changed_tokens import fit_tokens, remember_tokens
from .hooks import attach, detach, in_pipe_worker
from .names import (
    ATTENTION,
    BOUNDARIES,
    LAYERS,
    PIECES,
    POOLED,
    STATES,
    TENSOR,
    readers_key,
    user_key,
)
from .tokens_when_encoded import drop_tokens, store_tokens
from .user_data import get_value, put_value


def token_pieces(token: Token) -> list[str] | None:
    """The text of a token's pieces. Raises E064 where the pieces are those of other tokens."""
    fit_tokens(token.doc)
    of_doc = token.doc.user_data.get(user_key(PIECES))
    if of_doc is None:
        return None
    n_tokens = len(of_doc["starts"])
    if n_tokens != len(token.doc):  # made of a span of another Doc
        raise ValueError(Errors.E064.format(before=n_tokens, after=len(token.doc)))
    start, length = int(of_doc["starts"][token.i]), int(of_doc["lengths"][token.i])
    return list(of_doc["pieces"][start : start + length])


def read(doc: Doc, name: str) -> Any:
    """What a Doc carries under a name, for the tokens it has now; None without."""
    if get_value(doc, name) is None:
        return None
    fit_tokens(doc)
    return get_value(doc, name)


def put(doc: Doc, value: Any, name: str) -> None:
    """What doc._ does on an assignment."""
    put_value(doc, name, value)


#: The extension for each field of what an encoder makes of a Doc.
FIELDS = {
    "layers": LAYERS,
    "boundaries": BOUNDARIES,
    "pooled": POOLED,
    "pieces": PIECES,
    "attention": ATTENTION,
    "states": STATES,
}

for extension in FIELDS.values():
    if not Doc.has_extension(extension):
        read_one, put_one = partial(read, name=extension), partial(put, name=extension)
        Doc.set_extension(extension, getter=read_one, setter=put_one)
if not Token.has_extension(PIECES):
    Token.set_extension(PIECES, getter=token_pieces)


def write(
    doc: Doc, found: Mapping[str, Any], tensor: Any | None, *, keeps: bool, is_pooled: bool
) -> None:
    """Write what an encoder has made of a Doc, in the place of what is there.

    found: by the names of FIELDS; None is left out.
    tensor: None to leave doc.tensor as it is. keeps: whether vectors are to be contextual.
    is_pooled: by doc_pooling.
    """
    if tensor is not None:
        for name in FIELDS.values():
            doc.user_data.pop(user_key(name), None)
        drop_tokens(doc)
        doc.user_data.pop(readers_key(TENSOR), None)
        doc.tensor = tensor
        detach(doc)
    for field, name in FIELDS.items():
        if found[field] is not None:
            put_value(doc, name, found[field])
            doc.user_data.pop(readers_key(name), None)
    remember_tokens(doc, encoded=tensor is not None)
    if keeps:
        store_tokens(doc, is_pooled=is_pooled)
        if not in_pipe_worker():
            attach(doc)
