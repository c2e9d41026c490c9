"""Texts of several requests go through the model together.

One thread has the model. While it computes, texts wait in a queue; then it takes as many of them,
in their order, as the budget of tokens allows. Where it is idle, a text waits a moment for others.
"""

import asyncio
import contextvars
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import Errors
from .read_docs import Found
from .refusals import Refusal, refuse
from .settings import Settings

#: The weight of earlier batches in the average speed, when another one is added.
KEPT = 0.8

#: The share of the timeout that the queue may need. Under a flood of requests, which takes time as
#: well, it needs several times as long.
QUEUE_SHARE = 0.2

#: Times the timeout after which a batch is thought never to end.
STUCK = 10


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


class Speed:
    """Of the last batches together, so that a small one, which is slow, counts little."""

    def __init__(self) -> None:
        self.n_tokens, self.seconds = 0.0, 0.0

    @property
    def seconds_a_token(self) -> float:
        return self.seconds / self.n_tokens if self.n_tokens else 0.0

    def note(self, n_tokens: int, seconds: float) -> None:
        self.n_tokens = KEPT * self.n_tokens + n_tokens
        self.seconds = KEPT * self.seconds + seconds

    def doubt(self) -> None:
        """A text was refused because of it, and only batches can correct it."""
        self.seconds *= KEPT


class Batcher:
    """compute: what runs in the thread: a result for each of the texts it is given.
    note_batch: is told of each batch its texts and its seconds.
    warm_up: runs in the thread first. What it raises, this raises."""

    def __init__(
        self,
        compute: Callable[[list[Any]], Sequence[Any]],
        settings: Settings,
        note_batch: Callable[[int, float], None],
        warm_up: Callable[[], object] = lambda: None,
    ) -> None:
        self.compute, self.settings, self.note_batch = compute, settings, note_batch
        self.queue: deque[Waiting] = deque()
        self.n_tokens = 0
        self.speed = Speed()
        self.is_closed = False
        self.began = math.inf
        self.changed = threading.Condition()
        run = contextvars.copy_context().run  # Thinc keeps there which device computes
        self.thread = threading.Thread(target=run, args=(self.begin, warm_up), daemon=True)
        self.is_warm: Future[object] = Future()
        self.thread.start()
        self.is_warm.result()

    def submit(self, asked: Sequence[tuple[Any, int]]) -> Job:
        """Put texts in the queue, each with its tokens, about. Raises Refusal."""
        job, now = Job(len(asked)), time.monotonic()
        n_tokens = sum(n for _, n in asked)
        with self.changed:
            self.check_room(len(asked), n_tokens)
            self.queue.extend(Waiting(job, i, *one, now) for i, one in enumerate(asked))
            self.n_tokens += n_tokens
            self.changed.notify()
        return job

    def check_room(self, n: int, n_tokens: int) -> None:
        """Raise 503 E821 or E810, or 413 E823 for what cannot be done in time."""
        if self.is_closed or not self.is_well():
            raise Refusal(503, Errors.E821.format(reason="the model has stopped"))
        seconds, timeout = n_tokens * self.speed.seconds_a_token, self.settings.timeout
        if seconds > timeout:
            self.speed.doubt()
            raise Refusal(413, Errors.E823.format(seconds=seconds, limit=timeout))
        self.check_queue(n)

    def check_queue(self, n: int = 1) -> None:
        """Raise 503 E810 where so many texts cannot wait besides those that do."""
        seconds = self.n_tokens * self.speed.seconds_a_token
        is_long = seconds > QUEUE_SHARE * self.settings.timeout
        if is_long or len(self.queue) + n > self.settings.queue_size:
            headers = {"Retry-After": str(max(1, math.ceil(seconds)))}
            raise Refusal(503, Errors.E810.format(n=len(self.queue)), headers)

    def is_well(self) -> bool:
        """Whether the model can still answer."""
        is_stuck = time.monotonic() - self.began > STUCK * self.settings.timeout
        return self.thread.is_alive() and not is_stuck

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
        self.thread.join(self.settings.timeout if self.queue else 1.0)

    def begin(self, warm_up: Callable[[], object]) -> None:
        try:
            self.is_warm.set_result(warm_up())
        except BaseException as error:
            self.is_warm.set_exception(error)
        else:
            self.work()

    def work(self) -> None:
        while self.queue or not self.is_closed:
            if batch := self.take():
                for one, found in self.compute_batch(batch):
                    one.job.put(one.place, found)

    def compute_batch(self, batch: list[Waiting]) -> list[tuple[Waiting, Any]]:
        """Each text with what was found of it."""
        self.began = time.monotonic()
        try:
            found = [*zip(batch, self.compute([one.asked for one in batch]), strict=True)]
        except BaseException as error:  # of whatever kind: the thread must live on
            found = [*zip(batch, [Found(refuse(error))] * len(batch), strict=True)]
        seconds = time.monotonic() - self.began
        self.began = math.inf
        self.speed.note(sum(one.n_tokens for one in batch), seconds)
        self.note_batch(len(batch), seconds)
        return found

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
