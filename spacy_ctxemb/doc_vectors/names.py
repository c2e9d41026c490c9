"""The names of what a Doc carries besides doc.tensor."""

from typing import Any

#: doc.tensor among what a Doc carries.
TENSOR = "tensor"

#: All layers of a Doc: (L, n_tokens, D), the context-free layer first; or None.
LAYERS = "ctxemb"

#: All layers of the boundaries of a Doc's S sentences, (L, S, 2, D): of their begin and their end;
#: or None.
BOUNDARIES = "ctxemb_boundaries"

#: With doc_pooling, vectors of the Doc and its S sentences, or None: a dictionary of "document",
#: (width,), "sentences", (S, width), "starts", their first tokens, and "n_tokens", those of the
#: Doc.
POOLED = "ctxemb_pooled"

#: Attention of each window of a Doc, or None: dictionaries of "weights", (n_blocks, n_heads, T, T),
#: from a piece, to a piece, and "start": the first of the Doc's pieces that the window reads. Row 0
#: and row T - 1 are the window's boundaries; row t is piece start + t - 1.
ATTENTION = "ctxemb_attention"

#: The P pieces of a Doc: a dictionary of "pieces", their text; "offsets", (P, 2), the first
#: character of each and the one after its last; "starts" and "lengths", (n_tokens,), the first
#: piece of each token, and how many it has; or None. Of a Token: the list of its pieces, or None.
PIECES = "ctxemb_pieces"

#: The states of a Doc's p pieces and N windows in the encoder's last layer, as long as components
#: are still to read them, or None: a dictionary of "rows", (p + 2 N, D), of the pieces, then the
#: first and the last step of each window; "offsets", "starts" and "lengths" as in PIECES; "owned",
#: (N,), how many pieces each window owns; "sequences", (N,), the sentence it lies in; "sentences",
#: the character at which each sentence that was encoded by itself begins. In memory alone.
STATES = "ctxemb_states"

#: Where doc.user_data says how a Doc was encoded: a dictionary of "starts", the character at which
#: each token began, and "is_pooled", whether by doc_pooling. It is kept as spaCy keeps extensions
#: of a token at character 0: so Doc.from_docs moves it to where the Doc begins.
TOKENS = "ctxemb_tokens"
TOKENS_KEY: Any = ("._.", TOKENS, 0, None)


def user_key(name: str) -> Any:
    """Where spaCy keeps doc._.NAME in doc.user_data."""
    return "._.", name, None, None


def readers_key(name: str) -> str:
    """Where doc.user_data counts the listeners that are still to read something."""
    return f"ctxemb_readers_of_{name}"
