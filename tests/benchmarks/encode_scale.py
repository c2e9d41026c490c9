"""Kills `ctxemb encode` again and again, and measures it with one process, with two, and on Ray.

    python -m tests.benchmarks.encode_scale --kills 20
    python -m tests.benchmarks.encode_scale --rounds 5 --texts 20000

Kills: a run is left alone once. Then the same run is killed by SIGKILL at a random moment, started
again, and so on; one that ends before there have been as many kills as wanted is compared, and
another one is begun. A quarter of the moments are drawn from the time a run takes to start, the
others come after a partition has been written. With processes, half of the kills are of the command
alone, half of it and its workers. Compared bit by bit: all partitions, and the files of texts that
failed. A partition that was there before a kill must not be written again.

Rounds: words/s of the whole command, and of the time between its first and its last partition, one
way after the other, several times. The English weights of the package encode sentences of 12 words.

Ray runs beside the commands, on a cluster of this machine. Exit code 1 where a run differs.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spacy
import typer

from spacy_ctxemb.bulk.encoder_digest import digest_encoder

#: Ways to run the command: their options, and PyTorch's threads, if not one a core.
WAYS: dict[str, tuple[list[str], int | None]] = {
    "thread": ([], 1),
    "process": ([], None),
    "workers": (["--workers", "2"], None),
    "ray": (["--ray", "--workers", "2"], None),
}

WORDS = "the bank raised rates while otters slept near a quiet green river".split()

#: Partitions that a run gets done before it is killed, at most.
MOST = 4


def main(
    kills: int = typer.Option(0, help="Of each way"),
    rounds: int = typer.Option(0, help="Of each way"),
    texts: int = typer.Option(20_000, help="Of a measurement"),
    ways: str = typer.Option(",".join(WAYS), help="Separated by commas"),
    seed: int = typer.Option(0, help="Of the moments"),
    output: Path | None = typer.Option(None, help="JSON file to write"),
) -> None:
    """Kill runs, measure them, or both."""
    chosen = ways.split(",")
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, cluster("ray" in chosen) as at:
        folder = Path(name)
        nlp = spacy.blank("en")
        nlp.add_pipe("ctxemb")
        digest_encoder(nlp)
        nlp.to_disk(folder / "pipeline")
        if kills:
            for way in [way for way in chosen if "--workers" in WAYS[way][0]]:
                result[f"kills, {way}"] = kill_often(folder, way, at, kills, random.Random(seed))
        if rounds:
            result["words/s"] = measure(folder, chosen, at, rounds, texts)
    print(json.dumps(result, indent=2))
    if output is not None:
        output.write_text(json.dumps(result, indent=2), encoding="utf8")
    if any(value["differences"] for name, value in result.items() if name.startswith("kills")):
        raise typer.Exit(1)


@contextmanager
def cluster(is_wanted: bool) -> Iterator[str]:
    """The address of a cluster of Ray on this machine."""
    if not is_wanted:
        yield ""
        return
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    yield started.address
    started.shutdown()


def start(
    folder: Path, way: str, address: str, output: Path, rows: int
) -> "subprocess.Popen[bytes]":
    """Begin a run, or go on with it."""
    options, threads = WAYS[way]
    command = [sys.executable, "-W", "ignore", "-m", "spacy", "ctxemb", "encode", *options]
    command += ["--ray-address", address] if "--ray" in options else []
    paths = (folder / "pipeline", folder / "texts.jsonl", output)
    environment = {**os.environ}
    environment.pop("OMP_NUM_THREADS", None)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return subprocess.Popen(
        [*command, *map(str, paths), "--rows-per-partition", str(rows)],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors.txt").open("wb"),
        start_new_session=True,
        env=environment,
    )


def finish(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of a run, which is to be a good one."""
    if process.wait():
        shown = (folder / "errors.txt").read_text(encoding="utf8", errors="replace")
        raise SystemExit(f"A run ended with code {process.returncode}:\n{shown}")


def write_texts(folder: Path, n: int, *, bad: bool) -> None:
    """Texts of 12 words in another order each. bad: whether some of them fail."""
    rng = random.Random(n)
    with (folder / "texts.jsonl").open("w", encoding="utf8") as file:
        for i in range(n):
            text = " ".join(rng.sample(WORDS, len(WORDS)))
            file.write(json.dumps({"text": "\ud800" if bad and i % 50 == 7 else text}) + "\n")


def list_partitions(output: Path) -> dict[str, int]:
    """When each partition was written."""
    found = {}
    for path in output.glob("[0-9]*.parquet"):
        found[path.name] = path.stat().st_mtime_ns
    return found


def read_all(output: Path) -> dict[str, bytes]:
    paths = [*output.glob("[0-9]*.parquet"), *output.glob("_failed-*")]
    return {path.name: path.read_bytes() for path in paths}


def kill_often(
    folder: Path, way: str, address: str, n_kills: int, rng: random.Random
) -> dict[str, Any]:
    """Kill runs, and compare each with one that was left alone."""
    rows = 20
    write_texts(folder, n_kills * MOST * rows // 2, bad=True)
    whole = folder / f"whole {way}"
    begin = time.monotonic()
    process = start(folder, way, address, whole, rows)
    while not list_partitions(whole) and process.poll() is None:
        time.sleep(0.01)
    to_start = time.monotonic() - begin
    finish(folder, process)
    expected, killed, differences, n_runs = read_all(whole), 0, [], 0
    while killed < n_kills:
        output = folder / f"killed {way} {n_runs}"
        before: dict[str, int] = {}
        while killed < n_kills:
            process = start(folder, way, address, output, rows)
            if not kill(process, output, to_start, rng, is_group=way == "workers"):
                break
            killed += 1
            seen = list_partitions(output)
            differences += [f"{n}: again" for n, when in before.items() if seen.get(n) != when]
            before = seen
        else:
            process = start(folder, way, address, output, rows)
        finish(folder, process)
        seen = list_partitions(output)
        differences += [f"{n}: again" for n, when in before.items() if seen.get(n) != when]
        found = read_all(output)
        names = expected.keys() | found.keys()
        differences += [n for n in names if found.get(n) != expected.get(n)]
        n_runs += 1
    values = {"kills": killed, "runs": n_runs, "partitions": len(list_partitions(whole))}
    return {**values, "differences": differences}


def kill(
    process: "subprocess.Popen[bytes]",
    output: Path,
    to_start: float,
    rng: random.Random,
    *,
    is_group: bool,
) -> bool:
    """Kill a run at a random moment. Returns whether it had not ended before."""
    n_before, most = len(list_partitions(output)), rng.randrange(1, MOST + 1)
    end = time.monotonic() + (rng.uniform(0, to_start) if rng.random() < 0.25 else 600)
    while process.poll() is None:
        if time.monotonic() > end or len(list_partitions(output)) >= n_before + most:
            break
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    if process.poll() is not None:
        return False
    if is_group and rng.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return True


def measure(
    folder: Path, ways: list[str], address: str, rounds: int, n_texts: int
) -> dict[str, Any]:
    """Words/s of the ways by turns."""
    write_texts(folder, n_texts, bad=False)
    n_words = n_texts * len(WORDS)
    found: dict[str, dict[str, list[int]]] = {way: {"whole": [], "steady": []} for way in ways}
    for number in range(rounds):
        for way in ways:
            output = folder / f"{number} {way}"
            begin = time.monotonic()
            finish(folder, start(folder, way, address, output, max(n_texts // 20, 1)))
            found[way]["whole"].append(round(n_words / (time.monotonic() - begin)))
            times = sorted(list_partitions(output).values())
            share = (len(times) - 1) / len(times)
            seconds = (times[-1] - times[0]) / 1e9
            found[way]["steady"].append(round(n_words * share / seconds))
    for values in found.values():
        values["median"] = [int(statistics.median(values[x])) for x in ("whole", "steady")]
    return found


if __name__ == "__main__":
    typer.run(main)
