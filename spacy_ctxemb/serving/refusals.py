"""Errors as answers, in the one shape that OpenAI's clients read."""

import logging
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..errors import Errors, is_coded
from .json_log import find_place

logger = logging.getLogger("spacy_ctxemb.serving")


class Refusal(Exception):
    """An answer that is an error. status: of HTTP. message: with its code."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def to_response(self) -> Response:
        code = re.match(r"\[(\w+)\] ", self.message)
        error = {
            "message": self.message,
            "type": "invalid_request_error" if self.status < 500 else "server_error",
            "param": None,
            "code": code and code[1],
        }
        return JSONResponse({"error": error}, self.status, headers=self.headers)


def refuse(error: BaseException) -> Refusal:
    """With the message of an error that has a code; that of another may hold the text."""
    kind = type(error).__name__
    logger.error("a text failed", extra={"fields": {"error": kind, "at": find_place(error)}})
    if is_coded(error):
        return Refusal(422, str(error))
    return Refusal(500, Errors.E816.format(kind=kind))


def add_handlers(app: FastAPI) -> None:
    """Answer every error in this shape."""
    app.add_exception_handler(Refusal, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(Exception, answer)


async def answer(request: Request, error: Exception) -> Response:
    return to_refusal(request, error).to_response()


def to_refusal(request: Request, error: Exception) -> Refusal:
    """Never with what was sent, which others may read in a log."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        is_json = "json" in request.headers.get("content-type", "")
        reason = first["msg"] if is_json else "the header Content-Type is not application/json"
        return Refusal(422, Errors.E817.format(where=where, reason=reason))
    if not isinstance(error, HTTPException):
        return Refusal(500, Errors.E816.format(kind=type(error).__name__))
    if error.status_code == 400:  # FastAPI's, for a body that is no text
        return Refusal(422, Errors.E817.format(where="body", reason=error.detail))
    values = {"method": request.method, "path": request.url.path[:80], "reason": error.detail}
    return Refusal(error.status_code, Errors.E819.format(**values), error.headers)
