"""Which texts go through the model together, and when."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from spacy_ctxemb.serving.batcher import Batcher, Job, Speed
from spacy_ctxemb.serving.refusals import Refusal
from spacy_ctxemb.serving.settings import Settings


class Model:
    """Gives each text back in upper case; the first batch waits until the test goes on."""

    def __init__(self, **settings: Any) -> None:
        self.go_on, self.batches = threading.Event(), list[list[str]]()
        self.noted: list[int] = []
        chosen = {"batch_wait_ms": 0.0, "max_texts": 1, **settings}
        self.batcher = Batcher(self.compute, Settings(**chosen), self.note)

    def compute(self, texts: list[str]) -> list[str]:
        self.batches.append(texts)
        assert self.go_on.wait(20)
        return [text.upper() for text in texts]

    def note(self, n: int, seconds: float) -> None:
        self.noted.append(n)

    async def begin(self) -> Job:
        """Let the model have work."""
        job = self.submit("first")
        while not self.batches:
            await asyncio.sleep(0.001)
        return job

    def submit(self, *texts: str, size: int = 10) -> Job:
        return self.batcher.submit([(text, size) for text in texts])


def run(test: Callable[[Model], Coroutine[Any, Any, None]], **settings: Any) -> Model:
    model = Model(**settings)
    try:
        asyncio.run(test(model))
    finally:
        model.go_on.set()
        model.batcher.close()
    assert not model.batcher.thread.is_alive()
    return model


def test_what_waits_goes_together_as_far_as_the_budget_reaches() -> None:
    async def ask(model: Model) -> None:
        await model.begin()
        one, two = model.submit("a", "b"), model.submit("c", "d")
        long = model.submit("long", size=500)
        model.go_on.set()
        assert await one.future == ["A", "B"]
        assert await two.future == ["C", "D"]
        assert await long.future == ["LONG"]

    model = run(ask, batch_tokens=30)
    assert model.batches == [["first"], ["a", "b", "c"], ["d"], ["long"]]
    assert model.noted == [1, 3, 1, 1]
    assert model.batcher.n_tokens == 0


def test_the_queue_has_an_end() -> None:
    async def ask(model: Model) -> None:
        first = await model.begin()
        model.submit("a", "b")
        with pytest.raises(Refusal):
            model.submit("c", "d")
        third = model.submit("c")
        model.go_on.set()
        assert await first.future == ["FIRST"]
        assert await third.future == ["C"]

    run(ask, queue_size=3)


def test_a_job_that_is_dropped_makes_room_and_is_not_computed() -> None:
    async def ask(model: Model) -> None:
        await model.begin()
        dropped = model.submit("a", "b")
        model.batcher.drop(dropped)
        assert model.batcher.n_tokens == 0
        kept = model.submit("c", "d", "e")
        model.go_on.set()
        assert await kept.future == ["C", "D", "E"]
        assert dropped.future.cancelled()

    assert run(ask, queue_size=3).batches == [["first"], ["c", "d", "e"]]


def test_a_job_that_is_dropped_while_it_is_computed() -> None:
    async def ask(model: Model) -> None:
        model.batcher.drop(await model.begin())
        model.go_on.set()
        assert await model.submit("a").future == ["A"]

    run(ask)


def test_a_text_waits_for_others_but_not_long() -> None:
    async def ask(model: Model) -> None:
        model.go_on.set()
        start = time.monotonic()
        one = model.submit("a")
        await asyncio.sleep(0.05)
        two = model.submit("b")
        assert await one.future == ["A"] and await two.future == ["B"]
        assert 0.25 < time.monotonic() - start < 10

    assert run(ask, batch_wait_ms=300.0).batches == [["a", "b"]]


def test_a_full_batch_does_not_wait() -> None:
    async def ask(model: Model) -> None:
        model.go_on.set()
        job = model.submit("a", "b")
        assert await asyncio.wait_for(job.future, 20) == ["A", "B"]

    run(ask, batch_wait_ms=60_000.0, batch_tokens=20)


def test_what_waits_is_computed_before_the_end() -> None:
    async def ask(model: Model) -> None:
        await model.begin()
        job = model.submit("a", size=5)
        closing = asyncio.create_task(asyncio.to_thread(model.batcher.close))
        await asyncio.sleep(0.01)
        model.go_on.set()
        await closing
        assert await job.future == ["A"]

    run(ask, batch_wait_ms=60_000.0, batch_tokens=10)


def test_a_client_whose_loop_has_ended_hurts_nobody() -> None:
    async def ask(model: Model) -> None:
        await model.begin()

    model = run(ask)
    assert model.batches == [["first"]]


def test_a_small_batch_says_little_of_the_speed() -> None:
    speed = Speed()
    assert speed.seconds_a_token == 0.0
    speed.note(1000, 2.0)
    assert speed.seconds_a_token == 0.002
    speed.note(1, 0.1)  # fifty times slower
    assert speed.seconds_a_token == pytest.approx((0.8 * 2.0 + 0.1) / (0.8 * 1000 + 1))
    for _ in range(30):
        speed.note(1000, 4.0)
    assert speed.seconds_a_token == pytest.approx(0.004, rel=0.01)


def test_a_refusal_says_how_long_it_may_take() -> None:
    async def ask(model: Model) -> None:
        model.batcher.speed.note(10, 6.0)
        await model.begin()
        model.submit("a", size=20)
        with pytest.raises(Refusal) as full:
            model.submit("b")
        assert full.value.status == 503 and full.value.headers == {"Retry-After": "12"}

    run(ask, queue_size=1)


def test_the_queue_is_bounded_by_the_time_that_it_needs() -> None:
    async def ask(model: Model) -> None:
        model.batcher.speed.note(10, 1.0)
        first = await model.begin()
        waiting = model.submit("a", size=160)
        with pytest.raises(Refusal, match="E810") as full:
            model.submit("b")
        assert full.value.headers == {"Retry-After": "16"}
        model.go_on.set()
        assert [await first.future, await waiting.future] == [["FIRST"], ["A"]]
        assert await model.submit("b").future == ["B"]

    run(ask, timeout=30.0)


def test_a_request_that_needs_too_long_is_refused_but_not_for_ever() -> None:
    async def ask(model: Model) -> None:
        model.batcher.speed.note(1, 1.0)
        with pytest.raises(Refusal, match="E823") as refused:
            model.submit("a", size=31)
        assert refused.value.status == 413
        model.go_on.set()
        assert await model.submit("a", size=31).future == ["A"]

    run(ask, timeout=30.0)


@pytest.mark.parametrize("error", [SystemExit(3), MemoryError(), BaseException("panic")])
def test_whatever_a_batch_raises_the_next_is_computed(error: BaseException) -> None:
    async def ask(model: Model) -> None:
        compute, model.batcher.compute = model.batcher.compute, fail
        found = await asyncio.wait_for(model.submit("a", "b").future, 20)
        assert [type(error).__name__ in one.value.message for one in found] == [True, True]
        model.batcher.compute = lambda texts: ["A"]
        found = await asyncio.wait_for(model.submit("a", "b").future, 20)
        assert ["ValueError" in one.value.message for one in found] == [True, True]
        model.batcher.compute = compute
        model.go_on.set()
        assert await asyncio.wait_for(model.submit("a").future, 20) == ["A"]

    def fail(texts: list[str]) -> list[str]:
        raise error

    run(ask)


def test_what_the_warm_up_raises() -> None:
    with pytest.raises(KeyError, match="warm"):
        Batcher(lambda texts: texts, Settings(), lambda n, seconds: None, lambda: {}["warm"])


def test_nothing_is_put_into_a_queue_that_nobody_empties() -> None:
    async def ask(model: Model) -> None:
        model.batcher.began = time.monotonic() - 301
        with pytest.raises(Refusal, match="E821"):
            model.submit("a")
        model.batcher.began = time.monotonic() - 299
        model.submit("a")
        model.go_on.set()
        await asyncio.to_thread(model.batcher.close)
        with pytest.raises(Refusal, match="E821"):
            model.submit("a")

    run(ask, timeout=30.0)
