"""The factory `ctxemb`. Every spaCy pipeline imports this file, so it imports next to nothing."""

from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc

from .default_model import DEFAULT_MODEL, build_default_head

if TYPE_CHECKING:
    from .component import ContextualEmbedder
    from .heads.fill_mask import FillMask
    from .heads.question_answering import QuestionAnswering
    from .heads.text_classification import TextClassifier
    from .heads.token_classification import TokenClassifier

#: As in heads/squad.py: Docs have their questions before a pipeline has the component.
if not Doc.has_extension("ctxemb_questions"):
    Doc.set_extension("ctxemb_questions", default=None)


@Language.factory(
    "ctxemb",
    assigns=[
        "doc.tensor",
        "doc._.ctxemb",
        "doc._.ctxemb_boundaries",
        "doc._.ctxemb_pieces",
        "doc._.ctxemb_pooled",
        "doc._.ctxemb_attention",
        "doc._.ctxemb_states",
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
        "max_memory": None,
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
    max_memory: int | str | None,
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
        "auto" for what the weights that `pretrained` names were made for, as sentence-transformers
        says: "mean" and length 1 for "minilm"; null where it says nothing.
    normalize: whether these have length 1; with doc_pooling.
    keep_pieces: whether to write the pieces of the text to doc._.ctxemb_pieces, for
        token._.ctxemb_pieces.
    keep_attention: whether to write attention weights to doc._.ctxemb_attention: much memory.
    cache: a `spacy-ctxemb.FeatureCache.v1` for what prediction makes of each Doc, so that later
        epochs do without a frozen encoder; null for none.
    max_memory: what prediction may take at once besides weights and Docs, in bytes or as "2 GB"
        or "512 MiB", for each encoder: fewer pieces go through it together than batch_pieces where
        they would take more. Null for no such limit.
    pretrained: the weights of the package that the encoder begins with, unless something else
        brings weights: "auto" for those of the default model, where this is it and the pipeline
        is English; "en_transformer_sm" for these in any language; "minilm" for all-MiniLM-L6-v2,
        which the extra `minilm` installs; OWNER/NAME or OWNER/NAME@REVISION for a model of BERT's
        family on the Hugging Face Hub, or a path with a slash: encoder, pieces and mix of such a
        model take the place of those of the default model. nlp.add_pipe and nlp.initialize read
        it; a config that is loaded downloads nothing. Null for none, so that nlp.initialize()
        draws random ones.
    """
    from .component import ContextualEmbedder
    from .component.follow_pretrained import follow_pretrained

    followed = follow_pretrained(
        model, pretrained, doc_pooling, normalize=normalize, component=name
    )
    pipe = ContextualEmbedder(
        nlp.vocab,
        followed.model,
        name,
        keep=keep,
        boundaries=boundaries,
        doc_pooling=followed.doc_pooling,
        normalize=followed.normalize,
        keep_pieces=keep_pieces,
        keep_attention=keep_attention,
        cache=cache,
        max_memory=max_memory,
        pretrained=pretrained,
    )
    followed.finish(nlp, pipe)
    return pipe


@Language.factory(
    "ctxemb_qa",
    assigns=["span._.ctxemb_answer_score"],
    default_config={
        "encoder": "ctxemb",
        "max_length": 384,
        "overlap": 128,
        "max_answer_length": 15,
    },
    default_score_weights={"qa_f1": 1.0, "qa_exact": 0.0},
)
def build_ctxemb_qa(
    nlp: Language, name: str, encoder: str, max_length: int, overlap: int, max_answer_length: int
) -> "QuestionAnswering":
    """Build the component that answers questions about Docs, and learns from those in
    doc._.ctxemb_questions.

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


@Language.factory(
    "ctxemb_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "span._.ctxemb_score"],
    default_config={
        "model": build_default_head("pieces"),
        "aggregation": "first",
        "scheme": "IOB2",
        "constrained": True,
        "threshold": 0.0,
        "spans_key": None,
        "scorer": {"@scorers": "spacy.ner_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def build_ctxemb_ner(
    nlp: Language,
    name: str,
    model: Any,
    aggregation: str,
    scheme: str,
    constrained: bool,
    threshold: float,
    spans_key: str | None,
    scorer: Any,
) -> "TokenClassifier":
    """Build the component for entities, by classes of pieces.

    model: a `spacy-ctxemb.Head.v1` with reads = "pieces".
    aggregation: as transformers names it: "none" for each piece with its class; "simple" for
        neighbouring pieces of one type; "first", "average" or "max" to give the pieces of a token
        one class before: that of its first piece, of their mean, or of the most certain one.
    scheme: of the classes: "IOB2", "IOB1", "BILOU" (also as BIOES), "IO", or "plain" for labels
        without prefixes.
    constrained: whether tokens have the most probable classes that the scheme allows; with
        "first", "average" and "max".
    threshold: the probability from which on an entity is written. 0.0 to 0.9.
    spans_key: a key of doc.spans for all entities with their scores; null for doc.ents alone.
    scorer: of spaCy's registry.
    """
    from .heads.token_classification import TokenClassifier

    return TokenClassifier(
        nlp.vocab,
        model,
        name,
        aggregation=aggregation,
        scheme=scheme,
        constrained=constrained,
        threshold=threshold,
        spans_key=spans_key,
        scorer=scorer,
    )


@Language.factory(
    "ctxemb_textcat",
    assigns=["doc.cats", "doc._.ctxemb_score", "span._.ctxemb_cats"],
    default_config={
        "model": build_default_head("mean"),
        "kind": "single_label",
        "threshold": 0.5,
        "per_sentence": False,
    },
    default_score_weights={"cats_score": 1.0},
)
def build_ctxemb_textcat(
    nlp: Language, name: str, model: Any, kind: str, threshold: float, per_sentence: bool
) -> "TextClassifier":
    """Build the component for categories of texts.

    model: a `spacy-ctxemb.Head.v1` with reads = "first", "mean" or "piece_mean".
    kind: "single_label" where each text has one of the labels, "multi_label" where it may have any
        of them, "regression" for numbers.
    threshold: the score from which on spaCy's scorer counts a label of "multi_label".
    per_sentence: whether sentences that were encoded by themselves get scores too.
    """
    from .heads.text_classification import TextClassifier

    return TextClassifier(
        nlp.vocab, model, name, kind=kind, threshold=threshold, per_sentence=per_sentence
    )
