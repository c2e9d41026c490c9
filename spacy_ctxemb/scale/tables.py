"""Passages as tables of Arrow."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bulk.encode import Passages
from ..errors import Errors

if TYPE_CHECKING:
    import pyarrow


def to_table(passages: Passages) -> "pyarrow.Table":
    """The columns id, text, start, end, label and vector."""
    import pyarrow as pa

    n, width = passages.vectors.shape
    texts, starts, ends, labels = zip(*passages.stretches, strict=True) if n else [()] * 4
    values = pa.array(passages.vectors.reshape(-1))
    return pa.table(
        {
            "id": pa.array(passages.ids, pa.string()),
            "text": pa.array(texts, pa.string()),
            "start": pa.array(starts, pa.int64()),
            "end": pa.array(ends, pa.int64()),
            "label": pa.array(labels, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(values, width),
        }
    )


def build_schema(width: int, dtype: str, metadata: dict[str, str]) -> "pyarrow.Schema":
    """The schema of a table, also of one without rows."""
    empty = Passages([], [], np.zeros((0, width), dtype=dtype), 0)
    return to_table(empty).schema.with_metadata(metadata)


def import_extra(module: str, package: str, extra: str, what: str) -> Any:
    """A module that not all users need. Raises ImportError E708 where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        values = {"what": what, "package": package, "extra": extra}
        raise ImportError(Errors.E708.format(**values)) from error
