"""Measures one precision, in a process of its own, whose memory is that of the precision."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..cache.feature_cache import FeatureCache
from ..component import ContextualEmbedder
from ..encoders.kernels.linear import multiply
from ..stack.name_encoders import list_encoders

#: Texts whose vectors are compared, and whose operations are counted.
N_COMPARED = 32

#: Rows and columns of the product that gives the machine's limit, and seconds for it.
ROWS, COLUMNS, SECONDS = 1024, 768, 0.2

#: The type of the factors of products.
DTYPES = {"fp32": torch.float32, "medium": torch.bfloat16, "bf16": torch.bfloat16}

#: Where Linux says what a process holds.
STATUS = Path("/proc/self/status")

#: The worker of this process.
WORKERS: list["Worker"] = []


def start(*arguments: Any) -> None:
    WORKERS.append(Worker(*arguments))


def call(name: str, *arguments: Any) -> Any:
    """Call a method of this process's worker."""
    return getattr(WORKERS[0], name)(*arguments)


class Worker:
    """A pipeline with one precision of inference, and without caches."""

    def __init__(self, pipeline: str, precision: str, texts: list[str]) -> None:
        self.nlp, self.precision, self.texts = spacy.load(pipeline), precision, texts
        for _, shim in list_encoders(self.nlp):
            if precision in shim.embedder.encoder.precisions:
                shim.embedder.encoder.set_precision(precision)
        self.embedders = [p for _, p in self.nlp.pipeline if isinstance(p, ContextualEmbedder)]
        self.caches = [pipe.cache for pipe in self.embedders]
        for pipe in self.embedders:
            pipe.cache = None

    def measure_speed(self, threads: int, batch_size: int, seconds: float) -> dict[str, float]:
        """Encode batches of texts until the time is over."""
        torch.set_num_threads(threads)
        texts, n_words = cycle(self.texts), 0
        start, cpu = time.perf_counter(), time.process_time()
        while (taken := time.perf_counter() - start) < seconds or not n_words:
            batch = list(islice(texts, batch_size))
            n_words += count_words(batch)
            for _ in self.nlp.pipe(batch, batch_size=batch_size):
                pass
        return {"words": n_words / taken, "cpu": (time.process_time() - cpu) / taken}

    def measure_latency(self, threads: int, seconds: float) -> dict[str, list[float]]:
        """Seconds of single texts, the shorter half of all."""
        torch.set_num_threads(threads)
        short = sorted(self.texts, key=len)[: max(len(self.texts) // 2, 1)]
        found: list[float] = []
        for text in cycle(short):
            start = time.perf_counter()
            self.nlp(text)
            found.append(time.perf_counter() - start)
            if sum(found) >= seconds:
                break
        return {"seconds": found}

    def measure_processes(self, n: int, batch_size: int, seconds: float, words: float) -> float:
        """Words a second of `nlp.pipe(n_process=n)`, once each process has done a batch.

        words: a second, as expected, so that it takes as long as it should.
        """
        # Where processes do not fork, they read this when they start.
        os.environ["OMP_NUM_THREADS"] = "1"
        n_first = n * batch_size
        texts = list(repeat_texts(self.texts, words * seconds, 4 * n_first))
        docs = self.nlp.pipe(texts, n_process=n, batch_size=batch_size)
        for _ in islice(docs, n_first):
            pass
        start = time.perf_counter()
        for _ in docs:
            pass
        return count_words(texts[n_first:]) / (time.perf_counter() - start)

    def measure_cache(self, batch_size: int) -> dict[str, float]:
        """The share of texts that a cache knows, in a first and in a second pass, and words a
        second of the second one. The cache is a new one in memory."""
        for pipe, cache in zip(self.embedders, self.caches, strict=True):
            pipe.cache = cache and FeatureCache(
                None, dtype=cache.dtype, max_megabytes=cache.max_megabytes
            )
        found: dict[str, float] = {}
        for turn in ("first", "second"):
            before, start = self.count(), time.perf_counter()
            for _ in self.nlp.pipe(self.texts, batch_size=batch_size):
                pass
            found["words"] = count_words(self.texts) / (time.perf_counter() - start)
            counts = self.count() - before
            n_asked = counts["cache_hits"] + counts["cache_misses"]  # 0 where it cannot be used
            found[turn] = counts["cache_hits"] / max(n_asked, 1)
        return found

    def count(self) -> Counter[str]:
        return sum((pipe.counts for pipe in self.embedders), Counter())

    def measure_memory(self) -> float:
        """The most megabytes that this process has held; 0 on systems other than Linux."""
        if not STATUS.exists():
            return 0.0
        found = STATUS.read_text(encoding="utf8").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in found if line.startswith("VmHWM"))

    def measure_limit(self, threads: int) -> float:
        """Operations a second of a large product, by the faster of two routines."""
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return 2 * ROWS * COLUMNS**2 / min(time_products(self.precision))

    def find_vectors(self) -> Any:
        """The vectors of the tokens of some texts, side by side where several components write
        some. (n, width)"""
        docs = [self.nlp.make_doc(text) for text in self.texts[:N_COMPARED]]
        found: list[Any] = []
        for _, pipe in self.nlp.pipeline:
            if pipe in self.embedders:
                outputs = pipe.predict(docs)
                found.append(np.concatenate([one.vectors for one in outputs]))
                pipe.set_annotations(docs, outputs)
            elif len(found) < len(self.embedders):
                docs = [pipe(doc) for doc in docs]
        return np.concatenate(found, axis=1)

    def count_operations(self) -> float:
        """Floating-point operations of the encoders for each word."""
        texts = self.texts[:N_COMPARED]
        mapping: dict[Any, Callable[..., int]] = {
            torch.ops.aten._int_mm: count_linear,
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count_attention,
        }
        if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # not in builds without oneDNN
            mapping[torch.ops.mkldnn._linear_pointwise] = count_linear
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            for _ in self.nlp.pipe(texts):
                pass
        return counter.get_total_flops() / count_words(texts)


def count_linear(x: Any, weight: Any, *others: Any, out_shape: Any = None, **settings: Any) -> int:
    """x: (n, in). The weight may be packed, and says no shape; the result does."""
    return 2 * x[0] * x[1] * out_shape[1]


def count_attention(q: Any, k: Any, v: Any, *others: Any, **settings: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


def time_products(precision: str) -> Iterator[float]:
    """Seconds of one product of a type, again and again."""
    dtype = DTYPES.get(precision, torch.float32)
    x, weight = torch.randn(ROWS, COLUMNS).to(dtype), torch.randn(COLUMNS, COLUMNS).to(dtype)
    ways: list[Callable[[], Any]] = [lambda: multiply(x, weight), lambda: torch.mm(x, weight.T)]
    if precision == "int8":
        rows, columns = (one.mul(20).to(torch.int8) for one in (x, weight.T))
        ways = [lambda: torch._int_mm(rows, columns)]
    end = time.perf_counter() + SECONDS
    for way in cycle(ways):
        start = time.perf_counter()
        way()
        yield time.perf_counter() - start
        if time.perf_counter() > end:
            return


def repeat_texts(texts: list[str], n_words: float, n_least: int) -> Iterator[str]:
    """Texts over and over, until there are so many words and texts."""
    for i, text in enumerate(cycle(texts)):
        if n_words <= 0 and i >= n_least:
            return
        n_words -= len(text.split())
        yield text


def count_words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)
