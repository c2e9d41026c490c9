"""Labels for raw text, and which texts are left out."""

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import fix_random_seed

from spacy_ctxemb.silver_labels import label_texts, score

from .pipelines import initialised, ner_config

TEXTS = ["Ada met Bob.", "rain fell on stones", "Bob slept and Ada read.", "stones and rain"]


def train(nlp: Language, annotations: list[dict[str, object]], *, n_steps: int = 40) -> Language:
    """Add a task to what reads Docs already, and teach it a few texts by heart."""
    examples = [
        Example.from_dict(nlp.make_doc(text), annotation)
        for text, annotation in zip(TEXTS, annotations, strict=True)
    ]
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.02
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


def train_ner(n_steps: int) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    people = [[(0, 3, "PERSON"), (8, 11, "PERSON")], [], [(0, 3, "PERSON"), (14, 17, "PERSON")], []]
    return train(nlp, [{"entities": spans} for spans in people], n_steps=n_steps)


@pytest.fixture(scope="module")
def ner() -> Language:
    return train_ner(40)


@pytest.fixture(scope="module", params=["textcat", "textcat_multilabel"])
def textcat(request: pytest.FixtureRequest) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(request.param)
    classes = [{"people": float(i % 2 == 0), "weather": float(i % 2)} for i in range(4)]
    return train(nlp, [{"cats": cats} for cats in classes])


def label(nlp: Language, texts: list[str], min_score: float) -> list[Doc | None]:
    return list(label_texts(nlp, texts, min_score=min_score))


def test_entities_of_which_it_is_sure(ner: Language) -> None:
    kept = label(ner, TEXTS, 0.5)
    found = [[ent.text for ent in doc.ents] for doc in kept if doc is not None]
    assert found == [["Ada", "Bob"], [], ["Bob", "Ada"], []]


def test_entities_that_it_doubts() -> None:
    """After a few steps it has an inkling of entities, so texts differ in how sure it is."""
    nlp = train_ner(3)
    scores = score(nlp, nlp.get_pipe("ner"), list(nlp.pipe(TEXTS)))
    assert 0.0 <= min(scores) < max(scores) <= 1.0
    kept = label(nlp, TEXTS, max(scores))
    assert [doc is not None for doc in kept] == [found == max(scores) for found in scores]


def test_all_texts_without_a_score(ner: Language) -> None:
    docs = label(ner, [*TEXTS, "Zed met Otto"], 0.0)
    assert [doc.text for doc in docs if doc] == [*TEXTS, "Zed met Otto"]


def test_whole_classes(textcat: Language) -> None:
    """spaCy's text categorisers refuse to learn from others (E851)."""
    docs = [doc for doc in label(textcat, TEXTS, 0.6) if doc is not None]
    assert [doc.cats for doc in docs] == [
        {"people": float(i % 2 == 0), "weather": float(i % 2)} for i in range(4)
    ]
    Example(docs[0].copy(), docs[0])
    textcat.update([Example(textcat.make_doc(doc.text), doc) for doc in docs])


def test_classes_that_it_doubts(textcat: Language) -> None:
    scores = [max(doc.cats.values()) for doc in textcat.pipe(TEXTS)]
    kept = label(textcat, TEXTS, min(scores) + 1e-6)
    assert None in kept


def test_what_only_guesses(ner: Language) -> None:
    """A pipeline that has learned nothing is sure of nothing."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("textcat")
    for name in ("a", "b", "c"):
        pipe.add_label(name)
    nlp.initialize()
    assert label(nlp, TEXTS, 0.5) == [None] * 4


LISTENERS = {
    "spacy.Tok2VecListener.v1": "tensor",
    "spacy-ctxemb.LayerMixListener.v1": "tensor",
    "spacy-ctxemb.Listener.v1": "none",
}


@pytest.mark.parametrize("name", LISTENERS)
def test_entities_of_contextual_vectors(name: str) -> None:
    """Which may be gone when the pipeline has read them."""
    nlp = initialised(keep=LISTENERS[name])
    tok2vec = {"@architectures": name, "width": 16, "upstream": "ctxemb"}
    pipe = nlp.add_pipe("ner", config=ner_config(tok2vec))
    pipe.add_label("PERSON")
    with nlp.select_pipes(enable="ner"):
        nlp.initialize()
    assert len(label(nlp, TEXTS, 0.01)) == 4


def test_entities_of_a_ruler_have_no_score(ner: Language) -> None:
    texts = [text.replace("stones", "pebbles") for text in TEXTS]
    before = [doc is None for doc in label(ner, texts, 0.5)]
    ruler = ner.add_pipe("entity_ruler", last=True)
    ruler.add_patterns([{"label": "THING", "pattern": "pebbles"}])
    docs = label(ner, texts, 0.5)
    ner.remove_pipe("entity_ruler")
    assert [doc is None for doc in docs] == before
    assert any(ent.label_ == "THING" for doc in docs if doc for ent in doc.ents)


def test_tokens_that_are_merged_later(ner: Language) -> None:
    before = label(ner, TEXTS, 0.5)
    ner.add_pipe("merge_entities")
    after = label(ner, TEXTS, 0.5)
    ner.remove_pipe("merge_entities")
    assert [doc is None for doc in after] == [doc is None for doc in before]


def test_a_component_that_tells_nothing() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match="E530.*sentencizer.*min_score"):
        label(nlp, TEXTS, 0.9)
    assert all(label(nlp, TEXTS, 0.0))
