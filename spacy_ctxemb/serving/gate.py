"""What each request passes first: its key, its size, and the note of how it ended."""

import asyncio
import hmac
import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Errors
from .refusals import Refusal
from .service import Service

logger = logging.getLogger("spacy_ctxemb.serving")

#: Need no key, since orchestrators, load balancers and browsers ask them; and take no body.
OPEN = ("/health", "/ready", "/docs", "/openapi.json")

#: Seconds until a request is refused because others wait. A client that asks again at once would
#: take the processor's time from the answers.
PAUSE = 1.0


class Gate:
    """paths: that exist; others have one name in metrics and logs."""

    def __init__(self, app: ASGIApp, service: Service, paths: frozenset[str]) -> None:
        self.app, self.service, self.paths = app, service, paths
        self.settings, self.n_open, self.n_paused = service.settings, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["ctxemb"] = notes = {"texts": 0, "tokens": 0}
        path, status, start = self.find_path(scope), 500, time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if "status" in message and self.service.is_draining:
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await asyncio.wait_for(send(message), self.settings.timeout)

        try:
            await self.pass_on(path, scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - start
            self.service.metrics.requests.labels(path, status).inc()
            self.service.metrics.seconds.labels(path).observe(seconds)
            fields = {"path": path, "status": status, "ms": round(1000 * seconds, 2), **notes}
            level = logging.DEBUG if path in OPEN and status == 200 else logging.INFO
            logger.log(level, "request", extra={"fields": fields})

    def find_path(self, scope: Scope) -> str:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return path if path in self.paths else "other"

    async def pass_on(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path in OPEN:
            await self.app(scope, receive, send)
            return
        self.n_open += 1
        try:
            self.check_key(scope)
            if scope["method"] == "POST":
                self.service.batcher.check_queue()
                receive = await self.read_body(scope, receive)
            await self.app(scope, receive, send)
        except Refusal as refusal:
            if refusal.status == 503:
                await self.pause()
            await refusal.to_response()(scope, receive, send)
        finally:
            self.n_open -= 1

    async def pause(self) -> None:
        """Those that wait here do not count as open requests."""
        if self.n_paused < self.settings.queue_size:
            self.n_paused += 1
            try:
                await asyncio.sleep(min(PAUSE, self.settings.timeout))
            finally:
                self.n_paused -= 1

    def check_key(self, scope: Scope) -> None:
        """Raise 401 E814. The time does not tell how much of a key is right."""
        kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        key = given.strip(" \t").encode("latin-1") if kind.lower() == "bearer" else b""
        keys = [one.encode("utf8") for one in self.settings.api_keys]
        if keys and not any([hmac.compare_digest(key, one) for one in keys]):
            raise Refusal(401, Errors.E814, {"WWW-Authenticate": "Bearer"})

    async def read_body(self, scope: Scope, receive: Receive) -> Receive:
        """The whole body as one message. Raises 503 E810, 413 E811 and 408 E813."""
        if self.n_open - self.n_paused > self.settings.queue_size:
            raise Refusal(503, Errors.E810.format(n=self.n_open), {"Retry-After": "1"})
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        if "expect" in headers and announced.isdecimal():
            self.check_size(int(announced))
        try:
            body = await asyncio.wait_for(self.collect(receive), self.settings.timeout)
        except asyncio.TimeoutError as error:
            message = Errors.E813.format(seconds=self.settings.timeout)
            raise Refusal(408, message) from error
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return left.pop() if left else await receive()

        return receive_again

    async def collect(self, receive: Receive) -> bytes:
        """A body that is too large is read to its end, and not kept: a connection that is closed
        with bytes unread is reset, and the client may never see why."""
        body, n = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(499, Errors.E821.format(reason="the client has gone"))
            n += len(message.get("body", b""))
            if n <= self.settings.max_bytes:
                body += message.get("body", b"")
            if not message.get("more_body"):
                self.check_size(n)
                return bytes(body)

    def check_size(self, n: int) -> None:
        if n > self.settings.max_bytes:
            raise Refusal(413, Errors.E811.format(limit=self.settings.max_bytes, unit="bytes"))
