"""Where the texts of an index are."""

import gc
import sqlite3

import pytest

from spacy_ctxemb.search.passages import StoredPassages


def test_what_is_dropped_is_closed() -> None:
    """Python 3.13 warns of a connection that is open when it goes."""
    passages = StoredPassages()
    table = passages.table
    assert table.execute("SELECT count(*) FROM passages").fetchone() == (0,)
    del passages
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        table.execute("SELECT 1")
