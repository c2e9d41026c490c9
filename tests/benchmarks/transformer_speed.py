"""How fast a published checkpoint of BERT's kind is here and with other packages.

    python tests/benchmarks/transformer_speed.py CHECKPOINT --text FILE_OR_FOLDER
        --spacy-transformers PYTHON --curated PYTHON --hf PYTHON
        --onnxruntime PYTHON --openvino PYTHON
        [--rounds 3] [--threads 1 2] [--words 10000] [--output FILE]

Each contestant runs in a process of its own (transformer_worker.py), under the Python of an
environment that has it; one without a Python is left out. The files that onnxruntime and OpenVINO
run are written by `export onnx`, under --ctxemb. All load the same checkpoint and get the same
texts: short documents of one to three sentences, and long ones of a thousand words and more. They
take turns, `rounds` times. A spaCy pipeline is timed as a whole, its tokenizer included.

For each contestant: words a second, the median and the range of the rounds; words a second of CPU
time, which other programs disturb less; words a second as a multiple of spacy-transformers; the
floating-point operations of the pieces it encoded, overlaps of windows included and padding not,
as a share of what matrix products of the model's own shapes reach in the same rounds (in bf16
where its products are in bf16, else in fp32); the steps it computed, with overlaps and padding, for
each piece that the contestant with the fewest encoded; the largest memory of its process; the
seconds from the start of its Python to a loaded model; and megabytes on disk.

Then how far the mean vectors of the first short documents are from those of transformers.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from transformer_texts import count_words, read_sets

WORKER = Path(__file__).with_name("transformer_worker.py")
REFERENCE = "transformers"
BASELINE = "spacy-transformers"
#: Documents whose vectors are compared; short enough to be one window everywhere.
COMPARED, COMPARED_WORDS = 50, 60
#: The products that bound a precision, where they are not in fp32.
LIMITS = {"medium": "bf16", "bf16": "bf16"}
#: Programs that run the model in the ONNX format, and their precisions.
ENGINES = {"onnxruntime": ["fp32", "int8"], "openvino": ["fp32", "bf16", "int8"]}


class Contestant:
    """A process that waits for commands.

    title: in the table. name: its name in transformer_peers.py. log: where it writes its messages.
    """

    def __init__(
        self,
        title: str,
        name: str,
        python: str,
        folder: Path,
        options: dict[str, Any],
        threads: int,
        log: IO[str],
    ) -> None:
        self.title, self.precision = title, options.get("precision", "fp32")
        self.disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        self.seconds: dict[str, list[float]] = {}
        self.cpu_seconds: dict[str, list[float]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        command = [python, str(WORKER), "run", name, str(folder), json.dumps(options)]
        self.process = subprocess.Popen(
            command,
            env=make_environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf8",
        )
        self.load = self.receive()["load"]

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return self.receive()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"It ended with code {self.process.wait()}.")
        reply: dict[str, Any] = json.loads(line)
        self.memory = reply.pop("MB")
        return reply

    def end(self) -> None:
        self.process.communicate()


def main() -> None:
    arguments = parse_arguments()
    sets = read_sets(arguments.text, arguments.words)
    for name, docs in sets.items():
        print(f"{name}: {len(docs)} documents, {count_words(docs)} words")
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(build_contestants(arguments, Path(folder)))
        results = [
            measure(chosen, sets, threads, arguments.rounds, Path(folder))
            for threads in arguments.threads
        ]
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(results, indent=2), encoding="utf8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="Documents, blank lines between")
    parser.add_argument("--ctxemb", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--spacy-transformers", metavar="PYTHON")
    parser.add_argument("--curated", metavar="PYTHON")
    parser.add_argument("--hf", metavar="PYTHON", help="with sentence-transformers")
    parser.add_argument("--onnxruntime", metavar="PYTHON", help="with tokenizers and torch")
    parser.add_argument("--openvino", metavar="PYTHON", help="with tokenizers and torch")
    parser.add_argument("--precisions", nargs="*", default=["fp32", "medium", "bf16", "int8"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--words", type=int, default=10_000, help="in each of the two sets")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args()


def build_contestants(
    arguments: argparse.Namespace, folder: Path
) -> Iterator[tuple[str, str, str, Path, dict[str, Any]]]:
    """Title, name, Python, folder and options of each contestant that can take part."""
    checkpoint = arguments.checkpoint.resolve()
    shapes = list_shapes(checkpoint)
    yield "limit", "limit", arguments.hf or arguments.ctxemb, checkpoint, {"shapes": shapes}
    pythons = {
        "ctxemb": arguments.ctxemb,
        "spacy-transformers": arguments.spacy_transformers,
        "curated": arguments.curated,
    }
    for name, python in pythons.items():
        output = folder / name
        if python is None or not build(name, python, checkpoint, output):
            print(f"{name}: left out{'' if python else ', as no Python is given for it'}")
        elif name == "ctxemb":
            for precision in arguments.precisions:
                yield f"{name} {precision}", name, python, output, {"precision": precision}
        else:
            yield name, name, python, output, {}
    for name in (REFERENCE, "sentence-transformers"):
        if arguments.hf is None:
            print(f"{name}: left out, as no Python is given for it")
        else:
            yield name, name, arguments.hf, checkpoint, {}
    for name, precisions in ENGINES.items():
        python, output = getattr(arguments, name), folder / "onnx"
        if python is None:
            print(f"{name}: left out, as no Python is given for it")
        elif output.exists() or build(name, arguments.ctxemb, checkpoint, output):
            for precision in precisions:
                yield f"{name} {precision}", name, python, output, {"precision": precision}


def build(name: str, python: str, checkpoint: Path, folder: Path) -> bool:
    """Whether a contestant could write its pipeline. If not, its last words are printed."""
    command = [python, str(WORKER), "build", name, str(checkpoint), str(folder)]
    done = subprocess.run(command, env=make_environment(1), capture_output=True, encoding="utf8")
    if done.returncode:
        print(f"{name}: {find_message(done.stderr)}")
    return done.returncode == 0


def find_message(output: str) -> str:
    """The last words of a process that failed; frames are drawn around some."""
    lines = [line.strip("│ ") for line in output.splitlines() if re.search(r"\w", line)]
    return lines[-1] if lines else "It said nothing."


def make_environment(threads: int) -> dict[str, str]:
    n = str(threads)
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    return os.environ | offline | {"OMP_NUM_THREADS": n, "RAYON_NUM_THREADS": n}


def measure(
    chosen: Iterable[tuple[str, str, str, Path, dict[str, Any]]],
    sets: dict[str, list[str]],
    threads: int,
    rounds: int,
    folder: Path,
) -> dict[str, Any]:
    """Let the contestants take turns on so many threads; print and return what came out."""
    contestants = []
    compared = [doc for doc in sets["short"] if len(doc.split()) <= COMPARED_WORDS][:COMPARED]
    vectors = {}
    for title, name, python, path, options in chosen:
        log = (folder / "messages.txt").open("w+", encoding="utf8")
        try:
            contestant = Contestant(title, name, python, path, options, threads, log)
            if title != "limit":
                for key, docs in sets.items():
                    contestant.seen[key] = contestant.ask("warm", set=key, texts=docs)
                vectors[title] = contestant.ask("pool", texts=compared)
        except RuntimeError as error:
            log.seek(0)
            print(f"{title}: left out. {error} {find_message(log.read())}")
            continue
        contestants.append(contestant)
    limit, *runners = contestants
    limits: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(rounds):
        for key in sets:
            for precision, value in limit.ask("measure").items():
                limits[precision].append(value)
            for contestant in runners:
                taken = contestant.ask("time", set=key)
                contestant.seconds.setdefault(key, []).append(taken["seconds"])
                contestant.cpu_seconds.setdefault(key, []).append(taken["cpu"])
    for contestant in contestants:
        contestant.end()
    medians = {precision: statistics.median(values) for precision, values in limits.items()}
    rows = [row for key in sets for row in summarise(runners, key, sets[key], medians, chosen)]
    result = {
        "threads": threads,
        "limit, GFLOP/s": {precision: round(value) for precision, value in medians.items()},
        "speed": rows,
        "differences from transformers": compare(vectors),
    }
    show(result)
    return result


def summarise(
    contestants: Sequence[Contestant],
    key: str,
    docs: Sequence[str],
    limits: dict[str, float],
    chosen: Iterable[tuple[str, str, str, Path, dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """A row of the table for each contestant."""
    shapes = next(options["shapes"] for title, *_, options in chosen if title == "limit")
    words = count_words(docs)
    speeds = {c.title: [words / s for s in c.seconds[key]] for c in contestants}
    baseline = statistics.median(speeds.get(BASELINE, [math.nan]))
    pieces = min(sum(c.seen[key]["lengths"]) for c in contestants)  # overlaps nowhere, or least
    for contestant in contestants:
        speed, seen = speeds[contestant.title], contestant.seen[key]
        flop = count_flop(seen["lengths"], shapes)
        rate = flop / statistics.median(contestant.seconds[key]) / 1e9
        limit = limits[LIMITS.get(contestant.precision, "fp32")]
        yield {
            "texts": key,
            "contestant": contestant.title,
            "words/s": round(statistics.median(speed)),
            "range": f"{min(speed):.0f}-{max(speed):.0f}",
            "words/CPU s": round(words / statistics.median(contestant.cpu_seconds[key])),
            f"x {BASELINE}": round(statistics.median(speed) / baseline, 2),
            "GFLOP/s": round(rate, 1),
            "of limit": round(rate / limit, 2),
            "steps a piece": round(seen["steps"] / pieces, 2),
            "MB": contestant.memory,
            "load s": round(contestant.load, 1),
            "disk MB": round(contestant.disk / 1e6, 1),
        }


def compare(vectors: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Largest differences from the reference, and from it in documents of the same pieces."""
    if REFERENCE not in vectors:
        return []
    reference = vectors[REFERENCE]
    rows = []
    for title, found in vectors.items():
        for kind in ("all", "inner"):
            if title == REFERENCE or kind not in found:
                continue
            gaps = np.abs(np.array(found[kind]) - np.array(reference[kind])).max(axis=1)
            numbers = found.get("pieces", reference["pieces"])
            same = np.array(numbers) == np.array(reference["pieces"])
            rows.append(
                {
                    "contestant": title,
                    "mean of": "all pieces" if kind == "all" else "pieces, no boundaries",
                    "documents": len(gaps),
                    "largest": float(f"{gaps.max():.2g}"),
                    "same number of pieces": int(same.sum()),
                    "largest there": float(f"{gaps[same].max(initial=0):.2g}"),
                }
            )
    return rows


def list_shapes(checkpoint: Path) -> list[tuple[int, int]]:
    """Widths before and after every linear layer of the blocks."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf8"))
    width = config.get("hidden_size", config.get("dim"))
    inner = config.get("intermediate_size", config.get("hidden_dim"))
    n_blocks = config.get("num_hidden_layers", config.get("n_layers"))
    gates = 2 if config["model_type"] == "modernbert" else 1
    return [*[(width, width)] * 4, (width, gates * inner), (inner, width)] * n_blocks


def count_flop(lengths: Iterable[int], shapes: Sequence[Sequence[int]]) -> float:
    """Of the linear layers and of the two products of attention, for sequences of those lengths."""
    weights = sum(n_in * n_out for n_in, n_out in shapes)
    width, n_blocks = shapes[0][0], len(shapes) // 6
    return float(sum(2 * weights * T + n_blocks * 4 * width * T * T for T in lengths))


def show(result: dict[str, Any]) -> None:
    limits = ", ".join(f"{name} {value}" for name, value in result["limit, GFLOP/s"].items())
    print(f"\n{result['threads']} threads; matrix products, GFLOP/s: {limits}\n")
    for rows in (result["speed"], result["differences from transformers"]):
        if rows:
            print_table(rows)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    table = [[str(value) for value in row] for row in (rows[0], *(row.values() for row in rows))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))
    print()


if __name__ == "__main__":
    main()
