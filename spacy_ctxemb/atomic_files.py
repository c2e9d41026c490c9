"""Reading text, checksums, and writing files so that nothing is lost."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when all has gone well.

    The file has the permissions of any new file, even if a library makes it with fewer.

        with replacing(Path("weights.bin")) as temporary:
            temporary.write_bytes(data)
    """
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path`, missing or empty before, when all has gone well."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file that are not blank, without white space around them."""
    with path.open(encoding="utf8") as lines:
        return [line.strip() for line in lines if not line.isspace()]


def compute_checksum(path: Path) -> str:
    """The checksum of a file's content."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()
