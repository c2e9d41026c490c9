"""Tiny runs that learn from a teacher."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.distributed import gather_state
from spacy_ctxemb.pretraining.run_from_config import pretrain
from spacy_ctxemb.pretraining.tasks.base import Data, Stores, seed_batch
from spacy_ctxemb.pretraining.tasks.distillation.batches import Rows, get_reading, number_words
from spacy_ctxemb.pretraining.tasks.distillation.cut_texts import PUPIL, TEACHER, cut_texts
from spacy_ctxemb.pretraining.tasks.distillation.initial_table import encode_words, list_words
from spacy_ctxemb.pretraining.tasks.distillation.task import Distil, DistilTask
from spacy_ctxemb.pretraining.tasks.distillation.teacher import load_teacher
from spacy_ctxemb.pretraining.training_loop import Trainer

from ....pipelines import BILM, TRANSFORMER
from ....tiny import build_bilm, build_transformer
from ...runs import build_trainer, read_state, tiny_distil_run, write_documents, write_teacher
from ...stores import lengths_of_sentences, make_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and three pipelines to learn from; the last leaves boundaries out of its mix."""
    folder = tmp_path_factory.mktemp("distil")
    write_documents(folder, n_documents=30)
    write_teacher(folder / "bilm", BILM)
    mix = {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2}
    model = {**TRANSFORMER, "mix": mix}
    write_teacher(folder / "transformer", model, doc_pooling="cls", normalize=True)
    mix = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"}
    model = {**TRANSFORMER, "mix": mix}
    write_teacher(folder / "normalised", model, doc_pooling="mean", normalize=True)
    return folder


@pytest.fixture
def text(folder: Path) -> Path:
    return folder / "text.txt"


def build(folder: Path, output: Path, teacher: str = "bilm", **changes: Any) -> Trainer:
    return build_trainer(tiny_distil_run(folder / "text.txt", folder / teacher, **changes), output)


@pytest.fixture(scope="module")
def shared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trainer]:
    """Trainers by their teachers, for tests that change nothing in them."""
    return {
        teacher: build(
            folder, tmp_path_factory.mktemp("run"), teacher, pretrain__objective__masked=0.5
        )
        for teacher in ("bilm", "transformer")
    }


def get_task(trainer: Trainer) -> DistilTask:
    assert isinstance(trainer.task, DistilTask)
    return trainer.task


def use_bilm() -> dict[str, Any]:
    """A config's changes to a pupil that reads characters."""
    model = {"@architectures": "spacy-ctxemb.ContextualTok2Vec.v1", **BILM}
    model["mix"] = {"@architectures": "spacy-ctxemb.ScalarMix.v1", "layer_norm": "document"}
    return model


@pytest.mark.parametrize("teacher", ["bilm", "transformer"])
def test_batches_have_the_same_words_on_both_sides(
    folder: Path, shared: dict[str, Trainer], teacher: str
) -> None:
    task = get_task(shared[teacher])
    nlp = spacy.blank("en")
    documents = (folder / "text.txt").read_text().split("\n\n")
    tokens = [token.text for document in documents for token in nlp(document.replace("\n", " "))]
    stream = task.open_stream(0, 1)
    for step in range(5):
        batch = stream.next_batch(step)
        for side in ("pupil", "teacher"):
            reading = get_reading(batch, side)
            assert reading.mask.sum() == len(reading.pieces) + 2 * len(reading.mask)
            assert reading.mask.size(1) <= 32
            assert reading.lengths.sum() == len(reading.pieces)
            assert (reading.lengths > 0).all()
            assert len(reading.lengths) == batch["n_words"].sum() == task.count_words(batch)
        reading = get_reading(batch, "pupil")
        ids = reading.ids[reading.mask][reading.pieces]
        pieces = task.text.sides[0]
        assert pieces.store.ids.min() >= 0
        for start, n in zip(reading.starts[:5].tolist(), reading.lengths[:5].tolist(), strict=True):
            assert len(ids[start : start + n]) == n
        assert len(batch["masked_ids"]) == 1  # a quarter of four
    assert task.text.sides[0].store.word_starts.sum() == len(tokens)


def test_gradients_reach_the_pupil_alone(folder: Path, tmp_path: Path) -> None:
    trainer = build(folder, tmp_path, "transformer", pretrain__objective__masked=0.5)
    ((mix, teacher),) = trainer.task.fixed
    before = {name: p.clone() for name, p in teacher.embedder.named_parameters()}
    shard = trainer.shards[0]
    trainer.backpropagate(shard.stream.next_batch(0), shard, 0)
    for name, parameter in trainer.module.named_parameters():
        is_read = "segment_embedding" not in name  # of which the second is never read
        assert parameter.grad is not None and (not is_read or parameter.grad.any()), name
    assert all(p.grad is None for p in [*teacher.embedder.parameters(), *mix.parameters()])
    trainer.take_step(0)
    for name, parameter in teacher.embedder.named_parameters():
        assert torch.equal(parameter, before[name])
    n_teacher = sum(p.numel() for p in teacher.embedder.parameters())
    n_stored = sum(value.numel() for value in gather_state(trainer.module).values())
    assert n_stored == sum(p.numel() for p in trainer.module.parameters()) and n_teacher > 0


def test_the_teacher_has_no_dropout(shared: dict[str, Trainer]) -> None:
    trainer = shared["transformer"]
    trainer.module.train()
    ((_, teacher),) = trainer.task.fixed
    reading = get_reading(trainer.shards[0].stream.next_batch(0), "teacher")
    first, second = (teacher(reading, wants_words=True, wants_texts=True) for _ in range(2))
    for one, other in zip([*first.words, first.texts], [*second.words, second.texts], strict=True):
        assert torch.equal(one, other) and not one.requires_grad
    for words in first.words:
        np.testing.assert_allclose(words.mean(dim=1), 0, atol=1e-5)
        np.testing.assert_allclose(words.std(dim=1, correction=0), 1, atol=0.01)


@pytest.mark.parametrize("teacher", ["bilm", "transformer", "normalised"])
def test_answers_are_those_of_the_pipeline(folder: Path, tmp_path: Path, teacher: str) -> None:
    """Vectors of texts, with its own pooling; and layers of words."""
    nlp = spacy.load(folder / teacher)
    pipe = nlp.get_pipe("ctxemb")
    task = get_task(build(folder, tmp_path, teacher, pretrain__objective__teacher_layers=[-1, 0]))
    ((_, loaded),) = task.fixed
    batch = task.text.make_batch([0], seed_batch(0, 0, 0))
    answer = loaded(get_reading(batch, "teacher"), wants_words=True, wants_texts=True)
    side = task.text.sides[1]
    first, last = task.text.bounds[0, 1].tolist()
    lines = (folder / "text.txt").read_text().replace("\n\n", "\n").splitlines()
    n_words = int(batch["n_words"][0])
    doc = nlp.make_doc(" ".join(lines[: _count_lines(nlp, lines, n_words)]))
    assert len(doc) == n_words and first == 0 and last <= side.store.sentence_ends[-1]
    pipe.keep = "layers"
    found = pipe(doc)
    layers = torch.from_numpy(np.asarray(found._.ctxemb))
    assert layers.shape[1] == n_words
    for words, layer in zip(answer.words, (layers[-1], layers[0]), strict=True):
        expected = torch.nn.functional.layer_norm(layer, layer.shape[1:])
        torch.testing.assert_close(words, expected, atol=1e-4, rtol=1e-4)
    if teacher != "bilm":
        expected = torch.from_numpy(found._.ctxemb_pooled["document"])
        torch.testing.assert_close(answer.texts[0], expected, atol=1e-5, rtol=1e-4)


def _count_lines(nlp: Any, lines: list[str], n_words: int) -> int:
    sizes = np.cumsum([len(nlp.make_doc(line)) for line in lines])
    return int(np.flatnonzero(sizes == n_words)[0]) + 1


def test_a_resumed_run_is_bit_equal(folder: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"pretrain__objective__masked": 0.5, "pretrain__accumulate": 2}
    changes["pretrain__learn_rate__total_steps"] = 6
    whole = build(folder, tmp_path / "whole", "transformer", **changes)
    whole.run()
    build(folder, tmp_path / "parts", "transformer", **changes, pretrain__max_steps=3).run()
    resumed = build(folder, tmp_path / "parts", "transformer", **changes)
    assert resumed.resume() == [] and resumed.progress.steps == 3
    resumed.run()
    for name, value in read_state(whole).items():
        assert torch.equal(value, read_state(resumed)[name]), name


@pytest.mark.parametrize("teacher", ["bilm", "transformer"])
def test_steps_in_bf16(folder: Path, tmp_path: Path, teacher: str) -> None:
    """Nearly those in fp32."""
    losses = []
    for precision in ("fp32", "bf16"):
        changes = {"pretrain__precision": precision, "pretrain__objective__masked": 0.5}
        trainer = build(folder, tmp_path, teacher, **changes)
        found, norm, _ = trainer.take_step(0)
        assert np.isfinite(norm)
        losses.append(found)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_accumulation_adds_shards(folder: Path, tmp_path: Path) -> None:
    changes = {"pretrain__accumulate": 2, "components__ctxemb__model__dropout": 0.0}
    trainer = build(folder, tmp_path, **changes)
    gradients = []
    for i in range(2):
        other = build(folder, tmp_path, **changes)
        other.shards = other.shards[i : i + 1]
        other.backpropagate(other.shards[0].stream.next_batch(0), other.shards[0], 0)
        gradients.append([p.grad for p in other.module.parameters()])
    for shard in trainer.shards:
        trainer.backpropagate(shard.stream.next_batch(0), shard, 0)
    for p, first, second in zip(trainer.module.parameters(), *gradients, strict=True):
        torch.testing.assert_close(p.grad, (first + second) / 2, rtol=1e-4, atol=1e-6)


def test_words_of_the_same_pieces_have_the_same_number() -> None:
    ids = np.array([9, 1, 2, 1, 8, 9, 2, 1, 2, 8], dtype=np.int32)  # 9 and 8 are boundaries
    starts = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 1], dtype=np.bool_)
    rows = Rows(ids, np.array([5, 5]), starts, ids < 8)
    assert number_words(rows) == [0, 1, 2, 0]  # 1 2, 1, 2, 1 2


def test_words_have_no_numbers_where_none_are_compared(folder: Path, tmp_path: Path) -> None:
    trainer = build(folder, tmp_path, pretrain__objective__uses=0.0)
    assert "numbers" not in trainer.shards[0].stream.next_batch(0)
    assert "uses" not in trainer.evaluate()


def test_evaluation_does_not_depend_on_the_number_of_processes(
    shared: dict[str, Trainer],
) -> None:
    trainer = shared["bilm"]
    trainer.module.eval()
    whole = trainer.task.evaluate(0, 1)
    parts = [trainer.task.evaluate(rank, 9) for rank in range(9)]
    assert list(whole) == ["tokens", "texts", "relations", "uses", "masked", "tokens_cosine"]
    for name, (total, n) in whole.items():
        assert all(list(part) == list(whole) for part in parts)
        np.testing.assert_allclose(sum(part[name][0] for part in parts), total, rtol=1e-4)
        assert sum(part[name][1] for part in parts) == n > 0
    scores = trainer.evaluate()
    assert scores.keys() == {*whole, "perplexity_masked"} - {"masked"}


@pytest.mark.parametrize("is_bilm", [False, True])
def test_a_pupil_learns(folder: Path, tmp_path: Path, is_bilm: bool) -> None:
    """More than what words have in common."""
    config = tiny_distil_run(
        folder / "text.txt",
        folder / ("transformer" if is_bilm else "bilm"),
        pretrain__max_steps=160,
        pretrain__eval_every=160,
        pretrain__checkpoint_every=160,
        pretrain__learn_rate__initial_rate=0.01,
        components__ctxemb__model__dropout=0.0,
        pretrain__objective__initial_table=not is_bilm,
    )
    if is_bilm:
        config["components"]["ctxemb"]["model"] = use_bilm()
        del config["initialize"]["components"]
    trainer = build_trainer(config, tmp_path)
    targets = []
    ((_, teacher),) = trainer.task.fixed
    for i in range(0, len(get_task(trainer).held_out), 4):
        batch = get_task(trainer).held_out.make_batch([i], seed_batch(0, 0, 0))
        answer = teacher(get_reading(batch, "teacher"), wants_words=True, wants_texts=False)
        targets.append(torch.cat(answer.words, dim=1))
    constant = torch.cat(targets).var(dim=0, correction=0).mean()
    before = trainer.evaluate()
    trainer.run()
    after = trainer.evaluate()
    # A biLM learns what characters spell first.
    assert after["tokens"] < (0.8 if is_bilm else 0.6) * constant < before["tokens"]
    assert after["tokens_cosine"] > before["tokens_cosine"] + 0.2
    assert after["texts"] < 0.5 * before["texts"]
    assert after["relations"] < before["relations"]
    assert after["uses"] < before["uses"]


def test_the_table_begins_with_answers(folder: Path, shared: dict[str, Trainer]) -> None:
    """Pieces that are alike for the teacher are alike in the table; its scale is what it was. A run
    that goes on has no use for it."""
    teacher = load_teacher(str(folder / "transformer"), layers=None)
    encoder = build_transformer(vocab_size=200, width=24, n_heads=2)
    encoder.reset_parameters()
    random = encoder.piece_embedding.weight.detach().clone()
    task = get_task(shared["transformer"])
    stores = (task.text.sides[PUPIL].store, task.held_out.sides[PUPIL].store)
    others = Stores(task.text.sides[TEACHER].store, task.held_out.sides[TEACHER].store)
    settings = Distil(teacher=str(folder / "transformer"), initial_table=True)
    data = Data(*stores, seed=0, others={"teacher": others}, has_weights=True)
    settings(encoder, teacher.pieces, data)
    assert torch.equal(encoder.piece_embedding.weight, random)
    settings(encoder, teacher.pieces, data._replace(has_weights=False))
    filled = encoder.piece_embedding.weight.detach()
    ids, words = list_words(teacher.pieces)
    left = np.setdiff1d(np.arange(200), ids)
    assert len(left) >= 5  # special pieces
    assert torch.equal(filled[left], random[left])
    assert torch.equal(filled[:, 16:], random[:, 16:])  # wider than the teacher
    table = filled[ids, :16]
    assert float(table.std()) == pytest.approx(float(random.std()), rel=1e-3)
    np.testing.assert_allclose(table.mean(dim=0), 0, atol=1e-4)
    # As damped components of what the pipeline has for a word alone, in its last layer.
    vectors, _ = encode_words(teacher, words)
    nlp = spacy.load(folder / "transformer")
    nlp.get_pipe("ctxemb").keep = "layers"
    for i in range(0, len(words), 20):
        doc = nlp.get_pipe("ctxemb")(Doc(nlp.vocab, words=[words[i]], spaces=[False]))
        np.testing.assert_allclose(vectors[i], doc._.ctxemb[-1, 0], atol=1e-5)
    centred = vectors.double().numpy()
    centred = centred - centred.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    expected = np.abs(u * np.sqrt(s))
    expected *= float(table.norm()) / np.linalg.norm(expected)
    np.testing.assert_allclose(table.abs(), expected, atol=0.02 * float(table.std()))


def test_pieces_are_read_as_words(folder: Path) -> None:
    teacher = load_teacher(str(folder / "transformer"), layers=None)
    ids, words = list_words(teacher.pieces)
    assert len(ids) == len(words) > 50
    assert not any(word.startswith("##") for word in words if len(word) > 2)
    assert "the" in words and not {"[CLS]", "[MASK]"} & {*words}


def test_weights_reach_pipelines(text: Path, folder: Path, tmp_path: Path) -> None:
    """And errors the log and the curves."""
    config = tiny_distil_run(text, folder / "bilm", pretrain__neighbours=["bank"])
    nlp = pretrain(config, tmp_path, resume=False)
    assert nlp is not None and nlp("The ferry leaves.").tensor.shape == (4, 16)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["losses"].keys() == {"tokens", "texts", "relations", "uses"}
    assert rows[-1]["scores"].keys() == {"tokens", "texts", "relations", "uses", "tokens_cosine"}
    with pytest.raises(ValueError, match="E461.*objective"):
        changed = tiny_distil_run(text, folder / "bilm", pretrain__objective__texts=0.5)
        pretrain(changed, tmp_path, resume=True)


def test_a_run_goes_on_with_the_same_teacher_alone(
    text: Path, folder: Path, tmp_path: Path
) -> None:
    """Wherever it lies."""
    pretrain(tiny_distil_run(text, folder / "bilm"), tmp_path / "run", resume=False)
    moved = write_teacher(tmp_path / "moved", BILM)
    pretrain(tiny_distil_run(text, moved, pretrain__max_steps=7), tmp_path / "run", resume=True)
    other = write_teacher(tmp_path / "other", {**BILM, "encoder": {**BILM["encoder"], "width": 8}})
    with pytest.raises(ValueError, match="E461.*what the objective predicts"):
        pretrain(tiny_distil_run(text, other), tmp_path / "run", resume=True)


@given(lengths=lengths_of_sentences, sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_texts_are_runs_of_words_that_fit(lengths: list[list[int]], sizes: tuple[int, int]) -> None:
    """Of a store and one whose words have twice as many pieces."""
    store = make_store(lengths)
    store.word_starts[np.concatenate([[0], store.sentence_ends[:-1]])] = True
    doubled = make_store([[2 * n for n in document] for document in lengths])
    doubled.word_starts[:] = np.repeat(store.word_starts, 2) & (
        np.arange(2 * len(store.ids)) % 2 == 0
    )
    texts = cut_texts([store, doubled], sizes)
    words = [np.cumsum(s.word_starts) - 1 for s in (store, doubled)]
    seen = []
    for text in texts.tolist():
        found = [words[i][first:last].tolist() for i, (first, last) in enumerate(text)]
        assert all(
            1 <= last - first <= size for (first, last), size in zip(text, sizes, strict=True)
        )
        assert sorted({*found[0]}) == sorted({*found[1]})
        assert all(
            s.word_starts[first] for s, (first, _) in zip((store, doubled), text, strict=True)
        )
        seen += sorted({*found[0]})
    assert sorted(seen) == list(range(int(store.word_starts.sum())))


def test_stores_with_other_words_are_refused() -> None:
    store, other = make_store([[3, 2]]), make_store([[3, 2]])
    store.word_starts[:], other.word_starts[:] = True, True
    cut_texts([store, other], [8, 8])
    other.word_starts[1] = False
    with pytest.raises(ValueError, match="E417.*5 and 4 in all"):
        cut_texts([store, other], [8, 8])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": None}, "E466"),
        ({"teacher": "nowhere"}, "E163.*nowhere cannot be read as a pipeline with a teacher"),
        ({"tokens": -1.0}, r"E468.*'tokens': -1.0"),
        ({"tokens": float("nan")}, "E468"),
        ({"tokens": 0.0, "texts": 0.0, "relations": 0.0, "uses": 0.0, "masked": 1.0}, "E468"),
        ({"masked_texts": 0.0}, "E470.*is 0.0"),
        ({"share": 1.5, "masked": 1.0}, "E431.*1.5"),
        ({"batch_size": 0}, "E401.*batch_size is 0"),
        ({"max_pieces": 7}, "E401.*max_pieces is 7"),
        ({"layers": [5]}, "E150.*layer 5"),
        ({"layers": []}, "E150.*empty list"),
        ({"teacher_layers": [3]}, "E150.*layer 3"),
    ],
)
def test_settings_are_checked(folder: Path, changes: dict[str, Any], message: str) -> None:
    pieces = load_teacher(str(folder / "transformer"), layers=None).pieces
    with pytest.raises(ValueError, match=message):
        Distil(**{"teacher": str(folder / "bilm"), **changes}).validate(build_transformer(), pieces)


def test_what_is_wrong_is_told_before_the_text_is_read(
    text: Path, folder: Path, tmp_path: Path
) -> None:
    config = tiny_distil_run(text, folder / "bilm", pretrain__objective__teacher_layers=[3])
    with pytest.raises(ValueError, match="E150.*layer 3"):
        pretrain(config, tmp_path, resume=False)
    assert not (tmp_path / "text").exists()
    config = tiny_distil_run(text, folder / "nowhere")
    with pytest.raises(ValueError, match="E163.*nowhere cannot be read as a pipeline"):
        pretrain(config, tmp_path, resume=False)


def test_pipelines_without_a_teacher_are_refused(folder: Path, tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match=r"E467.*of contextual vectors are \[\]"):
        load_teacher(str(tmp_path / "blank"), layers=None)
    nlp = spacy.load(folder / "bilm")
    nlp.add_pipe("ctxemb", name="second", config={"model": BILM})
    nlp.to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match=r"E467.*\['ctxemb', 'second'\]"):
        load_teacher(str(tmp_path / "two"), layers=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masked": 0.5}, "E430.*masked = 0.5 needs the encoder Transformer.*BiLM"),
        ({"initial_table": True}, "E469.*BiLM has none"),
    ],
)
def test_what_a_bilm_has_not_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    settings = Distil(teacher=str(folder / "bilm"), **changes)
    encoder = build_bilm()
    assert isinstance(encoder, BiLM)
    with pytest.raises(ValueError, match=message):
        settings.validate(encoder, CharacterPieces(7))
    store = make_store([[2]])
    with pytest.raises(ValueError, match=message):
        settings(encoder, CharacterPieces(7), Data(store, store, seed=0))
