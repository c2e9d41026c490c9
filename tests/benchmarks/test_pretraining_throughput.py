"""The work that the benchmark of pretraining counts, by hand and against published sizes."""

from typing import Any

import numpy as np
import pytest
import torch

from spacy_ctxemb.encoders import BiLM, TransformerEncoder
from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.tasks.bilm.task import BiLMTask

from .model_flop import (
    count_bilm,
    count_candidates,
    count_masked_lm,
    count_weights,
    list_bilm_shapes,
    list_transformer_shapes,
)
from .pretraining_throughput import BERT_BASE, build_bert, build_bilm, measure

BILM: dict[str, Any] = {
    "width": 8,
    "hidden_width": 6,
    "n_lstm_layers": 2,
    "filters": [(1, 3), (2, 4)],
}


def test_bert_base_has_85_million_weights_in_its_blocks() -> None:
    """110 million (Devlin et al. 2019, section 3) less 23.8 of embeddings, biases and norms."""
    with torch.device("meta"):
        encoder = TransformerEncoder(**BERT_BASE)
    assert count_weights(list_transformer_shapes(encoder)) == 84_934_656


def test_the_work_of_a_bilm_by_hand() -> None:
    encoder = BiLM(**BILM, character_width=3)
    objective = BiLMObjective(encoder, ["<S>", "</S>", "<UNK>", "a", "b"], n_samples=None)
    pieces = CharacterPieces(50)
    batch = {
        "words": torch.zeros(2, 10, dtype=torch.long),
        "targets": torch.tensor([[0] * 10, [0] * 7 + [-100] * 3]),
        "characters": torch.from_numpy(pieces.encode_words(["ab", "c"])),
    }
    of_step = 2 * 2 * (2 * 4 * 24 + 6 * 4)  # directions, layers: W_x, W_h, W_p
    of_characters = 3 * 1 * 3 + 3 * 2 * 4
    of_word = 2 * 7 * 7 + 7 * 4  # a highway's two matrices, and the projection
    n_characters = (2 + 2) + (1 + 2)  # words have two boundaries
    forward = 10 * of_step + n_characters * of_characters + 2 * of_word + 17 * 4 * 5
    assert count_weights(list_bilm_shapes(encoder)) == of_step
    assert count_bilm(encoder, objective, batch) == 3 * 2 * forward


def test_candidates_are_as_many_as_samples_have_on_average() -> None:
    encoder = BiLM(**BILM)
    V, n_samples = 500, 60
    objective = BiLMObjective(encoder, [str(i) for i in range(V)], n_samples=n_samples)
    rng = np.random.default_rng(0)
    drawn = (np.exp(rng.random((2000, n_samples)) * np.log(V + 1)) - 1).astype(int)
    mean = np.mean([len(set(row)) for row in drawn])
    assert count_candidates(objective) == pytest.approx(1 + mean, rel=0.01)


def test_the_work_of_a_transformer_by_hand() -> None:
    encoder = TransformerEncoder(
        vocab_size=30, width=8, n_blocks=2, n_heads=2, feedforward_width=16
    )
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    targets = torch.full((2, 5), -100)
    targets[0, 1] = targets[1, 2] = 7
    linear = 8 * 2 * (4 * 8 * 8 + 2 * 8 * 16)
    attention = (5 * 5 + 3 * 3) * 2 * 2 * 8  # blocks; scores, and sums of values
    head = 2 * (8 * 8 + 8 * 30)
    found = count_masked_lm(encoder, 30, {"mask": mask, "targets": targets})
    assert found == 3 * 2 * (linear + attention + head)


def test_steps_of_a_bilm_are_measured() -> None:
    small: dict[str, Any] = {"width": 16, "hidden_width": 12, "filters": [[1, 4]]}
    contestant = build_bilm(n_words=20_000, n_types=500, **small)
    assert isinstance(contestant.task, BiLMTask)
    store = contestant.task.text.store
    assert store.sentence_ends[-1] == len(store.ids) == 20_000
    assert (np.diff(store.type_counts) <= 0).all()
    row = measure(contestant, "bf16", torch.device("cpu"), rounds=1, steps=1)
    assert row["words/s"] > 0 and row["precision"] == "bf16"
    assert row["of limit"] == pytest.approx(row["GFLOP/s"] / row["limit GFLOP/s"], abs=0.01)


def test_steps_of_a_transformer_are_measured() -> None:
    small: dict[str, Any] = {
        "vocab_size": 100,
        "width": 16,
        "n_blocks": 1,
        "n_heads": 2,
        "feedforward_width": 32,
    }
    contestant = build_bert(n_pieces=3000, **small, batch_size=2, max_pieces=32)
    row = measure(contestant, "fp32", torch.device("cpu"), rounds=1, steps=1)
    assert row["words/s"] > 0
