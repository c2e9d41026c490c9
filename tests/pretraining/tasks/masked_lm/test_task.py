"""Masked language modelling on stored text: what batches hold, how it goes on, how it is scored."""

from typing import Any

import numpy as np
import pytest
import torch
from spacy.util import registry
from torch.nn import functional as F

from spacy_ctxemb.encoders import TransformerEncoder
from spacy_ctxemb.objectives import MaskedLMObjective
from spacy_ctxemb.objectives.base import NO_TARGET
from spacy_ctxemb.objectives.masked_lm_loss import IS_NEXT
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pieces.subwords import WordPieces
from spacy_ctxemb.pretraining.tasks.base import Batch, Data
from spacy_ctxemb.pretraining.tasks.masked_lm.task import MaskedLMTask
from spacy_ctxemb.pretraining.text.token_store import TokenStore

from ....tiny import build_bilm, build_transformer, randomise
from ....tokenizers import build_word_piece
from ...stores import make_store

N_IDS, CLS, SEP, MASK = 30, 2, 3, 4

TRAIN = [[3, 5, 2, 4], [4], [6, 1, 5], [30, 2], [2, 2, 2, 2, 2], [7, 3]]
HELD_OUT = [[4, 4, 3], [5, 2], [3], [2, 6, 2, 1]]


def build(
    encoder: TransformerEncoder | None = None,
    *,
    train: TokenStore | None = None,
    seed: int = 0,
    **settings: Any,
) -> MaskedLMTask:
    """A task with random weights, as a config has it."""
    settings = {"batch_size": 4, "max_pieces": 14, "share": 0.3} | settings
    name = {"@misc": "spacy-ctxemb.PretrainMaskedLM.v1"}
    build_task = registry.resolve({"objective": name | settings})["objective"]
    pieces = WordPieces(N_IDS)
    pieces.load(build_word_piece([chr(ord("a") + i) for i in range(25)]).to_str())
    task = build_task(
        build_transformer() if encoder is None else encoder,
        pieces,
        Data(make_store(TRAIN) if train is None else train, make_store(HELD_OUT, seed=1), seed),
    )
    randomise(task.objective)
    return task


def equal(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.mark.parametrize("next_sentence", [False, True])
def test_batches_hold_texts_between_boundaries(next_sentence: bool) -> None:
    task = build(next_sentence=next_sentence)
    stream = task.open_stream(0, 1)
    text = task.text.store.ids.tolist()
    for step in range(10):
        batch = stream.next_batch(step)
        ids, targets, mask = batch["ids"], batch["targets"], batch["mask"]
        assert ids.shape == targets.shape == mask.shape
        lengths = mask.sum(dim=1)
        assert (lengths == lengths.sort(descending=True).values).all()
        assert lengths.max() == ids.size(1) <= 14
        assert (targets[~mask] == NO_TARGET).all()
        original = torch.where(targets == NO_TARGET, ids, targets)
        assert task.count_words(batch) == lengths.sum()
        for b, n in enumerate(lengths.tolist()):
            assert mask[b, :n].all()
            row = original[b, :n].tolist()
            assert row[0] == CLS and row[-1] == SEP
            ends = [i for i, piece in enumerate(row) if piece == SEP]
            assert len(ends) == 1 + next_sentence
            for start, end in zip([0, *ends], ends, strict=False):
                part = row[start + 1 : end]
                assert part
                assert any(text[i : i + len(part)] == part for i in range(len(text)))
            if next_sentence:
                expected = [int(i > ends[0]) for i in range(n)]
                assert batch["segments"][b, :n].tolist() == expected
                first, second = row[1 : ends[0]], row[ends[0] + 1 : -1]
                follows = first + second in [
                    text[i : i + len(first + second)] for i in range(len(text))
                ]
                assert follows or not batch["is_next"][b] or n == 14  # where both were cut
    assert ("segments" in batch) == ("is_next" in batch) == next_sentence


def test_words_are_hidden_whole() -> None:
    """A word that a sequence cuts begins anew in it."""
    task = build(whole_words=True, share=0.5, max_pieces=9)
    word_of = np.cumsum(task.text.store.word_starts)
    for i in range(len(task.text.examples)):
        rng = np.random.default_rng(i)
        ((start, end),) = task.text.examples.read(i, rng).spans
        targets = task.text.make_batch([i], rng)["targets"][0, 1:-1].numpy()
        for word in set(word_of[start:end].tolist()):
            assert len(set((targets != NO_TARGET)[word_of[start:end] == word].tolist())) == 1


@pytest.mark.parametrize("next_sentence", [False, True])
def test_a_stream_goes_on_where_it_was(next_sentence: bool) -> None:
    task = build(next_sentence=next_sentence)
    stream = task.open_stream(1, 3)
    batches = [stream.next_batch(step) for step in range(4)]
    state = stream.state()
    batches += [stream.next_batch(step) for step in range(4, 12)]
    other = build(next_sentence=next_sentence).open_stream(1, 3)
    other.load_state(state)
    assert all(equal(other.next_batch(step), batches[step]) for step in range(4, 12))
    for i, batch in enumerate(batches):
        assert not any(equal(batch, other) for other in batches[:i])


def test_masks_depend_on_seed_step_and_shard() -> None:
    """Even of the same texts."""
    store = make_store([[12]])
    settings = {"train": store, "batch_size": 1}
    first = build(**settings).open_stream(0, 2).next_batch(7)
    assert equal(build(**settings).open_stream(0, 2).next_batch(7), first)
    others = [
        build(**settings, seed=1).open_stream(0, 2).next_batch(7),
        build(**settings).open_stream(1, 2).next_batch(7),
        build(**settings).open_stream(0, 2).next_batch(8),
    ]
    for other in others:
        assert other["mask"].equal(first["mask"])
        assert not other["targets"].equal(first["targets"])


def test_shards_share_the_text() -> None:
    """Each epoch has each sequence once, in whichever shard."""
    task = build(batch_size=1)
    n = len(task.text.examples)
    streams = [task.open_stream(shard, 3) for shard in range(3)]
    for epoch in range(2):
        taken = [streams[i % 3].queue.take() for i in range(epoch * n, (epoch + 1) * n)]
        assert sorted(taken) == list(range(n))


@pytest.mark.parametrize("next_sentence", [False, True])
def test_losses_are_sums_over_targets(next_sentence: bool) -> None:
    task = build(next_sentence=next_sentence)
    batch = task.open_stream(0, 1).next_batch(0)
    output = task(batch, task.start())
    assert output.carried == {}
    layers = task.encoder(batch["ids"], batch["mask"], batch.get("segments"))
    expected = task.objective(layers, batch["targets"], batch["mask"])
    assert output.losses.n_targets["masked"] == expected.n_targets["masked"] > 0
    torch.testing.assert_close(output.losses.nll["masked"], expected.nll["masked"])
    assert set(output.losses.nll) <= set(task.loss_weights)
    if next_sentence:
        logits = task.objective.next_sentence(layers[-1], batch["mask"])
        log_p = F.log_softmax(logits, dim=1)
        by_hand = -sum(
            row[IS_NEXT if is_next else 1 - IS_NEXT]
            for row, is_next in zip(log_p, batch["is_next"].tolist(), strict=True)
        )
        torch.testing.assert_close(output.losses.nll["next_sentence"], by_hand)
        assert output.losses.n_targets["next_sentence"] == 4


@pytest.mark.parametrize("next_sentence", [False, True])
def test_evaluation_is_alike_for_any_number_of_processes(next_sentence: bool) -> None:
    task = build(next_sentence=next_sentence, batch_size=2)
    alone = task.evaluate(0, 1)
    assert task.evaluate(0, 1) == alone
    parts = [task.evaluate(rank, 3) for rank in range(3)]
    for name, (total, n) in alone.items():
        found = np.sum([part.get(name, (0.0, 0.0)) for part in parts], axis=0)
        np.testing.assert_allclose(found, (total, n), rtol=1e-5)
    assert alone["masked"][1] == alone["masked_accuracy"][1] > 0
    assert 0 <= alone["masked_accuracy"][0] <= alone["masked"][1]
    if next_sentence:
        assert alone["next_sentence_accuracy"][1] == len(task.held_out.examples)
    assert len(alone) == 2 + next_sentence


def test_evaluation_counts_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bias that decides everything is right wherever its piece was hidden."""
    task = build(share=0.8)
    piece = int(task.held_out.store.ids[0])
    with torch.no_grad():
        task.objective.bias[piece] = 1e4
    n_hidden = 0

    def score(*args: Any) -> Any:
        nonlocal n_hidden
        logits, targets = MaskedLMObjective.score(task.objective, *args)
        n_hidden += int((targets == piece).sum())
        return logits, targets

    monkeypatch.setattr(task.objective, "score", score)
    found, n = task.evaluate(0, 1)["masked_accuracy"]
    assert 0 < found == n_hidden < n


def test_training_learns_pieces_and_pairs() -> None:
    """In a text whose documents have letters of their own, neighbours share letters."""
    torch.manual_seed(0)
    store = make_store([[2] * 6] * 4)
    letters = np.repeat(5 + np.arange(4), 12).astype(np.int32)
    store = TokenStore(**{**vars(store), "ids": letters})
    encoder = build_transformer(width=32, n_heads=4, pre_norm=True, dropout=0.0)
    settings = {"batch_size": 16, "max_pieces": 12, "share": 0.15}
    task = build(encoder, train=store, next_sentence=True, **settings)
    encoder.reset_parameters()
    task.objective.reset_parameters()
    stream = task.open_stream(0, 1)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.005)
    means = []
    for step in range(200):
        losses = task(stream.next_batch(step), {}).losses
        mean = {name: nll / losses.n_targets[name] for name, nll in losses.nll.items()}
        optimizer.zero_grad()
        sum(mean.values()).backward()
        optimizer.step()
        means.append([mean[name].item() for name in ("masked", "next_sentence")])
    np.testing.assert_allclose(means[0], [np.log(30), np.log(2)], rtol=0.1)
    masked, next_sentence = np.mean(means[-40:], axis=0)
    # Chance would be 1 of 4 letters, and 1 of 2.
    assert masked < 0.6 * np.log(4)
    assert next_sentence < 0.6 * np.log(2)


def test_settings_are_checked() -> None:
    for max_pieces, message in (
        (7, r"E401\] max_pieces is 7, but must be at least 8"),
        (17, r"E413\] max_pieces is 17, but must be from 8 to 16"),
    ):
        with pytest.raises(ValueError, match=message):
            build(max_pieces=max_pieces)
    with pytest.raises(ValueError, match=r"E401\] batch_size is 0, but must be at least 1"):
        build(batch_size=0)


@pytest.mark.parametrize("n_segments", [0, 1])
def test_pairs_need_two_segments(n_segments: int) -> None:
    encoder = build_transformer(n_segments=n_segments)
    with pytest.raises(ValueError, match=rf"E110\].* n_segments = {n_segments}\."):
        build(encoder, next_sentence=True)
    assert len(build(encoder).text.examples) > 0


def test_other_encoders_and_pieces_are_refused() -> None:
    build_task = registry.resolve({"o": {"@misc": "spacy-ctxemb.PretrainMaskedLM.v1"}})["o"]
    store = make_store(TRAIN)
    with pytest.raises(ValueError, match="E430.*PretrainMaskedLM needs the encoder Transformer"):
        build_task(build_bilm(), CharacterPieces(7), Data(store, store, seed=0))
