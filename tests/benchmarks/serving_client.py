"""The clients of serving_load.py, in a process of their own: asyncio and sockets, nothing else.

Each sends a text, waits for its vector in base64, and sends the next one. With a rate, requests
begin by the clock instead, whether or not earlier ones have been answered. Each vector can be
compared with the one that is expected of its text.
"""

import asyncio
import base64
import json
import sys
import time
from array import array
from collections import Counter
from typing import Any

#: Largest difference of a number from the expected one.
TOLERANCE = 1e-4

#: Seconds that a request may take before it counts as an error.
PATIENCE = 40


class Client:
    """Connections to one port, and what came back.

    texts: sent in turn. expected: their vectors, if there are any. seconds: of each answer.
    """

    def __init__(self, port: int, texts: list[str], expected: list[list[float]]) -> None:
        self.port, self.expected = port, expected
        self.bodies = [
            json.dumps({"input": x, "model": "a", "encoding_format": "base64"}) for x in texts
        ]
        self.n_sent, self.n_wrong = 0, 0
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> str:
        """Send the next text on a connection that is idle. Returns its status."""
        place, start = self.n_sent % len(self.bodies), time.perf_counter()
        self.n_sent += 1
        try:
            status, body = await asyncio.wait_for(self.exchange(self.bodies[place]), PATIENCE)
        except asyncio.TimeoutError:
            status, body = "timeout", b""
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            status, body = type(error).__name__, b""
        self.statuses[status] += 1
        if status == "200":
            self.seconds.append(time.perf_counter() - start)
            self.n_wrong += not self.is_right(body, place)
        return status

    async def exchange(self, body: str) -> tuple[str, bytes]:
        if self.idle:
            reader, writer = self.idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
            data = body.encode("utf8")
            writer.write(f"{head}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines if line)
            answer = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return first.split()[1], answer

    def is_right(self, body: bytes, place: int) -> bool:
        found = array("f", base64.b64decode(json.loads(body)["data"][0]["embedding"]))
        pairs = zip(found, self.expected[place], strict=True)
        return all(abs(a - b) < TOLERANCE for a, b in pairs)

    async def ask_again_and_again(self, until: float) -> None:
        while time.monotonic() < until:
            if await self.ask() not in ("200", "503"):
                await asyncio.sleep(0.05)  # the server may be starting

    async def ask_by_the_clock(self, rate: float, until: float) -> None:
        start, tasks = time.monotonic(), set[asyncio.Task[str]]()
        n = 0
        while (now := time.monotonic()) < until:
            while n < rate * (now - start):
                tasks.add(task := asyncio.create_task(self.ask()))
                task.add_done_callback(tasks.discard)
                n += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)


async def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Throughput, percentiles of latency in ms, statuses, and vectors that were wrong."""
    client = Client(settings["port"], settings["texts"], settings["expected"])

    async def ask(seconds: float) -> None:
        until = time.monotonic() + seconds
        if rate := settings.get("rate"):
            await client.ask_by_the_clock(rate, until)
        else:
            n = settings["clients"]
            await asyncio.gather(*(client.ask_again_and_again(until) for _ in range(n)))

    await ask(settings.get("warm_up", 0.0))
    client.statuses.clear(), client.seconds.clear()
    start = time.perf_counter()
    await ask(settings["seconds"])
    seconds, times = time.perf_counter() - start, sorted(client.seconds) or [float("nan")]
    percentiles = {f"p{n}": 1000 * times[min(len(times) * n // 100, len(times) - 1)] for n in PARTS}
    rate = len(client.seconds) / seconds
    found = {"rate": rate, **percentiles, "wrong": client.n_wrong}
    return {**found, "statuses": dict(client.statuses)}


PARTS = (50, 95, 99)

if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(json.load(sys.stdin)))))
