"""`ctxemb_ner`: training, entities, labels, serialisation."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Adam, Config, fix_random_seed

from spacy_ctxemb.heads.head_shim import get_head
from spacy_ctxemb.heads.token_aggregation import Entity
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    MODELS,
    NER_DATA,
    TEXTCAT_DATA,
    TRANSFORMER,
    blank,
    examples,
    learn_by_heart,
    listener,
    ner_config,
    parameters,
    textcat_config,
)

TEXTS = [text for text, _ in NER_DATA]


@pytest.fixture(params=MODELS)
def model(request: Any) -> Any:
    return MODELS[request.param]


def pipeline(model: Any = TRANSFORMER, **settings: Any) -> Language:
    """An encoder, and a new head for entities."""
    nlp = blank(model)
    nlp.add_pipe("ctxemb_ner", config=settings)
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


#: What was trained already, by its settings.
TRAINED: dict[str, tuple[Config, bytes]] = {}


def trained(model: Any = TRANSFORMER, **settings: Any) -> Language:
    """The same, with the texts learned by heart. Each call gives another copy."""
    key = srsly.json_dumps([model, settings])
    if key not in TRAINED:
        nlp = pipeline(model, **settings)
        learn_by_heart(nlp, NER_DATA, "ents_f", rate=0.02)
        TRAINED[key] = nlp.config.copy(), nlp.to_bytes()
    config, data = TRAINED[key]
    return load_model_from_config(config).from_bytes(data)


def check_falling(nlp: Language, data: Any = NER_DATA, **settings: Any) -> None:
    """The loss falls in a few updates."""
    losses, optimizer = [], Adam(0.01)
    for _ in range(6):
        found: dict[str, float] = {}
        nlp.update(examples(nlp, data), sgd=optimizer, losses=found, **settings)
        losses.append(found["ctxemb_ner"])
    assert losses[-1] < losses[0]


def find(nlp: Language, texts: list[str] = TEXTS) -> list[Any]:
    return [[(e.text, e.label_, e._.ctxemb_score) for e in doc.ents] for doc in nlp.pipe(texts)]


def head_of(nlp: Language, name: str = "ctxemb_ner") -> Any:
    return get_head(nlp.get_pipe(name).model)


# Training


@pytest.mark.parametrize("scheme", ["IOB2", "BILOU", "plain"])
def test_texts_are_learned_by_heart(scheme: str) -> None:
    nlp = trained(scheme=scheme)
    assert nlp.get_pipe("ctxemb_ner").labels == ("LOC", "PERSON")
    scores = [score for doc in find(nlp) for _, _, score in doc]
    assert len(scores) == 6 and all(0.3 < score <= 1 for score in scores)


def test_the_encoder_learns_with_it(model: Any) -> None:
    nlp = pipeline(model)
    before, head = parameters(nlp), copy.deepcopy(head_of(nlp).get_tensors())
    losses: dict[str, float] = {}
    nlp.update(examples(nlp, NER_DATA), losses=losses)
    for _ in range(2):  # spaCy lets an encoder take its step when the next batch comes
        nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.01))
    unchanged = {n for n, p in parameters(nlp).items() if torch.equal(p, before[n])}
    assert unchanged == {"mix.weights", "mix.gamma"}
    assert not any(torch.equal(v, head[n]) for n, v in head_of(nlp).get_tensors().items())
    assert losses["ctxemb_ner"] == pytest.approx(np.log(5), abs=0.2) and losses["ctxemb"] > 0


def test_a_frozen_encoder_stays(model: Any) -> None:
    nlp = pipeline(model)
    before = parameters(nlp)
    check_falling(nlp, exclude=["ctxemb"], annotates=["ctxemb"])
    assert all(torch.equal(p, before[n]) for n, p in parameters(nlp).items())


def test_one_pass_for_several_components(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb_ner")
    nlp.add_pipe("ctxemb_textcat")
    nlp.add_pipe("ner", config=ner_config(listener()))
    data = [(t, {**a, **b}) for (t, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, data))
    encoder = get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder
    calls: list[int] = []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda *a: (calls.append(1), forward(*a))[1])
    docs = list(nlp.pipe(TEXTS))
    assert len(calls) == 1
    assert all(doc.cats and doc._.ctxemb_states is None for doc in docs)
    nlp.update(examples(nlp, data), sgd=Adam(0.01))
    assert len(calls) == 2


def test_gradient_equals_finite_differences() -> None:
    nlp = pipeline(TRANSFORMER)
    ner: Any = nlp.get_pipe("ctxemb_ner")
    ctxemb: Any = nlp.get_pipe("ctxemb")
    modules = [get_shim(ctxemb.model).embedder.double(), head_of(nlp).module.double()]
    egs = examples(nlp, NER_DATA)

    def compute() -> float:
        ctxemb.update(egs)
        scored, backprop = ner.model.begin_update([eg.predicted for eg in egs])
        loss, gradient = ner.get_loss(egs, scored)
        backprop(gradient)
        return float(loss)

    compute()
    ctxemb.flush_gradient()
    step, generator = 1e-5, np.random.default_rng(0)
    parameters = [p for module in modules for p in module.parameters()]
    gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.from_numpy(generator.normal(size=parameter.shape))
        values = []
        for sign in (1, -2):
            parameter.data += sign * step * direction
            values.append(compute())
        parameter.data += step * direction
        found = 0.0 if gradient is None else float((gradient * direction).sum())
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-6)


def test_dropout_acts_in_training_alone() -> None:
    nlp = pipeline()
    ner: Any = nlp.get_pipe("ctxemb_ner")
    egs = examples(nlp, NER_DATA)
    losses = []
    for drop in (0.0, 0.0, 0.9):
        found: dict[str, float] = {}
        docs = [nlp.get_pipe("ctxemb")(eg.predicted) for eg in egs]
        ner.update(
            [Example(d, eg.reference) for d, eg in zip(docs, egs, strict=True)],
            drop=drop,
            losses=found,
        )
        losses.append(found["ctxemb_ner"])
    assert losses[0] == losses[1] != losses[2]
    assert find(nlp) == find(nlp)


def test_what_is_not_annotated_does_not_count() -> None:
    """No entities at all, "-", and tokens that are cut another way."""
    nlp = pipeline()
    ner: Any = nlp.get_pipe("ctxemb_ner")
    blank_doc = nlp.make_doc("Ada lives")
    unknown = Example(blank_doc, Doc(nlp.vocab, words=["Ada", "lives"]))
    crossing = Doc(nlp.vocab, words=["Adal", "ives"], spaces=[False, False], ents=["B-LOC", "O"])
    for eg in (unknown, Example(nlp.make_doc("Ada lives"), crossing)):
        assert eg.get_aligned_ner()[0] is None
    doc = nlp.get_pipe("ctxemb")(unknown.predicted)
    scored, _ = ner.model.begin_update([doc])
    loss, (gradient,) = ner.get_loss([unknown], scored)
    assert loss == 0 and not gradient.any()


def test_empty_texts_and_batches() -> None:
    nlp = trained()
    data = [("", {"entities": []}), ("  ", {"entities": []}), *NER_DATA]
    nlp.update(examples(nlp, data), sgd=Adam(0.001))
    nlp.update(examples(nlp, data[:1]), sgd=Adam(0.001))
    nlp.get_pipe("ctxemb_ner").update([])
    assert find(nlp, ["", " \n "]) == [[], []]
    assert list(nlp.get_pipe("ctxemb_ner").pipe([])) == []


# Entities


def test_constrained_entities_are_legal() -> None:
    nlp = pipeline(constrained=True)
    ner: Any = nlp.get_pipe("ctxemb_ner")
    with torch.no_grad():  # the head prefers I- where no entity may begin
        head_of(nlp).module.output.bias[:] = torch.tensor([0.0, -9.0, 1.0, -9.0, -9.0])
    assert all(not doc for doc in find(nlp))
    ner.constrained = False
    assert [len(doc) for doc in find(nlp)] == [1, 1, 1, 1]


def test_threshold() -> None:
    nlp = trained()
    nlp.get_pipe("ctxemb_ner").threshold = 1.1
    assert find(nlp) == [[], [], [], []]


def test_white_space_within_an_entity() -> None:
    nlp = trained()
    doc = nlp("Ada  Lovelace lives in Oslo.")
    assert [token.text for token in doc[:3]] == ["Ada", " ", "Lovelace"]
    (span,) = [e for e in doc.ents if e.label_ == "PERSON"]
    assert span.text in ("Ada  Lovelace", "Ada", "Lovelace")


def test_entities_that_are_there_stay() -> None:
    nlp = trained()
    ruler: Any = nlp.add_pipe("entity_ruler", before="ctxemb_ner")
    ruler.add_patterns([{"label": "WEATHER", "pattern": "colder than Lima"}])
    doc = nlp("Oslo is colder than Lima.")
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("Oslo", "LOC"),
        ("colder than Lima", "WEATHER"),
    ]
    assert doc[1].ent_iob_ == "O"


def test_parts_of_tokens_become_tokens() -> None:
    """Of two entities in one token, the more probable one."""
    nlp = pipeline(spans_key="all")
    doc = nlp.make_doc("Microsoft grew")
    found = [Entity(0, 5, "ORG", 0.5), Entity(5, 9, "NAME", 0.75), Entity(10, 14, "ACT", 0.25)]
    nlp.get_pipe("ctxemb_ner").set_annotations([doc], [found])
    assert [(e.text, e.label_) for e in doc.ents] == [("Microsoft", "NAME"), ("grew", "ACT")]
    group = doc.spans["all"]
    assert [(s.text, s.label_) for s in group] == [
        *[("Microsoft", "ORG"), ("Microsoft", "NAME"), ("grew", "ACT")]
    ]
    assert group.attrs["scores"].tolist() == [0.5, 0.75, 0.25]


def test_scores_are_those_of_the_entities_chosen() -> None:
    """Others of the same tokens have theirs in doc.spans."""
    nlp = pipeline(spans_key="all")
    ner: Any = nlp.get_pipe("ctxemb_ner")
    doc = nlp.make_doc("Microsoft grew")
    found = [Entity(5, 9, "NAME", 0.75), Entity(0, 5, "ORG", 0.5), Entity(0, 14, "ACT", 0.25)]
    ner.set_annotations([doc], [found])
    assert [(e.label_, e._.ctxemb_score) for e in doc.ents] == [("NAME", 0.75)]
    assert doc[0:2]._.ctxemb_score is None
    assert doc.spans["all"].attrs["scores"].tolist() == [0.75, 0.5, 0.25]


def test_blocked_tokens_are_in_no_entity() -> None:
    nlp = pipeline()
    doc = nlp.make_doc("Ada Lovelace met Grace")
    doc.set_ents([], blocked=[doc[1:2], doc[3:4]], default="missing")
    found = [Entity(0, 12, "PERSON", 0.9), Entity(13, 16, "ACT", 0.8), Entity(17, 22, "X", 0.9)]
    nlp.get_pipe("ctxemb_ner").set_annotations([doc], [found])  # type: ignore[attr-defined]
    assert [e.label_ for e in doc.ents] == ["ACT"]
    assert [token.ent_iob_ for token in doc] == ["O", "B", "B", "B"]
    assert [token.ent_type_ for token in doc] == ["", "", "ACT", ""]


def test_entities_over_the_edges_of_windows() -> None:
    """Windows of three pieces end within the names."""
    nlp = pipeline({**TRANSFORMER, "window": 3, "stride": 2})
    check_falling(nlp, NER_DATA)
    assert nlp.get_pipe("ctxemb").counts["windows"] > nlp.get_pipe("ctxemb").counts["documents"]


def test_a_long_text_equals_its_parts() -> None:
    nlp = trained()
    text = " ".join(TEXTS * 30)
    doc = nlp(text)
    assert len(doc.ents) > 150 and all(isinstance(e, Span) for e in doc.ents)


@pytest.mark.filterwarnings("ignore:.*W109")
def test_scores_are_kept_in_bytes() -> None:
    nlp = trained(spans_key="sc")
    doc = nlp(TEXTS[0])
    twin = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert [e._.ctxemb_score for e in twin.ents] == [e._.ctxemb_score for e in doc.ents]
    assert len(list(nlp.pipe(TEXTS, n_process=2))[0].ents) == len(doc.ents)


# Labels


def test_a_new_label_is_learned_beside_the_others() -> None:
    nlp = trained()
    ner: Any = nlp.get_pipe("ctxemb_ner")
    before = head_of(nlp).get_tensors()["output.weight"].clone()
    assert ner.add_label("ANIMAL") == 1 and ner.add_label("ANIMAL") == 0
    after = head_of(nlp).get_tensors()["output.weight"]
    assert torch.equal(after[: len(before)], before) and len(after) == len(before) + 2
    assert ner.labels == ("LOC", "PERSON", "ANIMAL")
    data = [*NER_DATA, ("An otter sleeps.", {"entities": [(3, 8, "ANIMAL")]})]
    check_falling(nlp, data)


def test_a_new_label_with_an_optimizer_of_before() -> None:
    """Its moments and averages are those of a smaller head."""
    nlp = pipeline()
    optimizer = nlp.resume_training(sgd=Adam(0.01, use_averages=True))
    nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    nlp.get_pipe("ctxemb_ner").add_label("ANIMAL")  # type: ignore[attr-defined]
    for _ in range(5):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    weight = head_of(nlp).module.output.weight
    before = weight.detach().clone()
    with nlp.use_params(optimizer.averages):
        assert weight.shape == before.shape and not torch.equal(weight, before)
        assert len(list(nlp.pipe(TEXTS))) == len(TEXTS)
    assert torch.equal(weight, before)


def test_labels_that_are_given() -> None:
    nlp = blank(TRANSFORMER)
    ner: Any = nlp.add_pipe("ctxemb_ner")
    ner.initialize(lambda: examples(nlp, NER_DATA), labels=["LOC", "ORG", "PERSON"])
    assert ner.label_data == ["LOC", "ORG", "PERSON"]
    assert ner.classes == ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PERSON", "I-PERSON")


def test_labels_that_no_example_may_have() -> None:
    nlp = pipeline()
    with pytest.raises(ValueError, match="E611.*the label 'ANIMAL'"):
        nlp.update(examples(nlp, [("An otter.", {"entities": [(3, 8, "ANIMAL")]})]))
    with pytest.raises(ValueError, match="E606.*'ctxemb_ner' is 7"):
        nlp.get_pipe("ctxemb_ner").add_label(7)  # type: ignore[arg-type]


def test_no_labels() -> None:
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb_ner")
    with pytest.raises(ValueError, match="E607.*'ctxemb_ner' has the labels"):
        nlp.initialize(lambda: examples(nlp, [("Nothing.", {"entities": []})]))


# Settings


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"aggregation": "last"}, "E612.*'last'.*'first'"),
        ({"scheme": "IOB3"}, "E610.*'IOB3'.*'IOB2'"),
        ({"model": {"reads": "first"}}, "E613.*'ctxemb_ner' reads 'first'"),
        ({"model": {"reads": "all"}}, "E604.*'all'.*'pieces'"),
        ({"model": {"activation": "x"}}, "x"),
        ({"model": {"tok2vec": listener()}}, "E603.*tok2vec-listener"),
        ({"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener()}}, "E605.*softmax"),
    ],
    ids=str,
)
def test_settings_are_checked(settings: Any, message: str) -> None:
    nlp = blank(TRANSFORMER)
    with pytest.raises(ValueError, match=message):
        nlp.add_pipe("ctxemb_ner", config=settings)


def test_without_weights() -> None:
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb_ner")
    with pytest.raises(RuntimeError, match="E608.*'ctxemb_ner' has no weights"):
        nlp.get_pipe("ctxemb_ner")(nlp.make_doc("two words"))


def test_a_head_with_layers_is_learned() -> None:
    model = {"activation": "tanh", "norm_epsilon": 1e-5, "dropout": 0.0}
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("ctxemb_ner", config={"model": model})
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    check_falling(nlp, NER_DATA)


# Storing, copying, moving


def test_disk_and_bytes(tmp_path: Path, model: Any) -> None:
    nlp = pipeline(model, aggregation="average", spans_key="sc")
    nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.01))
    nlp.to_disk(tmp_path)
    expected = find(nlp)
    assert find(spacy.load(tmp_path)) == expected
    twin = spacy.blank("en").from_config(nlp.config)
    assert find(twin.from_bytes(nlp.to_bytes())) == expected
    assert find(pickle.loads(pickle.dumps(nlp))) == expected
    assert find(copy.deepcopy(nlp)) == expected


def test_renamed(tmp_path: Path) -> None:
    nlp = trained()
    expected = find(nlp)
    nlp.rename_pipe("ctxemb_ner", "names")
    assert find(nlp) == expected
    nlp.rename_pipe("ctxemb", "encoder")
    nlp.to_disk(tmp_path)
    assert find(spacy.load(tmp_path)) == expected


def test_sourced() -> None:
    source = trained()
    nlp = spacy.blank("en")
    for name in ("ctxemb", "ctxemb_ner"):
        nlp.add_pipe(name, source=source)
    assert find(nlp) == find(source)
    nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.001))


def test_listeners_can_be_replaced(tmp_path: Path, model: Any) -> None:
    nlp = pipeline(model)
    expected = find(nlp)
    nlp.replace_listeners("ctxemb", "ctxemb_ner", ["model.tok2vec"])
    nlp.remove_pipe("ctxemb")
    assert find(nlp) == expected
    nlp.to_disk(tmp_path)
    twin = spacy.load(tmp_path)
    assert find(twin) == expected
    losses: dict[str, float] = {}
    learned = parameters_of_own(twin)
    twin.update(examples(twin, NER_DATA), sgd=Adam(0.01), losses=losses)
    assert losses["ctxemb_ner"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(learned, parameters_of_own(twin), strict=True))


def parameters_of_own(nlp: Language) -> list[torch.Tensor]:
    shim = get_shim(nlp.get_pipe("ctxemb_ner").model.layers[0])
    return [p.detach().clone() for p in shim.embedder.parameters()]


def test_an_encoder_of_its_own() -> None:
    nlp = spacy.blank("en")
    own = {"@architectures": "spacy-ctxemb.ContextualTok2Vec.v1", **TRANSFORMER}
    nlp.add_pipe("ctxemb_ner", config={"model": {"tok2vec": own}})
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    check_falling(nlp, NER_DATA)


def test_averages_and_copies_of_weights() -> None:
    nlp = pipeline()
    optimizer = Adam(0.05, use_averages=True)
    for _ in range(5):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    weight = head_of(nlp).module.output.weight
    before = weight.detach().clone()
    with nlp.use_params(optimizer.averages):
        assert not torch.equal(head_of(nlp).module.output.weight, before)
    assert torch.equal(head_of(nlp).module.output.weight, before)


def test_files_that_are_damaged(tmp_path: Path) -> None:
    nlp = trained()
    nlp.to_disk(tmp_path)
    path = tmp_path / "ctxemb_ner" / "model"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="E163"):
        spacy.load(tmp_path)
    path.write_bytes(whole)
    cfg = tmp_path / "ctxemb_ner" / "cfg"
    cfg.write_text('{"classes": ["O", "B-LOC"]}')
    with pytest.raises(ValueError, match="E609.*5 classes for 'ctxemb_ner', .*'B-LOC'"):
        spacy.load(tmp_path)


def test_spacys_ner_beside_it() -> None:
    """Both may read one encoder."""
    nlp = blank(TRANSFORMER)
    nlp.add_pipe("textcat", config=textcat_config(listener()))
    nlp.add_pipe("ctxemb_ner")
    data = [(t, {**a, **b}) for (t, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, data))
    check_falling(nlp, data)


@pytest.mark.filterwarnings("ignore:.*W109")
@pytest.mark.parametrize("keep", ["tensor", "layers", "none"])
def test_states_do_not_outlast_the_last_reader(keep: str) -> None:
    """Where it is disabled they do, but they are not stored."""
    nlp = pipeline()
    nlp.get_pipe("ctxemb").keep = keep
    assert nlp(TEXTS[0])._.ctxemb_states is None
    with nlp.select_pipes(disable=["ctxemb_ner"]):
        doc = nlp(TEXTS[0])
    stored = doc.to_bytes()
    assert doc._.ctxemb_states["sentences"] == [0]
    nlp.get_pipe("ctxemb_ner")(doc)
    assert doc._.ctxemb_states is None
    assert len(stored) < len(doc.to_bytes()) + 100
    twin = Doc(nlp.vocab).from_bytes(stored)
    assert twin._.ctxemb_states is None
    with pytest.raises(ValueError, match="E602.*'ctxemb_ner' reads the states of 'ctxemb'"):
        nlp.get_pipe("ctxemb_ner")(twin)


def test_the_head_is_named_where_its_encoder_is_excluded(tmp_path: Path) -> None:
    pipeline().to_disk(tmp_path)
    nlp = spacy.load(tmp_path, exclude=["ctxemb"])
    with pytest.raises(ValueError, match="E602.*'ctxemb_ner' reads the states of 'ctxemb'"):
        nlp("two words")
    with pytest.raises(ValueError, match="E025.*'ctxemb_ner' is trained on the vectors of 'ctxemb"):
        nlp.update(examples(nlp, NER_DATA))
