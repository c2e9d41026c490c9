"""Which setting to take, the lines to paste, and what makes the figures doubtful."""

import json
import os
from collections.abc import Iterator
from statistics import median

from .measure import EXACT, Measured, Setting

#: A setting that is slower by less than this share is as good, if it is more exact or needs less.
EQUAL = 0.05

#: The system's load for each core from which on the machine was busy before the start.
BUSY = 0.25

#: The share of a core that one thread has where nothing else runs.
OWN_CORE = 0.8

#: More threads are not to be slower than one by this factor.
AS_FAST = 0.9


def choose(found: Measured) -> Setting:
    """The fastest setting whose vectors are near enough to those of EXACT; of settings that are as
    fast the most exact one, with the fewest processes and threads and the smallest batches."""
    fastest = max(one.speed for one in found.near)
    order = list(found.cosines)

    def count_costs(one: Setting) -> tuple[int, ...]:
        return order.index(one.precision), one.n_process, one.threads, one.batch_size

    return min((s for s in found.near if s.speed >= fastest * (1 - EQUAL)), key=count_costs)


def write_lines(found: Measured, chosen: Setting) -> str:
    """What to set in config.cfg, or to paste into a program."""
    values: dict[str, int | str] = {"nlp.batch_size": chosen.batch_size}
    for section, precisions in found.sections.items():
        if chosen.precision in precisions:
            values[f"{section}.precision"] = chosen.precision
    lines = ["# in these sections of config.cfg"]
    for name, value in values.items():
        section, _, setting = name.rpartition(".")
        lines += [f"[{section}]", f"{setting} = {json.dumps(value)}", ""]
    n_process = f", n_process={chosen.n_process}" if chosen.n_process > 1 else ""
    return "\n".join(
        [
            *lines,
            "# or in Python",
            f"nlp = spacy.load(PIPELINE, config={json.dumps(values)})",
            f"docs = nlp.pipe(texts{n_process})",
            "",
            "# in the shell, before Python starts",
            f"export OMP_NUM_THREADS={chosen.threads}",
        ]
    )


def find_doubts(found: Measured) -> Iterator[str]:
    """In plain words, what is wrong with the machine or with a setting."""
    n_cores = max(os.cpu_count() or 1, found.n_cores)  # a container sees the load of all
    if found.load > BUSY * n_cores:
        yield (
            f"Other programs were busy before the start: the load was {found.load:.1f} on "
            f"{n_cores} cores. Figures are too low, and the recommendation may be wrong. Run "
            "it again when the machine is idle."
        )
    shares = [median(one.cpu) for one in found.settings if one.threads == 1 and one.cpu]
    if shares and min(shares) < OWN_CORE:
        yield (
            f"One thread had as little as {min(shares):.0%} of a core: another program took the "
            "rest. Run it again when the machine is idle."
        )
    yield from find_slow_threads(found)
    for precision, cosine in found.cosines.items():
        if cosine < found.least_cosine:
            yield (
                f"{precision} is not recommended: the mean cosine of its vectors with those of "
                f"{EXACT} is {cosine:.4f}, and {found.least_cosine} is the least."
            )


def find_slow_threads(found: Measured) -> Iterator[str]:
    """Where several threads are slower than one, since each product waits for the last of them."""
    single = {s.precision: s for s in reversed(found.settings) if s.threads == s.n_process == 1}
    slow = [
        one
        for one in found.settings
        if one.threads > 1
        # That in other batches tells nothing; what was slow was measured once, in small ones.
        and (one.batch_size == single[one.precision].batch_size or len(one.words) == 1)
        and one.speed < AS_FAST * single[one.precision].speed
    ]
    if slow:
        worst = min(slow, key=lambda one: one.speed / single[one.precision].speed)
        yield (
            f"{worst.precision}: {worst.threads} threads reached {worst.speed:,.0f} words/s, one "
            f"thread {single[worst.precision].speed:,.0f}. PyTorch's threads wait for each other "
            "in each call: where another program, or a limit of the container, keeps a core from "
            f"one of them, the others wait. Set OMP_NUM_THREADS to fewer than {worst.threads}."
        )
