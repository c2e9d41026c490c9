"""Writes the pages of docs/ that come from the code.

python -m tests.docs.generate
"""

from .error_codes import write_errors
from .pages import DOCS
from .reference import write_reference

GENERATED = {"reference.md": write_reference, "errors.md": write_errors}


def main() -> None:
    for name, write in GENERATED.items():
        (DOCS / name).write_text(write(), encoding="utf8")


if __name__ == "__main__":
    main()
