"""Labels that a trained pipeline gives to raw text, and how sure it is of them.

With them a smaller pipeline learns from a larger one, by text that nobody has labelled. Source:
Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; spaCy takes whole labels only,
so a text that the pipeline doubts is left out instead.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from spacy.language import Language
from spacy.pipeline import EntityRecognizer, SpanCategorizer, TextCategorizer
from spacy.pipeline.textcat_multilabel import MultiLabel_TextCategorizer
from spacy.tokens import Doc, Span
from spacy.util import minibatch

from .errors import Errors

#: Components that tell how sure they are of a label.
SCORED = (EntityRecognizer, TextCategorizer, SpanCategorizer)

#: Parses that an entity recogniser weighs against one another, and the share of the best one's
#: score under which it drops one. As `spacy.pipeline.ner.beam_ner` has them.
BEAM_WIDTH, BEAM_DENSITY = 32, 0.001

#: Texts of which scores are computed at a time.
BATCH_SIZE = 64


def label_texts(
    nlp: Language, texts: Iterable[str], *, min_score: float = 0.0
) -> Iterator[Doc | None]:
    """Label each text; None for one of whose labels the pipeline is not sure.

    min_score: the least probability, from 0 to 1, of the least certain decision in a text: of the
        class that is chosen; of each class, that it applies or that it does not; of each entity
        found, and of there being no further one; of each span.

    Raises E530 if min_score is above 0 and no component tells how sure it is.

        docs = [doc for doc in label_texts(nlp, texts, min_score=0.9) if doc]
    """
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, SCORED)]
    if min_score > 0.0 and not pipes:
        raise ValueError(Errors.E530.format(names=nlp.pipe_names))
    for docs in minibatch(nlp.pipe(texts), BATCH_SIZE):
        scores = [score(nlp, pipe, docs) for pipe in pipes] if min_score > 0.0 else []
        for i, doc in enumerate(docs):
            if any(found[i] < min_score for found in scores):
                yield None
            else:
                choose_classes(nlp, doc)
                yield doc


def score(nlp: Language, pipe: object, docs: list[Doc]) -> list[float]:
    """The probability of a component's least certain decision in each Doc."""
    if isinstance(pipe, EntityRecognizer):
        return score_entities(nlp, pipe, docs)
    if isinstance(pipe, MultiLabel_TextCategorizer):  # each class applies or does not
        chances = ([doc.cats[label] for label in pipe.labels] for doc in docs)
        return [min((max(x, 1.0 - x) for x in found), default=1.0) for found in chances]
    if isinstance(pipe, TextCategorizer):
        return [max((doc.cats[label] for label in pipe.labels), default=1.0) for doc in docs]
    spans = (doc.spans.get(cast(SpanCategorizer, pipe).key) for doc in docs)
    return [min(found.attrs["scores"], default=1.0) if found else 1.0 for found in spans]


def score_entities(nlp: Language, ner: EntityRecognizer, docs: list[Doc]) -> list[float]:
    """The least certain of all entities that a component has found or might have found, by a beam
    of parses.

    The texts are read anew up to this component: what it has read may be gone, and components
    behind it may merge tokens. Entities of other components have no score.
    """
    bare = read_up_to(nlp, ner, [nlp.make_doc(doc.text) for doc in docs])
    found = []
    for doc, read, scores in zip(docs, bare, weigh_entities(ner, bare), strict=True):
        likely = {locate(read[start:end], label): x for (start, end, label), x in scores.items()}
        chosen = {locate(ent, ent.label_) for ent in doc.ents if ent.label_ in ner.labels}
        sure = [likely.get(entity, 0.0) for entity in chosen]
        sure += [1.0 - score for entity, score in likely.items() if entity not in chosen]
        found.append(min(sure, default=1.0))
    return found


def read_up_to(nlp: Language, pipe: object, docs: Iterable[Doc]) -> list[Doc]:
    """Docs as a component finds them: after all that comes before it."""
    docs = list(docs)
    for _, other in nlp.pipeline:
        if other is pipe:
            break
        docs = list(other.pipe(docs)) if hasattr(other, "pipe") else [other(doc) for doc in docs]
    return docs


def weigh_entities(
    ner: EntityRecognizer, docs: Iterable[Doc]
) -> list[dict[tuple[int, int, str], float]]:
    """The probabilities of entities in each Doc, by first token, the one after the last, and label.

    docs: as `read_up_to` leaves them.
    """
    docs = list(docs)
    for doc in docs:
        doc.set_ents([], default="missing")  # the beam keeps those that are there
    beams = ner.beam_parse(docs, beam_width=BEAM_WIDTH, beam_density=BEAM_DENSITY)
    return list(ner.scored_ents(beams))


def locate(span: Span, label: str) -> tuple[int, int, str]:
    return span.start_char, span.end_char, label


def choose_classes(nlp: Language, doc: Doc) -> None:
    """Turn probabilities into whole labels, which is what spaCy learns from."""
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, MultiLabel_TextCategorizer):
            threshold = pipe.cfg["threshold"]
            doc.cats.update({n: float(doc.cats[n] >= threshold) for n in pipe.labels})
        elif isinstance(pipe, TextCategorizer):
            best = max(pipe.labels, key=doc.cats.__getitem__, default=None)
            doc.cats.update({n: float(n == best) for n in pipe.labels})
