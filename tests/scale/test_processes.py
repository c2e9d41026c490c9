"""Partitions in several processes."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from spacy_ctxemb.scale.processes import run_in_processes
from spacy_ctxemb.scale.write_partition import PartitionWriter

from .texts import build_job, cut_texts, read_folder, write_inputs

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"), 60)


@pytest.fixture
def killing() -> Iterator[None]:
    """Kills each process that this one starts."""
    over = Event()

    def kill() -> None:
        while not over.wait(0.02):
            for process in multiprocessing.active_children():
                process.kill()

    thread = Thread(target=kill)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.parametrize("kills", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_write_what_one_does(
    inputs: tuple[Path, Path], tmp_path: Path, kills: bool
) -> None:
    """Also if one of them is killed."""
    pipeline, texts = inputs
    one, two = tmp_path / "one", tmp_path / "two"
    partitions = cut_texts(texts, 5)
    writer = PartitionWriter(build_job(pipeline, one), -1)
    expected = [writer.write(partition) for partition in partitions]
    results = run_in_processes(2, build_job(pipeline, two), partitions)
    found = [next(results)]
    if kills:
        multiprocessing.active_children()[0].kill()
    found += results
    assert sorted(found) == expected
    assert read_folder(one) == read_folder(two)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_errors_come_back(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    job = build_job(inputs[0], tmp_path / "out")._replace(pipeline=str(tmp_path / "nothing"))
    (result, *_) = run_in_processes(1, job, cut_texts(inputs[1], 100))
    assert "[E050]" in result.error


def test_processes_that_die_again(inputs: tuple[Path, Path], tmp_path: Path, killing: None) -> None:
    job = build_job(inputs[0], tmp_path / "out")
    found = list(run_in_processes(1, job, cut_texts(inputs[1], 40)))
    assert [re.findall(r"E835|-000.*?,|code -9|texts \d+ to \d+", x.error) for x in found] == [
        ["E835", "-000000000040.parquet,", "code -9", "texts 0 to 39"],
        ["E835", "-000000000060.parquet,", "code -9", "texts 40 to 59"],
    ]
    assert str(inputs[1]) in found[0].error
    assert not multiprocessing.active_children()


def list_processes(text: str) -> list[int]:
    """The processes whose command or environment has a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            content = (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in content and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(
    inputs: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    command = ["-m", "spacy", "ctxemb", "encode", *map(str, (*inputs, folder)), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *command, "--rows-per-partition", "1"],
        env={**os.environ, "MARK_OF_THIS_TEST": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: list(folder.glob("[0-9]*.parquet")))
    assert len(list_processes(str(tmp_path))) >= 3
    process.send_signal(number)
    assert process.wait(60) != 0
    wait_until(lambda: not list_processes(str(tmp_path)))
    assert len(list(folder.glob("[0-9]*.parquet"))) < 60
