"""Words are encoded once, forgotten in the order of their last use, and never stale."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.encoders.word_cache import WordCache, find_distinct

from ..tiny import build_bilm, draw_ids


def encode(words: Tensor) -> Tensor:
    return words[:, :2].float() * 10


def look_up(cache: WordCache, numbers: list[int]) -> list[int]:
    """Look words up; returns those that were encoded."""
    seen: list[int] = []

    def count(words: Tensor) -> Tensor:
        seen.extend(words[:, 0].tolist())
        return encode(words)

    words, keys, inverse = find_distinct(torch.tensor([[n, -n, 1] for n in numbers]))
    found = cache.look_up(words, keys, count)[inverse]
    assert found.tolist() == [[10.0 * n, -10.0 * n] for n in numbers]
    return seen


@given(st.integers(1, 6), st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), max_size=8))
def test_vectors_are_those_of_the_words(size: int, batches: list[list[int]]) -> None:
    cache = WordCache(torch.empty(size, 2))
    for batch in batches:
        look_up(cache, batch)
        assert len(cache.places) <= size
        assert len(set(cache.places.values())) == len(cache.places)


def test_each_word_is_encoded_once() -> None:
    cache = WordCache(torch.empty(10, 2))
    assert look_up(cache, [1, 2, 1, 2]) == [1, 2]
    assert look_up(cache, [2, 3, 1]) == [3]


def test_the_word_used_longest_ago_is_forgotten() -> None:
    cache = WordCache(torch.empty(2, 2))
    look_up(cache, [1, 2])
    look_up(cache, [1])
    assert look_up(cache, [3]) == [3]
    assert look_up(cache, [1]) == []
    assert look_up(cache, [2]) == [2]


def test_more_words_than_the_cache_holds() -> None:
    cache = WordCache(torch.empty(2, 2))
    assert look_up(cache, [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert look_up(cache, [4, 5]) == []


def test_distinct_words_and_where_they_stand() -> None:
    words = torch.tensor([[1, 2], [3, 4], [1, 2], [1, 3]])
    distinct, keys, inverse = find_distinct(words)
    assert distinct.tolist() == [[1, 2], [3, 4], [1, 3]]
    assert torch.equal(distinct[inverse], words)
    assert len(set(keys)) == 3


def run(encoder: BiLM, ids: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.stack(encoder(ids, torch.ones(ids.shape[:2], dtype=torch.bool)))


def test_results_are_equal_with_and_without() -> None:
    cached, plain = build_bilm(word_cache=5), build_bilm(word_cache=0)
    for seed in range(4):
        ids = draw_ids(cached, 3, 4, seed=seed % 2)
        torch.testing.assert_close(run(cached, ids), run(plain, ids), rtol=1e-5, atol=1e-6)


def test_changed_weights_empty_the_cache() -> None:
    encoder, ids = build_bilm(word_cache=50), None
    ids = draw_ids(encoder, 3, 4)
    before = run(encoder, ids)
    with torch.no_grad():
        encoder.token_encoder.embedding.weight.mul_(2)
    after = run(encoder, ids)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(run(encoder.train().eval(), ids), after, rtol=1e-5, atol=1e-6)


def test_training_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_bilm(word_cache=50)
    ids = draw_ids(encoder, 3, 4)
    run(encoder, ids)
    monkeypatch.setattr(WordCache, "look_up", None)
    encoder.train()(ids, torch.ones(3, 4, dtype=torch.bool))[-1].sum().backward()
    assert encoder.token_encoder.embedding.weight.grad.any()


def test_threads_share_it() -> None:
    encoder, plain = build_bilm(word_cache=7), build_bilm(word_cache=0)
    batches = [draw_ids(encoder, 2, 3, seed=seed % 5) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ids: run(encoder, ids), batches))
    for ids, vectors in zip(batches, found, strict=True):
        torch.testing.assert_close(vectors, run(plain, ids), rtol=1e-5, atol=1e-6)


class Interrupted(dict[bytes, int]):
    """Interrupted where it is told something, for the n-th time."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __setitem__(self, key: bytes, value: int) -> None:
        super().__setitem__(key, value)
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt

    def pop(self, key: bytes, *default: object) -> object:
        value = super().pop(key, *default)
        if self.n == 0:
            raise KeyboardInterrupt
        return value


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_an_interrupted_update_leaves_nothing_wrong(n: int) -> None:
    """5 times: three words are kept, two of them used again."""
    cache = WordCache(torch.zeros(10, 2))
    cache.places = Interrupted(n)
    with pytest.raises(KeyboardInterrupt):
        look_up(cache, [1, 2, 3])
        look_up(cache, [1, 2])
    cache.places = dict(cache.places)
    for words in ([1, 2, 3], [4, 5], [1, 2, 3, 4, 5]):
        look_up(cache, words)
    assert len(set(cache.places.values())) == len(cache.places)
