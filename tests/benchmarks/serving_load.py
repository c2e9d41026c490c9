"""How many requests a second a service answers, how fast, and what happens when it has too many.

    python -m tests.benchmarks.serving_load --model minilm [--clients 1,8,64,256] [--seconds 60]
    python -m tests.benchmarks.serving_load --model english --contestants ours,alone
    python -m tests.benchmarks.serving_load --model english --overload 10
    python -m tests.benchmarks.serving_load --model english --kills 20

Contestants: `ours` is `ctxemb serve`; `alone` the same server with a call of the pipeline for each
request; `sentence-transformers` (MiniLM only) a common service, see serving_peer.py. Servers and
clients run in processes of their own on loopback. Each client sends a text of 5 to 60 words, waits
for its vector, and sends the next. `--overload 10` measures the capacity, then sends ten times as
many requests, then measures again. `--kills 20` kills the server under load and starts it again;
every vector is compared with the pipeline's own. `--texts` are files whose words are used.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVE = ["-m", "spacy", "ctxemb", "serve"]
PRETRAINED = {"english": "auto", "minilm": "minilm"}
CONTESTANTS = ("ours", "alone", "sentence-transformers")
HEADER = "| contestant | clients | requests/s | p50 ms | p95 | p99 | not 200 | wrong | MB |"

#: Clients that measure the capacity, and that ask while a server is killed.
CLIENTS = 64


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=PRETRAINED, default="english")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--clients", default="1,8,64,256")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--texts", type=Path, default=Path("tests/corpus"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--options", default="", help="of serve, such as '--batch-tokens 512'")
    parser.add_argument("--overload", type=float, help="how many times the capacity")
    parser.add_argument("--kills", type=int, help="how often the server is killed")
    arguments = parser.parse_args()
    texts = make_texts(arguments.texts, 2000)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / arguments.model
        write_pipeline(arguments.model, pipeline)
        if arguments.kills:
            print(json.dumps(kill(pipeline, texts[:200], arguments), indent=2))
        elif arguments.overload:
            print(json.dumps(overload(pipeline, texts, arguments), indent=2))
        else:
            compare(pipeline, texts, arguments)


def expect(contestant: str, pipeline: Path, texts: list[str]) -> list[list[float]]:
    """The right vector of each text, without a server."""
    if contestant == "sentence-transformers":
        from .serving_peer import load_model

        rows = load_model(os.cpu_count() or 1).encode(texts, show_progress_bar=False)
        return [row.tolist() for row in rows]
    import spacy

    return [doc.vector.tolist() for doc in spacy.load(pipeline).pipe(texts)]


def make_texts(path: Path, n: int) -> list[str]:
    """Texts of 5 to 60 words that follow one another in files."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    words = [
        word
        for file in files
        if file.is_file()
        for word in file.read_text(encoding="utf8", errors="replace").split()
    ]
    rng = random.Random(0)
    starts = [rng.randrange(len(words) - 60) for _ in range(n)]
    return [" ".join(words[start : start + rng.randint(5, 60)]) for start in starts]


def write_pipeline(model: str, folder: Path) -> None:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": PRETRAINED[model]})
    nlp.to_disk(folder)


def compare(pipeline: Path, texts: list[str], arguments: argparse.Namespace) -> None:
    print(f"{arguments.model}, {arguments.threads} threads, {arguments.seconds:g} s each\n")
    print(f"{HEADER}\n{'|---' * 9}|")
    for contestant in arguments.contestants.split(","):
        if contestant == "sentence-transformers" and arguments.model != "minilm":
            continue
        expected = expect(contestant, pipeline, texts)
        with serving(contestant, pipeline, arguments) as (server, port):
            for n in map(int, arguments.clients.split(",")):
                settings = {"clients": n, "seconds": arguments.seconds, "warm_up": 2.0}
                found = ask(port=port, texts=texts, expected=expected, **settings)
                cells = "{rate:.1f} | {p50:.1f} | {p95:.1f} | {p99:.1f}".format(**found)
                n_bad = sum(found["statuses"].values()) - found["statuses"].get("200", 0)
                memory = read_memory(server.pid)
                row = f"{contestant} | {n} | {cells} | {n_bad} | {found['wrong']} | {memory:.0f}"
                print(f"| {row} |", flush=True)


def overload(pipeline: Path, texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Before, during and after many times the requests that the server can answer."""
    seconds = arguments.seconds
    settings: dict[str, Any] = {"texts": texts, "expected": expect("ours", pipeline, texts)}
    with serving("ours", pipeline, arguments) as (server, port):
        settings |= {"port": port}
        before = ask(seconds=min(seconds, 20), clients=CLIENTS, warm_up=2.0, **settings)
        memory = read_memory(server.pid)
        rate = arguments.overload * before["rate"]
        during = ask(rate=rate, seconds=seconds, **settings)
        during |= {"asked for": rate, "MB before": memory, "MB after": read_memory(server.pid)}
        start = time.monotonic()
        while not ask(clients=1, seconds=0.01, **settings)["rate"]:
            pass
        recovered = time.monotonic() - start
        after = ask(seconds=min(seconds, 20), clients=CLIENTS, warm_up=2.0, **settings)
    return {"before": before, "during": during, "first answer after s": recovered, "after": after}


def kill(pipeline: Path, texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Kills under load, and what clients see of them."""
    rng, expected = random.Random(0), expect("ours", pipeline, texts)
    port, restarts = find_port(), list[float]()
    statuses, n_wrong = Counter[str](), 0
    for _ in range(arguments.kills):
        start = time.monotonic()
        with serving("ours", pipeline, arguments, port) as (server, _):
            restarts.append(time.monotonic() - start)
            settings = {"texts": texts, "expected": expected, "clients": CLIENTS}
            seconds = 1 + 2 * rng.random()
            client = start_client(port=port, seconds=seconds + 0.5, **settings)
            time.sleep(seconds)
            server.send_signal(signal.SIGKILL)
            found = json.loads(client.communicate()[0])
        statuses.update(found["statuses"])
        n_wrong += found["wrong"]
    times = {"slowest start s": max(restarts), "mean start s": sum(restarts) / len(restarts)}
    return {"kills": arguments.kills, "wrong": n_wrong, "statuses": statuses, **times}


@contextmanager
def serving(
    contestant: str, pipeline: Path, arguments: argparse.Namespace, port: int = 0
) -> Iterator[tuple[Any, int]]:
    """A server in a process of its own, once it is ready, and its port."""
    port = port or find_port()
    command = [*SERVE, str(pipeline), *arguments.options.split()]
    if contestant == "sentence-transformers":
        command = ["-m", "tests.benchmarks.serving_peer"]
    elif contestant == "alone":
        command += ["--batch-tokens", "1", "--batch-wait-ms", "0"]
    command += ["--port", str(port), "--threads", str(arguments.threads)]
    command = [sys.executable, "-W", "ignore", *command]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(port, process)
        yield process, port
    finally:
        process.kill()
        process.wait()


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
        return port


def wait_until_ready(port: int, process: Any = None) -> None:
    until = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).read()
            return
        except OSError:
            if time.monotonic() > until or process and process.poll() is not None:
                raise
            time.sleep(0.05)


def start_client(**settings: Any) -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.serving_client"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    client = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
    client.stdin.write(json.dumps(settings))
    client.stdin.close()
    client.stdin = None  # else `communicate` would flush it
    return client


def ask(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(start_client(**settings).communicate()[0])
    return found


def read_memory(pid: int) -> float:
    """Megabytes that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
