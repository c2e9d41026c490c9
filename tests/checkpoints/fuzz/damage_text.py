"""Damage to lists of pieces, and to ZIP files."""

import zipfile
from pathlib import Path
from random import Random

from .damage_bytes import damage_bytes


def damage_text(path: Path, rng: Random) -> str:
    """Change some lines of a file; returns what was done."""
    lines = path.read_bytes().split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["double", "lose", "swap", "blank", "long", "foreign", "special", "windows"])
    if kind == "double":
        lines[i] = lines[j]
    elif kind == "lose":
        del lines[i]
    elif kind == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == "blank":
        lines[i] = b""
    elif kind == "long":
        lines[i] = b"x" * 100_000
    elif kind == "foreign":
        lines[i] = b"\xff\xfe\0"
    elif kind == "special":
        lines = [line for line in lines if rng.random() < 0.5 or not line.startswith(b"[")]
    else:
        lines = [line + b"\r" for line in lines]
    path.write_bytes(b"\n".join(lines))
    return f"{path.name}: {kind} at line {i + 1}"


def damage_zip(path: Path, rng: Random) -> str:
    """Add members that should not be there, or damage the file as such."""
    kind = rng.choice(
        ["bytes", "bytes", "bytes", "double", "path", "link", "bomb", "long", "comment"]
    )
    if kind == "bytes":
        return damage_bytes(path, rng)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        names = archive.namelist()
        if kind == "double" and names:
            info = zipfile.ZipInfo(rng.choice(names))
            archive.NameToInfo.pop(info.filename)  # it warns of a name that is there
            archive.writestr(info, b"{}")
        elif kind == "path":
            name = rng.choice(
                ["../../evil.hdf5", "/tmp/evil.hdf5", "a/../options.json", "\x1b[31m"]
            )
            archive.writestr(name, b"x")
        elif kind == "link":
            info = zipfile.ZipInfo("linked.hdf5")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
        elif kind == "bomb":
            archive.writestr("vocabulary.txt", bytes(10**7))
        elif kind == "long":
            archive.writestr("n" * 60_000, b"x")
        else:
            archive.comment = b"PK\x05\x06" * 9
    return f"{path.name}: {kind}"
