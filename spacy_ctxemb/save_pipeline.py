"""Saving a pipeline so that its folder always holds a whole one."""

from contextlib import suppress
from pathlib import Path

import srsly
from spacy.language import Language

from .atomic_files import replacing_folder, writing
from .errors import Errors

#: What spaCy writes besides the folders of components.
FILES = frozenset({"config.cfg", "meta.json", "tokenizer", "vocab"})

#: How often a folder is looked at: between its list of components and its files somebody else may
#: have put another pipeline there.
N_LOOKS = 5


def to_disk(nlp: Language, path: str | Path) -> None:
    """Write a pipeline as `nlp.to_disk` does, but all of it or nothing.

    Whenever the program stops, and whoever else saves there, the folder holds the former pipeline
    or the new one. `nlp.to_disk` writes file after file: stopped in between, it leaves a folder
    that cannot be loaded.

    path: a folder that is missing, empty or holds a pipeline, which is replaced. The disk needs
        room for both. Raises E165 where other files would be lost, E166 for the working
        directory, OSError E164 where nothing can be written.

        spacy_ctxemb.to_disk(nlp, "pipeline")
    """
    path = Path(path)
    with writing(path):
        check_replaceable(nlp, path)
    with replacing_folder(path, may_exist=True) as temporary:
        nlp.to_disk(temporary)


def check_replaceable(nlp: Language, path: Path) -> None:
    """Raise E165 for a folder with other files than those of its pipeline or of a new one."""
    for _ in range(N_LOOKS):
        others = list_others(nlp, path)
        if not others:
            return
    raise ValueError(Errors.E165.format(path=path, names=others[:5]))


def list_others(nlp: Language, path: Path) -> list[str]:
    """The files that belong neither to the pipeline in a folder nor to a new one."""
    names = {*nlp.component_names, *read_component_names(path)}
    stems = {name.partition(".")[0] for name in names}  # the sentencizer writes NAME.json
    files = set[str]()
    with suppress(FileNotFoundError, NotADirectoryError):  # missing, or just being replaced
        files = {file.name for file in path.iterdir()}
    return sorted(name for name in files - FILES if name.partition(".")[0] not in stems)


def read_component_names(path: Path) -> list[str]:
    """The components of the pipeline in a folder; none where its meta.json is damaged."""
    try:
        return [str(name) for name in srsly.read_json(path / "meta.json")["components"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
