"""The server: it opens the port, and ends without losing a request."""

import ipaddress
import logging
import os
import signal
import socket
import time
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ..errors import Errors
from ..read_files import coding_errors
from .json_log import log_as_json
from .service import Service

logger = logging.getLogger("spacy_ctxemb.serving")

#: Connections that the system holds while the server is busy.
BACKLOG = 2048

#: Seconds that an idle connection stays open: longer than common load balancers keep it.
KEEP_ALIVE = 75


def run_server(app: FastAPI, host: str, port: int, *, drain: float) -> None:
    """Serve until a signal comes. Raises E800 where the port cannot be opened.

    drain: seconds from SIGTERM to the closing of the port. /ready says no meanwhile, and requests
        are answered.
    """
    log_as_json()
    allow_many_files()
    opened = open_port(host, port)
    address, opened_port, *_ = opened.getsockname()
    service: Service = app.state.service
    timeout = int(service.settings.timeout) + 1
    config = uvicorn.Config(
        app,
        log_config=None,
        ws="none",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=timeout,
        timeout_keep_alive=KEEP_ALIVE,
    )
    if not service.settings.api_keys and not ipaddress.ip_address(address).is_loopback:
        logger.warning("others can reach this address, and need no API key")
    logger.info("serving", extra={"fields": {"host": host, "port": opened_port}})
    DrainingServer(config, service, drain).run(sockets=[opened])
    logger.info("ended")
    if service.batcher.thread.is_alive():  # within the model: Python's own end could crash it
        os._exit(0)


def allow_many_files() -> None:
    """As many connections as the system allows this process."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_port(host: str, port: int) -> socket.socket:
    """Raises E800."""
    with coding_errors(Errors.E800, host=host, port=port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Connections inherit it. Without it the body of an answer waits up to 40 ms for the client to
    # acknowledge the head. asyncio sets it only for sockets that it makes itself.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


class DrainingServer(uvicorn.Server):
    """Ends by SIGTERM only when load balancers have had time to notice."""

    def __init__(self, config: uvicorn.Config, service: Service, drain: float) -> None:
        super().__init__(config)
        self.service, self.drain = service, drain
        self.closes_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; a second one ends at once."""
        if self.closes_at is not None:
            self.should_exit = self.force_exit = True
            return
        self.service.is_draining = True
        self.closes_at = time.monotonic() + self.drain * (sig == signal.SIGTERM)

    async def on_tick(self, counter: int) -> bool:
        is_over = self.closes_at is not None and time.monotonic() >= self.closes_at
        return await super().on_tick(counter) or is_over
