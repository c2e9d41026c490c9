"""Damage to files as such: bits, ends, whole files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"
CONTENTS = [b"", b"\n", b"\0" * 64, b"<html>Not found</html>", POINTER, b"PK\x03\x04", b"{}", b"[]"]


def damage_bytes(path: Path, rng: Random) -> str:
    """Change one file; returns what was done."""
    change = rng.choice(CHANGES)
    return f"{path.name}: {change(path, rng)}"


def flip(path: Path, rng: Random) -> str:
    """Some bits, mostly near the beginning, where formats keep their structure."""
    data = bytearray(path.read_bytes())
    n = rng.choice([1, 1, 1, 4, 30])
    for _ in range(n if data else 0):
        end = rng.choice([len(data), min(len(data), 4096)])
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{n} bits flipped"


def overwrite(path: Path, rng: Random) -> str:
    data = bytearray(path.read_bytes())
    start, length = rng.randrange(len(data) + 1), rng.choice([1, 8, 64, 512])
    new = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    data[start : start + length] = new
    path.write_bytes(data)
    return f"{length} bytes overwritten at {start}"


def cut(path: Path, rng: Random) -> str:
    data = path.read_bytes()
    kept = rng.randrange(len(data) + 1)
    path.write_bytes(data[:kept])
    return f"cut to {kept} of {len(data)} bytes"


def lose_part(path: Path, rng: Random) -> str:
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    n = rng.choice([1, 16, 1000])
    path.write_bytes(data[:start] + data[start + n :])
    return f"{n} bytes lost at {start}"


def append(path: Path, rng: Random) -> str:
    data = path.read_bytes()
    path.write_bytes(data + rng.choice([b"\0", b"}", b"x" * 1000, data]))
    return "bytes appended"


def exchange(path: Path, rng: Random) -> str:
    content = rng.choice(CONTENTS)
    path.write_bytes(content)
    return f"now {content[:20]!r}"


def remove(path: Path, rng: Random) -> str:
    path.unlink()
    return "removed"


def swap(path: Path, rng: Random) -> str:
    """With another file beside it."""
    other = rng.choice(sorted(p for p in path.parent.iterdir() if p.is_file()))
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)
    return f"swapped with {other.name}"


def link(path: Path, rng: Random) -> str:
    path.unlink()
    target = rng.choice(["/etc/passwd", "nothing", path.name, "/dev/null"])
    path.symlink_to(target)
    return f"a link to {target}"


def make_folder(path: Path, rng: Random) -> str:
    path.unlink()
    path.mkdir()
    return "a folder"


def copy_under_other_name(path: Path, rng: Random) -> str:
    names = ["model.safetensors", "pytorch_model.bin", "added_tokens.json", "vocab.txt"]
    name = rng.choice([*names, "special_tokens_map.json", "adapter_config.json", "tokenizer.json"])
    shutil.copy(path, path.parent / "copied")
    (path.parent / "copied").replace(path.parent / name)
    return f"copied to {name}"


CHANGES: list[Callable[[Path, Random], str]] = [
    *(flip, flip, flip, overwrite, overwrite, cut, cut, lose_part, append, exchange),
    *(remove, swap, link, make_folder, copy_under_other_name),
]
