"""Cases in processes of their own, forked from a warm one, with limits of time and memory."""

import contextlib
import gc
import json
import os
import resource
import signal
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from .cases import make_case
from .run_case import Result, compare, run_import

#: Of the import and one text: seconds of the processor, and bytes.
MOST_SECONDS = 6
MOST_BYTES = 2 * 10**9

#: Seconds of the processor for all of a case, the other reader included.
PATIENCE = 60

#: Seconds after which a case hangs, on a machine however busy.
HANGS = 900


class Case(NamedTuple):
    """A case that has run. seconds and bytes: what its import took."""

    kind: str
    seed: int
    done: str
    result: Result
    seconds: float
    bytes: int


def run_case(kind: str, seed: int, place: Path) -> Case:
    """Make and run a case in a child. place: an empty folder."""
    report = place / "report.json"
    child = os.fork()
    if child == 0:
        try:
            work(kind, seed, place, report)
        finally:
            os._exit(0)
    status, usage = wait(child)
    written: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    found = written.get("result")
    result = Result(*found) if found else judge_end(status, written)
    if written.get("bytes", 0) > MOST_BYTES:
        result = Result("large", f"{written['bytes'] / 1e9:.1f} GB")
    done = written.get("done", "not made")
    seconds = written.get("seconds", usage.ru_utime + usage.ru_stime)
    return Case(kind, seed, done, result, seconds, written.get("bytes", 0))


def judge_end(status: int, written: dict[str, Any]) -> Result:
    """What became of a child that left no result."""
    if "done" not in written:
        return Result("fuzzer", f"status {status}")
    if "seconds" in written:
        return Result("unchecked", "the other reader did not end well")
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        is_slow = number in (signal.SIGXCPU, signal.SIGKILL)
        return Result("slow" if is_slow else "crash", number.name)
    return Result("crash", f"status {status}")


def wait(child: int) -> tuple[int, resource.struct_rusage]:
    """Until a child has ended; it is killed if it hangs."""
    end = time.monotonic() + HANGS
    while time.monotonic() < end:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return status, usage
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return status, usage


def work(kind: str, seed: int, place: Path, report: Path) -> None:
    """What a child does: its report is written after each step."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    silence()
    written: dict[str, Any] = {}

    def write(**news: Any) -> None:
        written.update(news)
        report.with_suffix(".new").write_text(json.dumps(written))
        report.with_suffix(".new").replace(report)

    try:
        write(done=make_case(kind, seed, place / "model"))
    except Exception:
        write(done="not made", result=Result("fuzzer", traceback.format_exc()[-400:]))
        return
    before = set_limits()
    found = run_import(kind, place / "model", place / "out")
    used = resource.getrusage(resource.RUSAGE_SELF)
    write(
        seconds=used.ru_utime + used.ru_stime - before[0], bytes=used.ru_maxrss * 1024 - before[1]
    )
    release_limits()
    write(result=found if isinstance(found, Result) else compare(kind, place / "model", found))


def silence() -> None:
    """Nothing that libraries print, even from C, is wanted."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def set_limits() -> tuple[float, int]:
    """Limits on top of what is used already: seconds and bytes are returned."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds, size = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + MOST_SECONDS + 1, PATIENCE))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * MOST_BYTES, resource.RLIM_INFINITY))
    return seconds, size


def release_limits() -> None:
    """For the other reader."""
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))


def warm_up(kind: str, place: Path, *, takes_all: bool) -> None:
    """Import what cases import, in the process from which they are forked.

    takes_all: whether every family of models is tried, so that children find all code there.
    Raises RuntimeError if a model without damage is not imported as another reader reads it.
    """
    import transformers

    from ...bert_models import WRITTEN, copy_family
    from ...elmo_models import write_model

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    names = sorted(WRITTEN) if takes_all else ["bert"]
    for name in ["elmo"] if kind == "elmo" else names:
        folder = place / f"{kind}-{name}"
        if kind == "elmo":
            write_model(folder)
        else:
            copy_family(name, folder)
        found = run_import(kind, folder, place / f"{folder.name}-out")
        result = found if isinstance(found, Result) else compare(kind, folder, found)
        if result.what != "equal":
            raise RuntimeError(f"The undamaged {name} ({kind}) is {result}.")
    gc.collect()
    gc.freeze()
