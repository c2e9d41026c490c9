"""Files of which each line belongs to the same line of another file."""

from pathlib import Path

from ..read_files import reading


def read_lines(path: Path, expected: str) -> list[str]:
    """The lines of a file, which end with \\n or \\r\\n alone: other characters that Python takes
    for ends of lines, such as U+2028, may stand in a text. expected: what the file should be.

    Raises E163 for a file that cannot be read.
    """
    with reading(path, expected):
        lines = path.read_bytes().decode("utf8").split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
