"""The file `cfg` of a component: the former names of encoders, by reader."""

from pathlib import Path
from typing import Any, cast

import srsly

from ..atomic_files import replacing
from ..errors import Errors
from ..read_files import read_bytes


def write_cfg(path: Path, settings: dict[str, Any]) -> None:
    """Write what a component saves besides its model."""
    with replacing(path) as temporary:
        srsly.write_json(temporary, settings)


def read_cfg(path: Path) -> dict[str, Any]:
    """What a component has saved besides its model. Raises E036 for a file that is
    damaged, or that may not be read."""
    try:
        if not path.exists():
            return {}
        settings = srsly.json_loads(read_bytes(path))
    except (OSError, ValueError) as reason:
        raise ValueError(Errors.E036.format(path=path, reason=reason)) from reason
    return check_cfg(settings, path)


def check_cfg(settings: Any, path: Path | str) -> dict[str, Any]:
    """What a component has saved besides its model. Raises E036 where it is something else."""
    reason = None
    if not isinstance(settings, dict):
        reason = f"it holds {settings!r:.80}, not a mapping"
    else:
        names = settings.get("former_names", {})
        is_mapping = isinstance(names, dict) and all(isinstance(x, list) for x in names.values())
        if not is_mapping or not all(isinstance(x, str) for xs in names.values() for x in xs):
            reason = f"former_names is {names!r:.80}, not a mapping of lists of names"
    if reason is not None:
        raise ValueError(Errors.E036.format(path=path, reason=reason))
    return cast(dict[str, Any], settings)
