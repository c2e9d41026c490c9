"""Logs as lines of JSON, without texts: errors have their kind and place, not their message."""

import json
import logging
import traceback
from datetime import datetime, timezone
from pathlib import Path


class JsonLines(logging.Formatter):
    """A record with its extra `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(" ", "milliseconds")
        row = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.name == "asyncio":  # whose messages quote what failed
            row["event"] = "failed in asyncio"
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            row |= {"error": type(error).__name__, "at": find_place(error)}
        return json.dumps({**row, **getattr(record, "fields", {})})


def find_place(error: BaseException) -> str:
    """The file, the line and the function that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def log_as_json() -> None:
    """Write what this service and its server log to the standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("spacy_ctxemb.serving", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "spacy_ctxemb.serving" else logging.WARNING)
