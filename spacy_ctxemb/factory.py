"""The factory `ctxemb`. Every spaCy pipeline imports this file, so it imports next to nothing."""

from typing import TYPE_CHECKING, Any

from spacy.language import Language

if TYPE_CHECKING:
    from .pipeline import ContextualEmbedder

DEFAULT_MODEL: dict[str, Any] = {
    "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
    "encoder": {"@architectures": "spacy-ctxemb.BiLM.v1"},
    "pieces": {"@architectures": "spacy-ctxemb.CharacterPieces.v1"},
    # Vectors of unit variance: components on top learn much faster than from a biLM's small ones.
    "mix": {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": True},
}


@Language.factory(
    "ctxemb",
    assigns=["doc.tensor", "doc._.ctxemb"],
    default_config={"model": DEFAULT_MODEL, "keep": "tensor"},
)
def build_ctxemb(nlp: Language, name: str, model: Any, keep: str) -> "ContextualEmbedder":
    """Build the component.

    model: a `spacy-ctxemb.ContextualTok2Vec.v1`.
    keep: "tensor" for doc.tensor and contextual vectors; "layers" for all layers in
        doc._.ctxemb as well; "none" for nothing that outlasts the components that listen.
    """
    from .pipeline import ContextualEmbedder

    return ContextualEmbedder(nlp.vocab, model, name, keep=keep)
