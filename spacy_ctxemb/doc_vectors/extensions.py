"""What the package writes to a Doc besides doc.tensor: spaCy's extensions, doc._.NAME."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from spacy.tokens import Doc, Token

from ..errors import Errors
from .names import ATTENTION, BOUNDARIES, LAYERS, PIECES, POOLED
from .tokens import drop_tokens, fit_tokens


def token_pieces(token: Token) -> list[str] | None:
    """The text of a token's pieces. Raises E064 where the pieces are those of other tokens."""
    fit_tokens(token.doc)
    of_doc = token.doc._.get(PIECES)
    if of_doc is None:
        return None
    n_tokens = len(of_doc["starts"])
    if n_tokens != len(token.doc):  # made of a span of another Doc
        raise ValueError(Errors.E064.format(before=n_tokens, after=len(token.doc)))
    start, length = int(of_doc["starts"][token.i]), int(of_doc["lengths"][token.i])
    return list(of_doc["pieces"][start : start + length])


def read(doc: Doc, name: str) -> Any:
    """What a Doc carries under a name, for the tokens it has now; None without."""
    key: Any = ("._.", name, None, None)
    if doc.user_data.get(key) is None:
        return None
    fit_tokens(doc)
    return doc.user_data[key]


def put(doc: Doc, value: Any, name: str) -> None:
    """What doc._ does on an assignment."""
    key: Any = ("._.", name, None, None)
    doc.user_data[key] = value


#: The extension for each field of what an encoder makes of a Doc.
FIELDS = {
    "layers": LAYERS,
    "boundaries": BOUNDARIES,
    "pooled": POOLED,
    "pieces": PIECES,
    "attention": ATTENTION,
}

for extension in FIELDS.values():
    if not Doc.has_extension(extension):
        read_one, put_one = partial(read, name=extension), partial(put, name=extension)
        Doc.set_extension(extension, getter=read_one, setter=put_one)
if not Token.has_extension(PIECES):
    Token.set_extension(PIECES, getter=token_pieces)


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
    drop_tokens(doc)
