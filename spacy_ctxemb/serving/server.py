"""The server: it opens the port, and ends without losing a request."""

import logging
import signal
import socket
import time
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
    opened = open_port(host, port)
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
    fields = {"host": host, "port": opened.getsockname()[1]}
    logger.info("serving", extra={"fields": fields})
    DrainingServer(config, service, drain).run(sockets=[opened])
    logger.info("ended")


def open_port(host: str, port: int) -> socket.socket:
    """Raises E800."""
    with coding_errors(Errors.E800, host=host, port=port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)


class DrainingServer(uvicorn.Server):
    """Ends by SIGTERM only when load balancers have had time to notice."""

    def __init__(self, config: uvicorn.Config, service: Service, drain: float) -> None:
        super().__init__(config)
        self.service, self.drain = service, drain
        self.closes_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; a second one ends at once."""
        if self.closes_at is not None:
            super().handle_exit(sig, frame)
            return
        self.service.is_draining = True
        self.closes_at = time.monotonic() + self.drain * (sig == signal.SIGTERM)

    async def on_tick(self, counter: int) -> bool:
        is_over = self.closes_at is not None and time.monotonic() >= self.closes_at
        return await super().on_tick(counter) or is_over
