"""Why a pipeline said what it said of a text, as numbers and as a page."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from spacy.language import Language
from spacy.tokens import Doc, Token

from ..embedder.layer_mix import LayerWeights
from ..errors import Errors
from .attention_maps import AttentionMap, list_layer_weights, map_attention
from .attribution import Attribution
from .gradients import integrate
from .nearest_neighbours import Neighbour, check_type, find_neighbours, read_corpus
from .occlusion import copy_tokens, occlude
from .sense_map import LEAST_USES, SenseMap, find_uses, map_senses
from .targets import choose_components, choose_targets, find_kind, list_labels

METHODS = ("occlusion", "gradients")


@dataclass(frozen=True)
class Explanation:
    """What `explain` has found. In a notebook it shows itself.

    doc: the text, after the pipeline. attributions: of each label, what each token adds.
    attention: of each window, see AttentionMap. layers: shares by component.
    word: the token whose neighbours and senses these are.
    """

    doc: Doc
    attributions: list[Attribution] = field(default_factory=list)
    attention: list[AttentionMap] = field(default_factory=list)
    layers: dict[str, LayerWeights] = field(default_factory=dict)
    word: Token | None = None
    neighbours: list[Neighbour] = field(default_factory=list)
    senses: SenseMap | None = None

    def to_html(self) -> str:
        """A page that needs no other file."""
        from .html import render_page

        return render_page(**vars(self))

    def _repr_html_(self) -> str:
        from .html import render_parts

        return render_parts(**{k: v for k, v in vars(self).items() if k != "doc"})


def explain(
    nlp: Language,
    text: str | Doc,
    *,
    component: str | None = None,
    label: str | None = None,
    span: tuple[int, int] | None = None,
    method: str = "occlusion",
    hide: str | None = None,
    attention: bool | None = None,
    word: str | None = None,
    corpus: Iterable[str | Doc] | None = None,
    plane: str = "pca",
) -> Explanation:
    """Explain what a pipeline says of a text.

    text: or a Doc, whose tokens are read anew.
    component: whose labels are explained; None for all that give labels to texts, entities, spans.
    label: None for what was found: the best label of the text, each entity and span.
    span: the first token and the one after the last, for one entity or span, also one that was
        not found; with a label then.
    method: "occlusion": the score minus that of the text without a token, for any component;
        "gradients": integrated gradients, for ctxemb_textcat and ctxemb_ner. It needs
        `pip install "spacy-ctxemb[explain]"`.
    hide: with occlusion, the word that takes a token's place; "" to leave the token out. None
        leaves it out for labels of texts, and puts … there for entities and spans.
    attention: whether to add attention weights; None for texts of up to 128 pieces, where an
        encoder has any.
    word: of the text, whose nearest neighbours in `corpus` are found, and whose uses are put on a
        plane if there are 3 or more. corpus: texts or Docs. plane: "pca" or "umap".
    Raises E730 to E749 for what cannot be explained, each with what there is instead.

        explanation = explain(nlp, "What a dull film!", method="gradients")
        explanation.attributions[0].values  # (n_tokens,), adds up to score - baseline
        Path("page.html").write_text(explanation.to_html(), encoding="utf8")
    """
    if method not in METHODS:
        raise ValueError(Errors.E735.format(what="method", found=method, options=[*METHODS]))
    if (word is None) != (corpus is None):
        name, expected = ("word", "a word") if word is None else ("corpus", "a list of texts")
        raise ValueError(Errors.E749.format(name=name, found="missing", expected=expected))
    check_type(text, "text", str, Doc)
    doc = nlp(text if isinstance(text, str) else copy_tokens(text))
    if all(token.is_space for token in doc):
        raise ValueError(Errors.E733.format(text=doc.text[:80]))
    span = None if span is None else cast(tuple[int, int], tuple(span))  # it may be a list
    is_asked = method == "gradients" or any(x is not None for x in (component, label, span))
    gives_labels = any(find_kind(nlp, name, pipe) for name, pipe in nlp.pipeline)
    attributions: list[Attribution] = []
    if is_asked or gives_labels:
        check_tokens(nlp, text, doc)
        attributions = attribute(nlp, doc, component, label, span, method, hide)
    found = Explanation(
        doc,
        attributions,
        [] if attention is False else map_attention(nlp, doc, is_asked=attention is True),
        list_layer_weights(nlp),
    )
    if word is None or corpus is None:
        return found
    return add_uses(nlp, found, word, corpus, plane)


def check_tokens(nlp: Language, text: str | Doc, doc: Doc) -> None:
    """Raise E745 where components have merged or split tokens."""
    bare = nlp.make_doc(text) if isinstance(text, str) else text
    if [token.text for token in bare] != [token.text for token in doc]:
        values = {"before": len(bare), "after": len(doc), "names": nlp.pipe_names}
        raise ValueError(Errors.E745.format(**values))


def attribute(
    nlp: Language,
    doc: Doc,
    component: str | None,
    label: str | None,
    span: tuple[int, int] | None,
    method: str,
    hide: str | None,
) -> list[Attribution]:
    """Raises E738 where nothing was found at a span, and no label is named, and E739 where a
    component or a label is meant, and nothing was found."""
    found: list[Attribution] = []
    chosen = choose_components(nlp, component, label, of_spans=span is not None)
    for name, kind in chosen.items():
        targets = choose_targets(nlp, name, kind, doc, label, span)
        if targets and method == "gradients":
            found += integrate(nlp, name, doc, targets)
        elif targets:
            of_targets = occlude(nlp, name, kind, doc, targets, hide)
            # What scores 0 was found by another component.
            found += [x for x in of_targets if x.score or span or not x.target.span]
    if not found and span is not None:
        reason = "nothing was found there, and no label is named"
        raise ValueError(Errors.E738.format(span=span, reason=reason, n_tokens=len(doc)))
    if not found and (component or label):
        labels = [label] if label else [one for name in chosen for one in list_labels(nlp, name)]
        raise ValueError(Errors.E739.format(name=", ".join(chosen), labels=labels))
    return found


def add_uses(
    nlp: Language, found: Explanation, word: str, corpus: Iterable[str | Doc], plane: str
) -> Explanation:
    """Add the neighbours of a word, and its senses."""
    check_type(word, "word", str)
    uses = find_uses(found.doc, word)
    if not uses:
        raise ValueError(Errors.E741.format(word=word, text=found.doc.text[:80]))
    docs = list(read_corpus(nlp, corpus))
    neighbours = find_neighbours(nlp, uses[0], docs)
    every = [found.doc, *docs]
    n_uses = sum(len(find_uses(doc, uses[0].text)) for doc in every)
    senses = map_senses(nlp, uses[0].text, every, plane=plane) if n_uses >= LEAST_USES else None
    return Explanation(
        **{**vars(found), "word": uses[0], "neighbours": neighbours, "senses": senses}
    )
