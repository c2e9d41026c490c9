"""Batches in several threads, each of which computes by itself.

PyTorch shares out each operation among its threads, and all wait for each other after it. An
encoder has many small operations. Batches side by side have no such waits.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Barrier
from typing import TypeVar

import torch

from ..fork_lock import LOCK

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Batches at a time at most; with more threads each has several of them. Each thread needs Python
#: between its operations, which one of them can have at a time.
MAX_BATCHES = 4

#: Seconds in which threads must have begun.
PATIENCE = 60.0

#: By the number of PyTorch's threads, the one used last, and of those that share them.
POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}


def count_batch_threads() -> int:
    """How many batches are computed side by side on a CPU."""
    return min(torch.get_num_threads(), MAX_BATCHES)


def map_batches(
    function: Callable[[Item], Value], items: Sequence[Item], n_threads: int
) -> Iterator[Value]:
    """The function of each item, in order, with several computed at a time. No gradients.

    Few items are computed one by one, each by all threads.
    """
    n_all = torch.get_num_threads()
    is_worth_it = 1 < n_threads <= min(len(items), n_all)
    pool = get_pool(n_all, n_threads) if is_worth_it else None
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Value]] = deque()
    try:
        for item in items:
            waiting.append(submit(pool, function, item))
            if len(waiting) > n_threads:  # what is done is not held for long
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def submit(
    pool: ThreadPoolExecutor, function: Callable[[Item], Value], item: Item
) -> Future[Value]:
    try:
        return pool.submit(run_without_gradients, function, item)
    except RuntimeError:  # Python is about to end, or another number of threads was set meanwhile
        done: Future[Value] = Future()
    done.set_result(run_without_gradients(function, item))
    return done


def run_without_gradients(function: Callable[[Item], Value], item: Item) -> Value:
    with torch.inference_mode():
        return function(item)


def get_pool(n_all: int, n_threads: int) -> ThreadPoolExecutor | None:
    """n_threads threads, which share PyTorch's n_all. None where no thread can start any more."""
    with LOCK:
        for key in [key for key in POOLS if key[0] != n_all]:
            POOLS.pop(key).shutdown(wait=False)
        if (n_all, n_threads) not in POOLS:
            try:
                POOLS[n_all, n_threads] = start_pool(n_all, n_threads)
            except RuntimeError:
                return None
        return POOLS[n_all, n_threads]


def start_pool(n_all: int, n_threads: int) -> ThreadPoolExecutor:
    shares = iter([n_all // n_threads + (i < n_all % n_threads) for i in range(n_threads)])
    pool = ThreadPoolExecutor(n_threads, "ctxemb", lambda: set_n_threads(next(shares)))
    all_began = Barrier(n_threads)
    try:
        for future in [pool.submit(all_began.wait, PATIENCE) for _ in range(n_threads)]:
            future.result()
    except BaseException:
        all_began.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        # PyTorch has also noted their number for threads that begin later.
        torch.set_num_threads(n_all)
    return pool


def set_n_threads(n: int) -> None:
    """Set PyTorch's threads for this thread."""
    torch.get_num_threads()  # takes the number noted last, as the first operation would do later
    torch.set_num_threads(n)


if hasattr(os, "register_at_fork"):  # a forked process has none of these threads
    os.register_at_fork(after_in_child=POOLS.clear)
