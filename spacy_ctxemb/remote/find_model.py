"""What a user calls a model: a path, a name on the hub, or an address.

A path is one that exists, or that is written as one (./x, ../x, /x, ~/x, a/b/c): for it nothing is
ever downloaded. Else OWNER/NAME, and one word alone, are names on the hub; but not OWNER/NAME
where a folder OWNER is here, as in training/model-best, unless a revision follows.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from .choose_files import Choose, choose_files

#: OWNER/NAME or NAME, and perhaps a branch, a tag or a commit.
HUB_NAME = re.compile(r"(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>\w[\w./-]*))?")

#: The page of a model in a browser.
HUB_PAGE = re.compile(
    r"https://(huggingface\.co|hf\.co)/(?P<repository>[\w.-]+/[\w.-]+?)(/tree/(?P<revision>[\w./-]+))?/?"
)


class Found(NamedTuple):
    """Local files, and where they come from.

    source: OWNER/NAME or an address; else the path.
    revision: the hash of a commit on the hub, or "sha256:" and the checksum of a file; None for a
    path.
    """

    path: Path
    source: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.source} at {self.revision}" if self.revision else self.source


def find_folder(name: str, choose: Choose = choose_files) -> Found:
    """The folder of a model, downloaded where `name` is a name on the hub.

    choose: of the files there; those of BERT's family.
    Raises E370 to E375, E377 and E399 for what cannot be downloaded, E378 for an address of a file,
    E396 for a name that is taken for a path.
    """
    if page := HUB_PAGE.fullmatch(name):
        name = "@".join(filter(None, page.group("repository", "revision")))
    if is_address(name):
        reason = "a model has several files; pass a name on the hub or a folder"
        raise ValueError(Errors.E378.format(address=hide_secrets(name), reason=reason))
    if not is_hub_name(name):
        path = Path(name).expanduser()
        if HUB_NAME.fullmatch(name) and not path.exists():
            raise ValueError(Errors.E396.format(name=name, folder=path.parent))
        return Found(path, name)
    from .download_from_hub import download_model

    return download_model(name, choose)


def find_file(name: str) -> Found:
    """A file, downloaded where `name` is an address. Raises E374 to E376, and E378."""
    if not is_address(name):
        return Found(Path(name).expanduser(), name)
    from .download_file import download_file

    return download_file(name)


def is_address(name: str) -> bool:
    return re.match(r"\w+://", name) is not None


def hide_secrets(address: str) -> str:
    """An address to store and to show: without a user, a password, and what follows ? or #.

    Other names stay as they are.
    """
    if not is_address(address):
        return address
    bare = re.sub(r"^(\w+://)[^/?]*@", r"\1", address)
    return re.split("[?#]", bare, maxsplit=1)[0]


def hide_secrets_in(text: str) -> str:
    """A message without what `hide_secrets` removes of the addresses in it."""
    return re.sub(r"(?<=//)[^/\s]*@|\?[^\s'\")]+", "", text)


def is_hub_name(name: str) -> bool:
    """Whether a text is no path, and may be a name on the hub."""
    match, path = HUB_NAME.fullmatch(name), Path(name)
    is_in_folder = len(path.parts) > 1 and Path(path.parts[0]).is_dir()
    if match is None or path.exists():
        return False
    return match["revision"] is not None or not is_in_folder


def is_path(name: str) -> bool:
    return not is_address(name) and not is_hub_name(name)


def add_revision(name: str, revision: str | None) -> str:
    """A name with the revision that is wanted. Raises E372 where it has another one."""
    if revision is None:
        return name
    match = HUB_NAME.fullmatch(name)
    if match is None or match["revision"] not in (None, revision):
        reason = "it is no name on the hub" if match is None else "the name has one already"
        shown = hide_secrets(name)
        raise ValueError(Errors.E372.format(name=shown, revision=revision, reason=reason))
    return f"{match['repository']}@{revision}"
