"""Measures all settings: a process for each precision, which take turns."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import spacy
from spacy.language import Language

from ..component import ContextualEmbedder
from ..errors import Errors
from ..stack.stack import ALONE, get_members, is_encoder
from ..thinc_model.embedder_shim import get_shim
from .worker import call, start

#: The precision that others are compared with.
EXACT = "fp32"

#: The size of batches by which precisions and threads are compared, and other sizes for the best.
BATCH_SIZE, BATCH_SIZES = 64, (8, 32, 128, 256)

#: The least length by which a vector is divided.
TINY = 1e-12

#: Shares of the time: for precisions and threads, for sizes of batches, for several processes.
SHARES = (0.6, 0.2, 0.1)

#: Texts in the batches that come first. Settings that are slower than the fastest one by a factor
#: then have no more turns.
FEW, SLOW = 8, 3.0

#: Processes that are tried at most: each one holds the pipeline.
MAX_PROCESSES = 8

#: Where Linux says how much of its cores a container may use.
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")

#: Turns of each setting, and of a turn the share for single texts.
ROUNDS, LATENCY = 3, 0.3


@dataclass
class Setting:
    """One setting and what was measured of it: words a second of each turn, seconds of CPU for each
    second, and seconds of single texts."""

    precision: str
    threads: int
    batch_size: int = BATCH_SIZE
    n_process: int = 1
    words: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return median(self.words)

    def find_latency(self, percent: int) -> float:
        """Milliseconds within which so many percent of single texts were done."""
        return float(np.percentile(self.latencies, percent)) * 1000


@dataclass
class Measured:
    """All that was measured, which `--json` writes.

    least_cosine: of a precision that may be recommended.
    load: programs that were busy before the start, as the system counts them.
    sections: of the config with an encoder, and its precisions. has_cache: whether one has any.
    operations: of the encoders, for each word. limits: operations a second of a large product, by
    precision and number of threads. cosines: with the vectors of EXACT, the mean. megabytes: the
    most of a process. cache: see Worker.measure_cache; None without one.
    """

    least_cosine: float
    n_cores: int
    load: float
    sections: dict[str, list[str]]
    has_cache: bool
    settings: list[Setting] = field(default_factory=list)
    operations: float = 0.0
    limits: dict[str, dict[int, float]] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    cache: dict[str, float] | None = None

    @property
    def near(self) -> list[Setting]:
        """Settings whose vectors are near enough to those of EXACT."""
        return [
            s
            for s in self.settings
            if s.precision == EXACT or self.cosines[s.precision] >= self.least_cosine
        ]

    def find_share(self, setting: Setting) -> float:
        """What part of the machine's limit a setting reaches."""
        limit = self.limits[setting.precision][setting.threads]
        return setting.speed * self.operations / limit


class Caller:
    """Calls the worker of one precision, in its process; see worker.py."""

    def __init__(self, pipeline: str, precision: str, texts: Sequence[str]) -> None:
        self.precision = precision
        arguments = pipeline, precision, texts
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), start, arguments)

    def call(self, *arguments: Any) -> Any:
        """Call a method of the worker by its name. Raises E851 where the process has ended."""
        try:
            return self.pool.submit(call, *arguments).result()
        except BrokenProcessPool as error:
            raise RuntimeError(Errors.E851.format(precision=self.precision)) from error


def measure(
    pipeline: str | Path,
    texts: Sequence[str],
    *,
    seconds: float,
    least_cosine: float,
    say: Callable[[str], object],
) -> Measured:
    """Measure the settings of a pipeline on some texts.

    seconds: for all turns; starting the processes comes on top. least_cosine: of a precision that
        may be recommended. say: gets what is done next.
    Raises E850 for a pipeline without encoders, E851 where a process ends early.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    found = describe(spacy.load(pipeline), least_cosine, load)
    precisions = list(dict.fromkeys(p for some in found.sections.values() for p in some))
    with ExitStack() as stack:
        say(f"Load the pipeline once for each of {', '.join(precisions)}")
        workers = {p: Caller(str(pipeline), p, texts) for p in precisions}
        for worker in workers.values():
            stack.enter_context(worker.pool)
        measure_all(found, workers, seconds, say)
    return found


def describe(nlp: Language, least_cosine: float, load: float) -> Measured:
    """What there is to measure. Raises E850 where there are no encoders."""
    pipes = [(name, p) for name, p in nlp.pipeline if isinstance(p, ContextualEmbedder)]
    sections = {}
    for name, pipe in pipes:
        for member, model in get_members(pipe.model).items():
            if is_encoder(model):
                place = f".members.{member}" if member != ALONE else ""
                precisions = get_shim(model).embedder.encoder.precisions
                sections[f"components.{name}.model{place}"] = list(precisions)
    if not sections:
        raise ValueError(Errors.E850.format(names=nlp.pipe_names))
    has_cache = any(pipe.cache is not None for _, pipe in pipes)
    return Measured(least_cosine, count_cores(), load, sections, has_cache)


def measure_all(
    found: Measured,
    workers: Mapping[str, Caller],
    seconds: float,
    say: Callable[[str], object],
) -> None:
    """Fill in what is to be measured, part by part."""
    threads = sorted({1, (found.n_cores + 1) // 2, found.n_cores})
    found.cosines = compare_vectors(workers)
    found.operations = workers[EXACT].call("count_operations")
    found.limits = {
        p: {n: worker.call("measure_limit", n) for n in threads} for p, worker in workers.items()
    }
    found.settings = [Setting(p, n) for p in workers for n in threads]
    say(f"Measure {len(found.settings)} settings of precision and threads")
    take_turns(found.settings, workers, seconds * SHARES[0])
    found.megabytes = {p: worker.call("measure_memory") for p, worker in workers.items()}
    best = max(found.near, key=lambda one: one.speed)
    sizes = [Setting(best.precision, best.threads, size) for size in BATCH_SIZES]
    say(f"Measure batches of {', '.join(map(str, BATCH_SIZES))} texts")
    take_turns(sizes, workers, seconds * SHARES[1])
    found.settings += sizes
    if found.n_cores > 1:
        say(f"Measure {min(found.n_cores, MAX_PROCESSES)} processes")
        found.settings.append(measure_processes(found, workers, seconds * SHARES[2]))
    if found.has_cache:
        found.cache = workers[EXACT].call("measure_cache", BATCH_SIZE)


def take_turns(settings: list[Setting], workers: Mapping[str, Caller], seconds: float) -> None:
    """Measure settings one after the other, and again. Small batches warm them up; those that are
    slow have no more than that."""
    turn = seconds / len(settings) / (ROUNDS + 1)
    first = [measure_speed(one, FEW, workers, turn) for one in settings]
    quick = [s for s, found in zip(settings, first, strict=True) if found * SLOW > max(first)]
    for one, found in zip(settings, first, strict=True):
        if one not in quick:
            one.batch_size, one.words = FEW, [found]
    for _ in range(ROUNDS):
        for one in quick:
            one.words.append(measure_speed(one, one.batch_size, workers, turn))
            if one.batch_size == BATCH_SIZE:
                arguments = one.threads, turn * LATENCY
                found = workers[one.precision].call("measure_latency", *arguments)
                one.latencies += found["seconds"]


def measure_speed(
    one: Setting, batch_size: int, workers: Mapping[str, Caller], seconds: float
) -> float:
    arguments = one.threads, batch_size, seconds * (1 - LATENCY)
    found = workers[one.precision].call("measure_speed", *arguments)
    one.cpu.append(found["cpu"])
    return cast(float, found["words"])


def measure_processes(found: Measured, workers: Mapping[str, Caller], seconds: float) -> Setting:
    """As many processes as cores, or MAX_PROCESSES, with one thread each, in the precision that is
    fastest so."""
    single = max((s for s in found.near if s.threads == 1), key=lambda one: one.speed)
    n = min(found.n_cores, MAX_PROCESSES)
    several = Setting(single.precision, 1, BATCH_SIZE, n)
    arguments = n, BATCH_SIZE, seconds / 2, single.speed * n
    for _ in range(2):
        several.words.append(workers[single.precision].call("measure_processes", *arguments))
    return several


def compare_vectors(workers: Mapping[str, Caller]) -> dict[str, float]:
    """The mean cosine between the vectors of tokens of each precision and those of EXACT."""
    rows = {}
    for precision, worker in workers.items():
        found = worker.call("find_vectors").astype(np.float64)
        rows[precision] = found / np.linalg.norm(found, axis=1, keepdims=True).clip(TINY)
    has_vector = rows[EXACT].any(axis=1)
    return {p: float((r * rows[EXACT]).sum(1)[has_vector].mean()) for p, r in rows.items()}


def count_cores() -> int:
    """Those that this process may use, also in a container with a limit."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if CPU_LIMIT.exists():
        quota, period = CPU_LIMIT.read_text(encoding="utf8").split()
        n = n if quota == "max" else min(n, max(int(quota) // int(period), 1))
    return n
