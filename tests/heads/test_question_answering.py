"""The component `ctxemb_qa`, against what transformers computes. Needs that package."""

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.heads.question_answering import QuestionAnswering

from ..bert_models import change_json
from ..pipelines import initialised
from .published import NAMES, build_pipeline, save

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

TEXT = "The bank of the river was steep, and nobody had been there for 1,250 years. Ada went home."
QUESTION = "Who went to the bank?"
#: Tokens of the tiny models' longest windows.
LONG = " ".join([TEXT, "She sat by the water; naïve cafés cannot float. " * 3, TEXT])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of its own future."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ask_theirs(
    folder: Path, model: Any, text: str, *, n: int, longest: int, overlap: int
) -> tuple[list[tuple[float, int, int]], float]:
    """What transformers 4 has as its pipeline "question-answering": the windows of its tokenizer,
    the scores of its model, its choice of spans, and its sums of those that read the same."""
    from transformers.pipelines.document_question_answering import select_starts_ends

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(
        QUESTION,
        text,
        truncation="only_second",
        max_length=longest,
        stride=overlap,
        return_overflowing_tokens=True,
        return_token_type_ids=True,
    )
    answers: dict[str, list[Any]] = {}
    nothing = 1e6
    for i, encoding in enumerate(encoded.encodings):
        inputs = {k: torch.tensor([encoded[k][i]]) for k in ("input_ids", "attention_mask")}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = torch.tensor([encoded["token_type_ids"][i]])
        with torch.inference_mode():
            output = model(**inputs)
        outside = np.array([[sequence != 1 for sequence in encoding.sequence_ids]]).astype(int)
        outside[0, 0] = 0
        start, end, mask = output.start_logits, output.end_logits, inputs["attention_mask"]
        starts, ends, scores, nothing = select_starts_ends(
            start.numpy(), end.numpy(), outside, mask.numpy(), nothing, 2 * n + 10, True, 15
        )
        for s, e, score in zip(starts, ends, scores, strict=True):
            first, last = encoding.token_to_word(s), encoding.token_to_word(e)
            if score > 0.0:  # theirs fills up with what is no span
                begin = encoding.word_to_chars(first, sequence_index=1)[0]
                stop = encoding.word_to_chars(last, sequence_index=1)[1]
                known = answers.setdefault(text[begin:stop].lower(), [0.0, begin, stop])
                known[0] += score.item()
    found = sorted(map(tuple, answers.values()), key=lambda x: -x[0])[:n]
    return found, nothing


@pytest.mark.parametrize("text, longest", [(TEXT, 384), (LONG, 64)], ids=["short", "long"])
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_transformers(
    name: str, text: str, longest: int, tmp_path: Path
) -> None:
    model = save(name, "question", tmp_path / "model", max_position_embeddings=600)
    nlp = build_pipeline(tmp_path / "model")
    pipe = nlp.get_pipe("ctxemb_qa")
    pipe.max_length, pipe.overlap = longest, 16
    expected, nothing = ask_theirs(
        tmp_path / "model", model, text, n=5, longest=longest, overlap=16
    )
    found = pipe.find_answers(QUESTION, text, 5)
    assert [(a.start, a.end) for a in found.found] == [(start, end) for _, start, end in expected]
    np.testing.assert_allclose(
        [a.score for a in found.found], [score for score, _, _ in expected], rtol=1e-4
    )
    assert found.nothing == pytest.approx(nothing, rel=1e-4)


@pytest.fixture
def nlp(tmp_path: Path) -> Language:
    save("bert", "question", tmp_path / "model")
    return build_pipeline(tmp_path / "model")


def test_spans_of_tokens(nlp: Language) -> None:
    doc = nlp(TEXT)
    spans = nlp.get_pipe("ctxemb_qa").answer(QUESTION, doc, 4)
    assert len(spans) == 4
    scores = [span._.ctxemb_answer_score for span in spans]
    assert scores == sorted(scores, reverse=True)
    assert all(
        span.doc is doc and 0.0 < score < 1.0 for span, score in zip(spans, scores, strict=True)
    )
    (best,) = nlp.get_pipe("ctxemb_qa").answer(QUESTION, doc, 1)
    found = nlp.get_pipe("ctxemb_qa").find_answers(QUESTION, TEXT, 1).found[0]
    assert best.start_char <= found.start and best.end_char >= found.end


def test_answers_that_are_the_same_span(nlp: Language) -> None:
    """Each once, with the best of its scores, and as many as are wanted."""
    pipe: Any = nlp.get_pipe("ctxemb_qa")
    words = ["The bank of", "the", "river was steep."]
    doc = Doc(nlp.vocab, words=words, spaces=[True, True, False])
    spans = pipe.answer(QUESTION, doc, 4)
    assert len({(span.start, span.end) for span in spans}) == len(spans) == 4
    found = [
        (doc.char_span(one.start, one.end, alignment_mode="expand"), one.score)
        for one in pipe.find_answers(QUESTION, doc.text, 4).found
    ]
    assert len(set(span for span, _ in found)) < 4
    assert spans[0]._.ctxemb_answer_score == found[0][1]
    scores = [span._.ctxemb_answer_score for span in spans]
    assert scores == sorted(scores, reverse=True)


def test_scores_of_entities_stay(nlp: Language) -> None:
    doc = nlp(TEXT)
    (best,) = nlp.get_pipe("ctxemb_qa").answer(QUESTION, doc, 1)  # type: ignore[attr-defined]
    assert best._.ctxemb_answer_score is not None
    names = {key[1] for key in doc.user_data if isinstance(key, tuple)}
    assert "ctxemb_answer_score" in names and "ctxemb_score" not in names


def test_no_answer_by_its_threshold(nlp: Language) -> None:
    pipe, doc = nlp.get_pipe("ctxemb_qa"), nlp(TEXT)
    found = pipe.find_answers(QUESTION, TEXT, 3)
    difference = float(np.log(found.nothing / found.found[0].score))
    assert pipe.answer(QUESTION, doc, no_answer_threshold=difference - 0.01) == []
    assert len(pipe.answer(QUESTION, doc, no_answer_threshold=difference + 0.01)) == 3


def test_segments_tell_the_question_from_the_text(nlp: Language) -> None:
    pipe = nlp.get_pipe("ctxemb_qa")
    before = pipe.find_answers(QUESTION, TEXT, 1).found[0].score
    encoder = pipe.shim.embedder.encoder
    with torch.no_grad():
        encoder.segment_embedding.weight[1] *= -3.0
    assert pipe.find_answers(QUESTION, TEXT, 1).found[0].score != pytest.approx(before, rel=1e-3)


def test_a_window_more_does_not_change_others(nlp: Language) -> None:
    pipe = nlp.get_pipe("ctxemb_qa")
    pipe.max_length, pipe.overlap = 64, 16
    together = pipe.find_answers(QUESTION, LONG, 5)
    pipe.shim.windowing = type(pipe.shim.windowing)(
        window=62, stride=40, batch_pieces=64, max_padding=1.0
    )
    one_by_one = pipe.find_answers(QUESTION, LONG, 5)
    for a, b in zip(together.found, one_by_one.found, strict=True):
        assert a[:2] == b[:2]
        assert a.score == pytest.approx(b.score, rel=1e-4)


def test_what_is_stored(nlp: Language, tmp_path: Path) -> None:
    expected = nlp.get_pipe("ctxemb_qa").find_answers(QUESTION, TEXT)
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert loaded.get_pipe("ctxemb_qa").find_answers(QUESTION, TEXT) == expected
    copy = English.from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert copy.get_pipe("ctxemb_qa").find_answers(QUESTION, TEXT) == expected
    pipe = pickle.loads(pickle.dumps(nlp.get_pipe("ctxemb_qa")))
    assert pipe.head_settings == nlp.get_pipe("ctxemb_qa").head_settings


def test_damaged_files(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    folder = tmp_path / "pipeline" / "ctxemb_qa"
    change_json(folder / "cfg", n_classes=3)
    with pytest.raises(ValueError, match=r"\[E162\] .*output.weight"):
        spacy.load(tmp_path / "pipeline")
    (folder / "cfg").unlink()
    with pytest.raises(ValueError, match=r"\[E163\] .*cfg"):
        spacy.load(tmp_path / "pipeline")
    nlp.to_disk(tmp_path / "pipeline")
    (folder / "head.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"\[E163\] .*head.safetensors"):
        spacy.load(tmp_path / "pipeline")


@pytest.mark.parametrize(
    "question, text, message",
    [
        (" ", TEXT, r"\[E389\] .*the question is ' '\."),
        (QUESTION, "", r"\[E389\] .*the Doc is ''\."),
        (QUESTION, " \n", r"\[E389\] .*the Doc is"),
        ("who? " * 300, TEXT, r"\[E384\] .* are 903 pieces, .* windows of \d+\."),
    ],
)
def test_what_cannot_be_asked(nlp: Language, question: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("ctxemb_qa").answer(question, nlp.make_doc(text))


def test_a_question_that_leaves_little_room(nlp: Language) -> None:
    pipe = nlp.get_pipe("ctxemb_qa")
    pipe.max_length, pipe.overlap = 12, 128
    assert pipe.find_answers("who went?", TEXT, 1).found


def test_without_a_head_or_an_encoder(nlp: Language) -> None:
    blank = spacy.blank("en")
    pipe = blank.add_pipe("ctxemb_qa")
    assert isinstance(pipe, QuestionAnswering)
    with pytest.raises(ValueError, match=r"\[E387\] 'ctxemb_qa' .* 'ctxemb', .* are \[\]\."):
        pipe.answer(QUESTION, blank(TEXT))
    biline = initialised()
    pipe = biline.add_pipe("ctxemb_qa")
    with pytest.raises(ValueError, match=r"\[E387\] .* are \[\]\."):
        pipe.answer(QUESTION, biline.make_doc(TEXT))
    nlp.remove_pipe("ctxemb_qa")
    pipe = nlp.add_pipe("ctxemb_qa")
    with pytest.raises(ValueError, match=r"\[E386\] 'ctxemb_qa' has no head"):
        pipe.answer(QUESTION, nlp.make_doc(TEXT))
    assert nlp.to_bytes()
