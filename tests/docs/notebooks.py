"""Execute the notebooks of docs/notebooks, and write them with what their cells have shown:

python -m tests.docs.notebooks [NAME ...]
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from .pages import DOCS

FOLDER = DOCS / "notebooks"


def list_notebooks() -> list[Path]:
    return sorted(FOLDER.glob("*.ipynb"))


def execute(path: Path, folder: Path = FOLDER) -> NotebookNode:
    """Run all cells in a kernel of this Python. folder: where it runs.

    Raises CellExecutionError for a cell that fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    executed = client.execute()
    for cell in executed.cells:
        cell.metadata.pop("execution", None)  # when it ran
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data.pop("text/plain", None)  # the same again, as long arrays
    executed.metadata["language_info"] = {"name": "python"}
    return executed


def read_shown(cell: NotebookNode) -> str:
    """All that a cell shows, HTML included."""
    shown = []
    for output in cell.get("outputs", []):
        shown.append(output.get("text", ""))
        shown += output.get("data", {}).values()
    return "\n".join(shown)


if __name__ == "__main__":
    for notebook_path in [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or list_notebooks():
        nbformat.write(execute(notebook_path), notebook_path)
        print(notebook_path.name, notebook_path.stat().st_size)
