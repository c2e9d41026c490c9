"""Training on questions with answers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed

from spacy_ctxemb.heads.encode_windows import encode_windows
from spacy_ctxemb.heads.question_answering import QuestionAnswering

from ..bert_models import FAMILIES
from ..cli.command import run_well
from ..pipelines import TRANSFORMER
from .published import build_pipeline

TEXT = "Ada lived in Oslo. Grace worked in Lima for years, and the river was cold."
ANSWERS = {
    "Where did Ada live?": "Oslo",
    "Where did Grace work?": "Lima",
    "What was cold?": "the river",
    "Who was late?": "",
}


def ask_of(doc: Doc, answers: dict[str, str] = ANSWERS) -> Doc:
    doc._.ctxemb_questions = [
        {
            "id": str(i),
            "question": question,
            "answers": [{"text": text, "answer_start": doc.text.index(text)}] if text else [],
        }
        for i, (question, text) in enumerate(answers.items())
    ]
    return doc


def make_example(nlp: Language, answers: dict[str, str] = ANSWERS) -> Example:
    return Example(nlp.make_doc(TEXT), ask_of(nlp.make_doc(TEXT), answers))


def build(folder: Path = FAMILIES / "bert", **settings: Any) -> tuple[Language, QuestionAnswering]:
    nlp = build_pipeline(folder)
    pipe = nlp.add_pipe("ctxemb_qa", config=settings)
    assert isinstance(pipe, QuestionAnswering) and isinstance(pipe, TrainablePipe)
    fix_random_seed(0)
    pipe.initialize(lambda: [make_example(nlp)])
    return nlp, pipe


def train(nlp: Language, n_steps: int, *, drop: float = 0.0, **settings: Any) -> list[float]:
    optimizer, examples = Adam(0.005), [make_example(nlp)]
    losses = [nlp.update(examples, sgd=optimizer, drop=drop, **settings) for _ in range(n_steps)]
    return [one["ctxemb_qa"] for one in losses]


def test_answers_are_learned_by_heart(tmp_path: Path) -> None:
    nlp, _ = build()
    losses = train(nlp, 60)
    assert losses[-1] < 0.3 < 3.0 < losses[0]
    scores = nlp.evaluate([make_example(nlp)])
    assert scores["qa_exact"] == scores["qa_f1"] == 1.0
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.evaluate([make_example(loaded)])["qa_f1"] == 1.0
    assert train(loaded, 1)[0] < 0.3  # goes on where it was


CONFIG = """
[paths]
train = null
dev = null

[nlp]
lang = "en"
pipeline = ["ctxemb","qa"]

[components]

[components.ctxemb]
factory = "ctxemb"
pretrained = null

[components.qa]
factory = "ctxemb_qa"
max_length = 48
overlap = 8

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${paths.train}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${paths.dev}

[training]
max_steps = 150
eval_frequency = 50
dropout = 0.0

[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = 0.005
"""


def test_spacy_train(tmp_path: Path) -> None:
    """From a file of Docs to a pipeline, and once more from that pipeline."""
    from spacy.cli.train import train as spacy_train

    qas = ask_of(spacy.blank("en")(TEXT))._.ctxemb_questions
    article = {"title": "Ada", "paragraphs": [{"context": TEXT, "qas": qas}]}
    (tmp_path / "squad.json").write_text(json.dumps({"data": [article]}))
    output = run_well("convert-squad", tmp_path / "squad.json", tmp_path / "train.spacy")
    assert "questions about 1 texts" in output
    config = Config().from_str(CONFIG, interpolate=False)
    config["components"]["ctxemb"]["model"] = {
        "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
        **TRANSFORMER,
        "encoder": {**TRANSFORMER["encoder"], "max_length": 64},
    }
    paths = {f"paths.{part}": str(tmp_path / "train.spacy") for part in ("train", "dev")}
    filled = Config(spacy.util.load_model_from_config(config, auto_fill=True).config)
    filled.to_disk(tmp_path / "config.cfg")
    spacy_train(tmp_path / "config.cfg", tmp_path / "first", overrides=paths)
    loaded = spacy.load(tmp_path / "first" / "model-best")
    assert loaded.meta["performance"]["qa_f1"] == 1.0
    assert [
        span.text for span in loaded.get_pipe("qa").answer("What was cold?", loaded(TEXT), 1)
    ] == [  # type: ignore[attr-defined]
        "the river"
    ]
    source = {"source": str(tmp_path / "first" / "model-best")}
    filled["components"] = {"ctxemb": source, "qa": source}
    filled.to_disk(tmp_path / "again.cfg")
    spacy_train(
        tmp_path / "again.cfg",
        tmp_path / "second",
        overrides=paths | {"training.max_steps": 2, "training.eval_frequency": 2},
    )
    again = spacy.load(tmp_path / "second" / "model-best")
    assert again.meta["performance"]["qa_f1"] == 1.0


@pytest.mark.parametrize("settings", [{}, {"max_length": 24, "overlap": 8}])
def test_gradients(settings: dict[str, int]) -> None:
    """Those of the head and of the encoder, against finite differences of the loss."""
    nlp, pipe = build(**settings)
    examples = [make_example(nlp)]
    parameters = [*pipe.shim.embedder.encoder.parameters(), *pipe.head.parameters()]  # type: ignore[union-attr]

    def compute_loss() -> float:
        losses = nlp.update(examples, sgd=False, drop=0.0)  # type: ignore[arg-type]
        return losses["ctxemb_qa"]

    compute_loss()
    gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
    assert sum(one is not None for one in gradients) > len(parameters) // 2
    # Along the gradient, where the loss changes most.
    norm = math.sqrt(sum(one.square().sum().item() for one in gradients if one is not None))
    moved = []
    for step in (0.01, -0.02):
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter += step / norm * gradient
        pipe.shim.weights_changed()
        moved.append(compute_loss())
    assert (moved[0] - moved[1]) / 0.02 == pytest.approx(norm, rel=1e-2)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that do not fit into one pass have the same gradients."""
    found = []
    for n in (100, 1):
        nlp, pipe = build()
        torch.manual_seed(0)
        pipe.initialize(lambda nlp=nlp: [make_example(nlp)])  # type: ignore[misc]
        name = "spacy_ctxemb.heads.learn_answers.count_windows_a_batch"
        monkeypatch.setattr(name, lambda shim, windows, n=n: n)
        losses = nlp.update([make_example(nlp)], sgd=False, drop=0.0)  # type: ignore[arg-type]
        table = pipe.shim.embedder.encoder.piece_embedding.weight.grad
        found.append((losses["ctxemb_qa"], losses["ctxemb"], table))
    (loss, squares, gradient), (other_loss, other_squares, other) = found
    assert loss == pytest.approx(other_loss) and squares == pytest.approx(other_squares) and squares
    torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


def test_a_frozen_encoder_stays() -> None:
    nlp, pipe = build()
    encoder = pipe.shim.embedder.encoder
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    losses = train(nlp, 30, exclude=["ctxemb"])
    assert losses[-1] < losses[0]
    assert all(value.grad is None for value in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.named_parameters())


def test_questions_beside_another_task() -> None:
    """The encoder learns from both."""
    nlp, pipe = build()
    other = nlp.add_pipe("ctxemb_textcat")
    example = make_example(nlp)
    example.reference.cats = {"a": 1.0, "b": 0.0}
    other.initialize(lambda: [example], nlp=nlp)  # type: ignore[attr-defined]
    table = pipe.shim.embedder.encoder.piece_embedding.weight

    def find_gradient(exclude: list[str]) -> torch.Tensor:
        table.grad = None
        nlp.update([example], sgd=False, drop=0.0, exclude=exclude)  # type: ignore[arg-type]
        nlp.get_pipe("ctxemb").flush_gradient()  # type: ignore[attr-defined]
        return table.grad.clone()  # type: ignore[union-attr]

    alone = find_gradient(["ctxemb_qa"]) + find_gradient(["ctxemb_textcat"])
    torch.testing.assert_close(find_gradient([]), alone)


def test_dropout_acts_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a step is interrupted."""
    nlp, pipe = build()

    def ask() -> float:
        return pipe.find_answers("Where did Ada live?", TEXT, 1).found[0].score

    first, second = (train(nlp, 1, drop=0.5)[0] for _ in range(2))
    assert first != second and ask() == ask()

    def fail(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", fail)
    with pytest.raises(KeyboardInterrupt):
        train(nlp, 1, drop=0.5)
    assert ask() == ask() and not pipe.shim.embedder.training
    assert pipe.head is not None and not pipe.head.training


@pytest.mark.parametrize("longest, overlap", [(384, 128), (24, 8)])
def test_targets_spell_the_answers(longest: int, overlap: int) -> None:
    nlp, pipe = build(max_length=longest, overlap=overlap)
    tokenizer = pipe.shim.pieces.tokenizer  # type: ignore[attr-defined]
    for question, answer in ANSWERS.items():
        doc = make_example(nlp, {question: answer}).reference
        spelt = {
            tokenizer.decode(window[0, start : end + 1].tolist(), skip_special_tokens=False)
            for window, (start, end) in pipe.find_targets(doc)
        }
        expected = {answer.lower()} - {""}
        assert expected <= spelt <= expected | {"[CLS]"}


def test_scores_without_answers() -> None:
    """Where a text may have no answer, that is predicted too."""
    nlp, pipe = build()
    assert pipe.score([make_example(nlp, {})]) == {"qa_exact": None, "qa_f1": None}
    assert nlp.update([make_example(nlp, {})])["ctxemb_qa"] == 0.0
    train(nlp, 60)
    late = {"Who was late?": ""}
    assert pipe.score([make_example(nlp, late)]) == {"qa_exact": 1.0, "qa_f1": 1.0}


def test_questions_are_scored_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """In few passes of the encoder, with the answers that each question has by itself."""
    nlp, pipe = build()
    train(nlp, 60)
    examples = [make_example(nlp, {question: text}) for question, text in ANSWERS.items()]
    asked = [(question, TEXT) for question in ANSWERS]
    alone = [pipe.find_answers(*one, 1) for one in asked]
    for found, expected in zip(pipe.ask_all(asked, 1), alone, strict=True):
        assert found.found[0][:2] == expected.found[0][:2]
        assert found.nothing == pytest.approx(expected.nothing, rel=1e-3, abs=1e-6)
    sizes = []

    def count(shim: Any, windows: Any, reader: str) -> torch.Tensor:
        sizes.append(len(windows))
        return encode_windows(shim, windows, reader)

    monkeypatch.setattr("spacy_ctxemb.heads.asked_component.encode_windows", count)
    assert pipe.score(examples) == {"qa_exact": 1.0, "qa_f1": 1.0}
    assert sizes == [len(ANSWERS)]


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_text_has_no_answer(text: str) -> None:
    nlp, pipe = build()
    doc = nlp.make_doc(text)
    doc._.ctxemb_questions = [{"id": "1", "question": "Where?", "answers": []}]
    blank = Example(nlp.make_doc(text), doc)
    assert pipe.score([blank, blank])["qa_exact"] == 1.0
    assert nlp.update([blank, make_example(nlp)], sgd=Adam(0.001))["ctxemb_qa"] > 0


ANSWER = {"text": "Oslo", "answer_start": 13}


@pytest.mark.parametrize(
    "questions, message",
    [
        ([{"answers": []}], r"\[E622\] .*'answers': \[\]"),
        ([{"question": " ", "answers": []}], r"\[E622\]"),
        ([{"question": "Where?"}], r"\[E622\]"),
        ([{"question": "Where?", "answers": [{"text": "Oslo"}]}], r"\[E622\]"),
        ([{"question": "Where?", "answers": 3}], r"\[E622\]"),
        ("Where?", r"\[E622\] .*'Where\?'"),
        (7, r"\[E622\] .* 7, but"),
        (
            [{"question": "Where?", "answers": [{**ANSWER, "answer_start": 14}]}],
            r"\[E623\].*'slo\.",
        ),
        ([{"question": "Where?", "answers": [{**ANSWER, "answer_start": -61}]}], r"\[E623\]"),
        ([{"question": "Where?", "answers": [{**ANSWER, "text": ""}]}], r"\[E622\]"),
    ],
)
def test_questions_of_another_form(questions: Any, message: str) -> None:
    nlp, _ = build()
    example = make_example(nlp)
    example.reference._.ctxemb_questions = questions
    with pytest.raises(ValueError, match=message):
        nlp.update([example])


def test_without_weights() -> None:
    nlp = build_pipeline(FAMILIES / "bert")
    nlp.add_pipe("ctxemb_qa")
    with pytest.raises(RuntimeError, match=r"\[E608\] .*'ctxemb_qa'"):
        nlp.update([make_example(nlp)])
