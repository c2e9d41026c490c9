"""Texts of several requests go through the model together.

One thread has the model. While it computes, texts wait in a queue; then it takes as many of them,
in their order, as the budget of tokens allows. Where it is idle, a text waits a moment for others.
"""

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from .settings import Settings

#: The share of the last batch in the average speed.
NEW_SHARE = 0.2


class QueueFull(Exception):
    """seconds: until there may be room."""

    def __init__(self, n_waiting: int, seconds: float) -> None:
        self.n_waiting, self.seconds = n_waiting, seconds


class Job:
    """The texts of a request. future: what was found of each; done early if nobody waits for it."""

    def __init__(self, n: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Any]] = self.loop.create_future()
        self.found: list[Any] = [None] * n
        self.n_left = n

    def put(self, place: int, found: Any) -> None:
        self.found[place] = found
        self.n_left -= 1
        if not self.n_left:
            with suppress(RuntimeError):  # the loop has been closed
                self.loop.call_soon_threadsafe(self.finish)

    def finish(self) -> None:
        if not self.future.done():
            self.future.set_result(self.found)


class Waiting(NamedTuple):
    """A text in the queue. n_tokens: about. since: by the monotonic clock."""

    job: Job
    place: int
    asked: Any
    n_tokens: int
    since: float


class Batcher:
    """compute: what runs in the thread: a result for each of the texts it is given.
    note_batch: is told of each batch its texts and its seconds."""

    def __init__(
        self,
        compute: Callable[[list[Any]], Sequence[Any]],
        settings: Settings,
        note_batch: Callable[[int, float], None],
    ) -> None:
        self.compute, self.settings, self.note_batch = compute, settings, note_batch
        self.queue: deque[Waiting] = deque()
        self.n_tokens = 0
        self.seconds_a_token = 0.0
        self.is_closed = False
        self.changed = threading.Condition()
        run = contextvars.copy_context().run  # Thinc keeps there which device computes
        self.thread = threading.Thread(target=run, args=(self.work,), daemon=True)
        self.thread.start()

    def submit(self, asked: Sequence[tuple[Any, int]]) -> Job:
        """Put texts in the queue, each with its tokens, about. Raises QueueFull."""
        job, now = Job(len(asked)), time.monotonic()
        with self.changed:
            if len(self.queue) + len(asked) > self.settings.queue_size:
                raise QueueFull(len(self.queue), self.n_tokens * self.seconds_a_token)
            self.queue.extend(Waiting(job, i, *one, now) for i, one in enumerate(asked))
            self.n_tokens += sum(n for _, n in asked)
            self.changed.notify()
        return job

    def drop(self, job: Job) -> None:
        """Take a job out of the queue that nobody waits for any more."""
        job.future.cancel()
        with self.changed:
            self.queue = deque(one for one in self.queue if one.job is not job)
            self.n_tokens = sum(one.n_tokens for one in self.queue)

    def close(self) -> None:
        """Compute what is in the queue, and end the thread."""
        with self.changed:
            self.is_closed = True
            self.changed.notify()
        self.thread.join(self.settings.timeout)

    def work(self) -> None:
        while self.queue or not self.is_closed:
            if batch := self.take():
                start = time.perf_counter()
                found = self.compute([one.asked for one in batch])
                seconds = time.perf_counter() - start
                self.note_speed(seconds / sum(one.n_tokens for one in batch))
                self.note_batch(len(batch), seconds)
                for one, result in zip(batch, found, strict=True):
                    one.job.put(one.place, result)

    def note_speed(self, seconds_a_token: float) -> None:
        before = self.seconds_a_token or seconds_a_token
        self.seconds_a_token = before + NEW_SHARE * (seconds_a_token - before)

    def take(self) -> list[Waiting]:
        """The next batch; an empty one if the clients of all texts have gone, or at the end."""
        batch: list[Waiting] = []
        left = self.settings.batch_tokens
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.is_closed)
            self.wait_for_more()
            while self.queue and (not batch or self.queue[0].n_tokens <= left):
                batch.append(self.queue.popleft())
                left -= batch[-1].n_tokens
                self.n_tokens -= batch[-1].n_tokens
        return batch

    def wait_for_more(self) -> None:
        """Until the budget is full, or the first text has waited long enough."""
        while self.queue and self.n_tokens < self.settings.batch_tokens and not self.is_closed:
            waited = time.monotonic() - self.queue[0].since
            if not self.changed.wait(max(0.0, self.settings.batch_wait_ms / 1000 - waited)):
                break
