"""Errors as messages, not as tracebacks."""

import configparser
import re
from collections.abc import Iterator
from contextlib import contextmanager

MENDABLE = (ValueError, OSError, ImportError, RuntimeError, MemoryError, configparser.Error)


@contextmanager
def showing_errors() -> Iterator[None]:
    """Show an error that a user can mend as a coded message, and exit with code 1.

    Around all of a command, or as its decorator. Other errors are faults of a program.
    """
    from wasabi import msg

    try:
        yield
    except MENDABLE as error:
        message = describe(error)
        if message is None:
            raise
        try:
            msg.fail(message, exits=1)
        except OSError:  # the disk behind the output is full
            raise SystemExit(message) from error


def describe(error: Exception) -> str | None:
    """The coded message of an error of this package, of spaCy, of a config or of the system; None
    for a fault of a program."""
    from thinc.api import ConfigValidationError

    from ..errors import Errors, is_coded

    if is_coded(error):
        return str(error)
    if isinstance(error, ConfigValidationError | configparser.Error):
        return Errors.E520.format(reason=str(error).strip())
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return Errors.E519.format(reason=error)
    if isinstance(error, MemoryError) or re.search("(allocate|out of|enough) memory", str(error)):
        return Errors.E525.format(reason=str(error).split("\n")[0] or type(error).__name__)
    return None
