"""docs/notebooks: they run to the end, show what they say, and are stored as they were shown."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from .docs.notebooks import FOLDER, execute, list_notebooks, read_shown
from .docs.pages import ROOT

NOTEBOOKS = list_notebooks()
NAMES = [path.stem for path in NOTEBOOKS]


def list_shown(notebook: NotebookNode) -> list[str]:
    return [read_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]


def find_numbers(pattern: str, shown: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, shown, re.MULTILINE)]


def check_senses(shown: str) -> None:
    near, *far = find_numbers(r"^([\d.]+)  sentence", shown)
    assert near > max(far) + 0.05
    assert re.search(r"[2-6] groups", shown) and shown.count('class="ctxemb-explanation"') == 4
    assert find_numbers(r"^(\d+) of 12 in the right group", shown)[0] >= 10
    first, *_, last = re.findall(r"^ +\d  +([\d.]+)  +([\d.]+)$", shown, re.MULTILINE)
    assert float(first[1]) > 0.8 and float(last[1]) < float(last[0])
    assert "Attention of ctxemb" in shown


def check_ner(shown: str) -> None:
    scores = {name: find_numbers(rf"^{name} +([\d.]+)", shown)[0] for name in TRAINED}
    assert max(scores["scratch"], scores["frozen"]) + 5 < scores["finetuned"]
    assert scores["scratch"] < scores["frozen"]
    assert shown.count('class="entities"') >= 5 and "Why LOC" in shown


TRAINED = ("scratch", "frozen", "finetuned")


def check_search(shown: str) -> None:
    assert find_numbers(r"^(\d+)% of the five nearest", shown)[0] > 70
    assert find_numbers(r"^recall@5 +([\d.]+)", shown)[0] > 0.5
    assert re.search(r"Where was Nora Brandt born\? +Bergen ", shown)


CHECKS: dict[str, Callable[[str], None]] = {
    "senses": check_senses,
    "ner_few_labels": check_ner,
    "search_and_ask": check_search,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebooks_run_to_the_end(path: Path) -> None:
    """One from the folder of the repository, as an editor runs it; the others from their own."""
    folder = ROOT if path.stem == "senses" else FOLDER
    CHECKS[path.stem]("\n".join(list_shown(execute(path, folder))))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_what_is_stored_was_shown(path: Path) -> None:
    assert path.stat().st_size < 300_000
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    shown = "\n".join(list_shown(notebook))
    CHECKS[path.stem](shown)
    assert not re.search(r"/(home|root|tmp|work|usr)/|Traceback|Warning", shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_prose_stands_before_each_cell_and_links_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert all(one == "markdown" or before == "markdown" for before, one in pairwise(kinds))
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        assert (FOLDER / link).exists(), link
