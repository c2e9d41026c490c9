"""What other libraries raise for foreign files, as errors with a code."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import is_coded
from ..read_files import is_failure


@contextmanager
def coding_errors(message: str, **values: object) -> Iterator[None]:
    """Raise a ValueError with `message` for whatever a library raises inside.

    message: takes `values`, and the reason. Errors that have a code stay as they are.
    """
    try:
        yield
    except BaseException as error:
        if is_coded(error) or not is_failure(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(message.format(reason=reason, **values)) from error
