"""A pipeline behind a port: entities, categories, vectors of texts and of tokens by HTTP."""

from importlib import import_module
from typing import Any

from ..errors import Errors
from .settings import Settings as Settings

#: Where that is which needs the packages of the extra.
HOMES = {"build_app": ".app", "run_server": ".server", "open_port": ".server"}


def __getattr__(name: str) -> Any:
    """Raises ImportError E708 where a package is missing."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(HOMES[name], __name__), name)
    except ModuleNotFoundError as error:
        values = {"what": "A service", "package": error.name, "extra": "serve"}
        raise ImportError(Errors.E708.format(**values)) from error
