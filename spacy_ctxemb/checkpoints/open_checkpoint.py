"""The folder of a model of BERT's family: a path or a name on the hub, with an adapter's base."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..errors import Errors
from ..read_files import naming
from ..remote.choose_files import Choose, choose_files
from ..remote.find_model import Found, add_revision, find_folder, is_path
from .bert.merge_adapter import CONFIG, read_adapter_config
from .bert.read_weight_files import WEIGHTS
from .read_json import read_json
from .sentence_transformers import read_sentences


class Opened(NamedTuple):
    """A folder to read, and where its files come from: the model, then the base of an adapter."""

    folder: Path
    origins: list[Found]

    @property
    def has_own_config(self) -> bool:
        """Whether config.json is of the model itself, not of the base of an adapter."""
        place = read_sentences(self.origins[0].path, with_pooling=False).folder
        return len(self.origins) == 1 or (place / "config.json").is_file()


@contextmanager
def open_checkpoint(
    name: str, *, revision: str | None = None, choose: Choose = choose_files
) -> Iterator[Opened]:
    """The folder of a model, for as long as it is needed.

    name: a path, OWNER/NAME or OWNER/NAME@REVISION. revision: a branch, a tag or a commit.
    choose: of the files on the hub; those of BERT's family.
    Raises E370 to E378 and E399 for what cannot be downloaded, E390 to E392 for an adapter that
    cannot be merged.
    """
    found = find_folder(add_revision(name, revision), choose)
    folder = found.path
    place = read_sentences(folder, with_pooling=False).folder
    is_adapter = (place / CONFIG).is_file()
    if not is_adapter or any((place / weights).is_file() for weights in WEIGHTS):
        yield Opened(folder, [found])
        return
    base = find_base(place)
    base_place = read_sentences(base.path, with_pooling=False).folder
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        join(folder, place, base_place, Path(temporary))
        try:
            yield Opened(Path(temporary), [found, base])
        except ValueError as error:  # name what the user knows
            message = name_files(str(error), Path(temporary), folder, base_place)
            raise ValueError(message) from error


def name_files(text: str, temporary: Path, folder: Path, base: Path) -> str:
    """A message that names the files that a folder was joined of. base: of the base's model."""

    def replace(match: re.Match[str]) -> str:
        own = folder / match[1].lstrip("/\\")
        theirs = base / own.name
        return str(own if own.exists() or not theirs.is_file() else theirs)

    return re.sub(re.escape(str(temporary)) + r"((?:[/\\][\w.-]*\w)*)", replace, text)


def find_base(folder: Path) -> Found:
    """The model that an adapter is for. Raises E392 where it cannot be found or is an adapter."""
    path = folder / CONFIG
    read_adapter_config(path)
    data = read_json(path)
    name, revision = data.get("base_model_name_or_path"), data.get("revision")
    if not isinstance(name, str) or not name:
        raise ValueError(Errors.E392.format(path=path, found=name, reason="is no name"))
    if is_path(name):
        base = Found(next((p for p in (Path(name), folder / name) if p.is_dir()), Path(name)), name)
    else:
        wanted = add_revision(name, revision if isinstance(revision, str) else None)
        with naming(f"base_model_name_or_path in {path}"):
            base = find_folder(wanted)
    reason = None
    if not base.path.is_dir():
        reason = "is not there"
    elif (base.path / CONFIG).is_file():
        reason = "has an adapter too"
    if reason:
        raise ValueError(Errors.E392.format(path=path, found=name, reason=reason))
    return base


def join(folder: Path, place: Path, base: Path, target: Path) -> None:
    """Put an adapter and its base into one folder. What both have is the adapter's.

    place: where the folder has the adapter. base: the folder of the base's model.
    """
    model = target / place.relative_to(folder)
    model.mkdir(parents=True, exist_ok=True)
    for source, into in ((place, model), (base, model), (folder, target)):
        for path in source.iterdir():
            if not (into / path.name).exists():
                link(path.resolve(), into / path.name)


def link(path: Path, name: Path) -> None:
    """Let a name stand for a file or a folder; a copy where the system has no links."""
    try:
        os.symlink(path, name, target_is_directory=path.is_dir())
    except OSError:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, name)
