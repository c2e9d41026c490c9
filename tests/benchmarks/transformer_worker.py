"""The process in which a contestant of transformer_speed.py runs.

    python tests/benchmarks/transformer_worker.py build NAME CHECKPOINT FOLDER
    python tests/benchmarks/transformer_worker.py run NAME FOLDER OPTIONS

`build` writes a pipeline, where the contestant has one. `run` reads commands, a JSON object a
line, and answers in the same way:

    {"do": "warm", "set": NAME, "texts": [...]}   run once and count; the texts are remembered
    {"do": "time", "set": NAME}                   run once and take the time
    {"do": "pool", "texts": [...]}                mean vectors
    {"do": "measure"}                             of the limit: GFLOP/s

The first answer comes by itself, once everything is loaded. Every answer has the largest memory
so far.
"""

import json
import os
import resource
import sys
import time
from typing import Any

from transformer_peers import CONTESTANTS, count_lengths, take_time

START = time.perf_counter()

#: The texts of each set, once they were sent.
TEXTS: dict[str, list[str]] = {}


def serve(name: str, folder: str, options: dict[str, Any]) -> None:
    """Answer commands until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)  # what libraries print is no answer

    def reply(value: dict[str, Any]) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**value, "MB": round(peak)}), file=replies, flush=True)

    contestant = CONTESTANTS[name](folder, **options)
    reply({"load": time.perf_counter() - START})
    for line in sys.stdin:
        reply(answer(contestant, json.loads(line)))


def answer(contestant: Any, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "measure":
        return contestant.measure()
    texts = command["texts"] if "texts" in command else TEXTS[command["set"]]
    if command["do"] == "warm":
        TEXTS[command["set"]] = texts
        return count_lengths(contestant, texts)
    if command["do"] == "time":
        cpu = time.process_time()
        seconds = take_time(lambda: contestant.run(texts))
        return {"seconds": seconds, "cpu": time.process_time() - cpu}
    pooled = contestant.pool(texts)
    return {
        name: values if name == "pieces" else [list(map(float, vector)) for vector in values]
        for name, values in pooled.items()
    }


if __name__ == "__main__":
    task, which, *arguments = sys.argv[1:]
    if task == "build":
        CONTESTANTS[which].build(*arguments)
    else:
        serve(which, arguments[0], json.loads(arguments[1]))
