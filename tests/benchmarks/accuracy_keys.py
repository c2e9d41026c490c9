"""What tells whether a result is still that of the same data, commands and programs."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

#: The versions that change figures, as far as an environment has them.
READ_VERSIONS = """
import importlib.metadata as m, json, platform
names = {d.metadata["Name"]: d.version for d in m.distributions()}
wanted = ("spacy-ctxemb", "spacy-transformers", "transformers", "spacy", "thinc", "torch", "numpy")
found = {name: names[name] for name in wanted if name in names}
print(json.dumps({"python": platform.python_version(), **found}))
"""


def make_key(commands: Sequence[str], inputs: Sequence[Path], python: str = sys.executable) -> Json:
    """What a result was made by: equal keys, equal results."""
    return {
        "commands": list(commands),
        "inputs": {str(path): make_digest(path) for path in inputs},
        "versions": read_versions(python),
    }


def make_digest(path: Path) -> str:
    """Of what is in a file, or in the files of a folder."""
    if path.is_file():
        return hash_file(path, path.stat().st_mtime_ns)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path)} {make_digest(file)}\n".encode())
    return digest.hexdigest()


@cache
def hash_file(path: Path, changed: int) -> str:
    """changed: when the file was, so that it is read again after that."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@cache
def read_versions(python: str) -> dict[str, str]:
    """Of the packages of an environment that change figures."""
    command = [python, "-c", READ_VERSIONS]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
