"""What each request passes first: its key, its size, and the note of how it ended."""

import asyncio
import hmac
import logging
import time
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Errors
from .metrics import Metrics
from .refusals import Refusal
from .settings import Settings

logger = logging.getLogger("spacy_ctxemb.serving")

#: Need no key, since orchestrators and load balancers ask them.
OPEN = ("/health", "/ready")

#: Seconds for which a body that is too large is read on.
LINGER = 2.0


class Gate:
    """paths: that exist; others have one name in metrics and logs."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, paths: frozenset[str]
    ) -> None:
        self.app, self.settings, self.metrics, self.paths = app, settings, metrics, paths
        self.n_open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["ctxemb"] = notes = {"texts": 0, "tokens": 0}
        path, status, start = self.find_path(scope), 500, time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.n_open += 1
        try:
            await self.pass_on(path, scope, receive, send_and_note)
        finally:
            self.n_open -= 1
            seconds = time.perf_counter() - start
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            fields = {"path": path, "status": status, "ms": round(1000 * seconds, 2), **notes}
            level = logging.DEBUG if path in OPEN and status == 200 else logging.INFO
            logger.log(level, "request", extra={"fields": fields})

    def find_path(self, scope: Scope) -> str:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return path if path in self.paths else "other"

    async def pass_on(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if path not in OPEN:
                self.check_key(scope)
            if scope["method"] == "POST":
                receive = await self.read_body(scope, receive)
        except Refusal as refusal:
            await refusal.to_response()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def check_key(self, scope: Scope) -> None:
        """Raise 401 E814. The time does not tell how much of a key is right."""
        kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        key = given.strip().encode("latin-1") if kind.lower() == "bearer" else b""
        keys = [one.encode("utf8") for one in self.settings.api_keys]
        if keys and not any([hmac.compare_digest(key, one) for one in keys]):
            raise Refusal(401, Errors.E814, {"WWW-Authenticate": "Bearer"})

    async def read_body(self, scope: Scope, receive: Receive) -> Receive:
        """The whole body as one message. Raises 503 E810, 413 E811 and 408 E815."""
        if self.n_open > self.settings.queue_size:
            values = {"n": self.n_open, "limit": self.settings.queue_size}
            raise Refusal(503, Errors.E810.format(**values), {"Retry-After": "1"})
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self.settings.max_bytes:
            await self.refuse_size(receive, reads_on="expect" not in headers)
        try:
            body = await asyncio.wait_for(self.collect(receive), self.settings.timeout)
        except asyncio.TimeoutError as error:
            message = Errors.E815.format(seconds=self.settings.timeout)
            raise Refusal(408, message) from error
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return left.pop() if left else await receive()

        return receive_again

    async def collect(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(499, Errors.E822)
            body += message.get("body", b"")
            if len(body) > self.settings.max_bytes:
                await self.refuse_size(receive, reads_on=message.get("more_body", False))
            if not message.get("more_body"):
                return bytes(body)

    async def refuse_size(self, receive: Receive, *, reads_on: bool) -> None:
        if reads_on:
            await read_on(receive)
        raise Refusal(413, Errors.E811.format(limit=self.settings.max_bytes))


async def read_on(receive: Receive) -> None:
    """Until the end of a body, or of a moment. A connection that is closed with bytes unread is
    reset, and the client may never see why."""

    async def discard() -> None:
        while (await receive()).get("more_body"):
            pass

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), LINGER)
