"""Errors of this package and of spaCy as messages, not as tracebacks."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def showing_errors() -> Iterator[None]:
    """Show a coded error inside as a message, and exit with code 1."""
    from wasabi import msg

    try:
        yield
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if not str(error).startswith("[E"):
            raise
        msg.fail(str(error), exits=1)
