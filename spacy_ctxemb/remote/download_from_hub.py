"""Models on the Hugging Face Hub, by the package huggingface_hub: its cache, its tokens, its
variables HF_HUB_OFFLINE and HF_ENDPOINT, its progress bars."""

import glob
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..atomic_files import FULL
from ..errors import Errors, is_coded
from ..read_files import describe, is_failure
from .choose_files import Choose
from .find_model import HUB_NAME, Found


def download_model(name: str, choose: Choose) -> Found:
    """The files of a model that are needed, and no others, in the cache of the hub.

    name: OWNER/NAME, or OWNER/NAME@REVISION. choose: the files. Where the hub cannot be reached,
        what the cache has.
    Raises E370 for that where it has not all, E371 for a name and E372 for a revision that there
    is not, E373 where access is refused, E374 for a full disk, E375 for a download that broke
    off, and what `choose` raises.
    """
    import huggingface_hub

    match = HUB_NAME.fullmatch(name)
    assert match is not None
    repository, revision = match.group("repository", "revision")
    with coding_hub_errors(name, repository, revision):
        try:
            info = huggingface_hub.HfApi().model_info(repository, revision=revision)
        except Exception as error:
            if not is_unreachable(error):
                raise
            return find_in_cache(name, repository, revision, choose, error)

        def read(file: str) -> Any:
            path = huggingface_hub.hf_hub_download(repository, file, revision=info.sha)
            return read_json(Path(path))

        names = {sibling.rfilename for sibling in info.siblings or []}
        files = choose(names, read, name)
        # Of the revision as it is named, so that the cache knows it by this name too.
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[glob.escape(file) for file in files],
            tqdm_class=build_bar(),
        )
    return Found(Path(folder), repository, Path(folder).name)


def build_bar() -> type[Any]:
    """The progress bar of huggingface_hub, on a terminal alone."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined] # it is meant to be used

    class TerminalBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            named = {**kwargs, "disable": kwargs.get("disable") or None}
            super().__init__(*args, **named)  # type: ignore[no-untyped-call] # theirs

    return TerminalBar


def find_in_cache(
    name: str, repository: str, revision: str | None, choose: Choose, reason: Exception
) -> Found:
    """What was downloaded before. Raises E370 where a file is missing."""
    import huggingface_hub

    lost = ["all files"]
    with suppress(FileNotFoundError, ValueError):
        folder = Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, local_files_only=True, allow_patterns=["config.json"]
            )
        )
        files = choose(list_names(repository, folder), lambda f: read_json(folder / f), name)
        lost = [file for file in files if not (folder / file).is_file()]
    if lost:
        endpoint = huggingface_hub.constants.ENDPOINT
        values = {"name": name, "endpoint": endpoint, "reason": describe(reason)}
        cache = huggingface_hub.constants.HF_HUB_CACHE
        raise ConnectionError(Errors.E370.format(cache=cache, lost=", ".join(lost[:3]), **values))
    return Found(folder, repository, folder.name)


def list_names(repository: str, folder: Path) -> set[str]:
    """The files of a repository where the cache knows them all, else those that it has."""
    import huggingface_hub

    list_tree = getattr(huggingface_hub, "get_cached_repo_tree", None)  # from version 2
    with suppress(Exception):
        if list_tree is not None:
            return {file.path for file in list_tree(repository, revision=folder.name)}
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read_json(path: Path) -> Any:
    """The content of a file; what is wrong with it is said where it is read to be used."""
    with suppress(ValueError, OSError, RecursionError):
        return json.loads(path.read_text(encoding="utf8"))
    return []


def is_unreachable(error: Exception) -> bool:
    """Whether an error says nothing of the model: no connection, or a hub that fails."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if isinstance(error, HfHubHTTPError):
        return error.response is None or error.response.status_code >= 500
    return not isinstance(error, HFValidationError) and is_failure(error)


@contextmanager
def coding_hub_errors(name: str, repository: str, revision: str | None) -> Iterator[None]:
    """Give errors of huggingface_hub a code and the next step."""
    from huggingface_hub import constants, errors

    values = {"name": repository, "endpoint": constants.ENDPOINT}
    try:
        yield
    except (errors.GatedRepoError, errors.DisabledRepoError) as error:
        raise PermissionError(Errors.E373.format(reason=describe(error), **values)) from error
    except errors.RevisionNotFoundError as error:
        reason = f"{constants.ENDPOINT}/{repository} has none of this name"
        raise ValueError(
            Errors.E372.format(name=repository, revision=revision, reason=reason)
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ValueError(Errors.E371.format(**values)) from error
    except Exception as error:
        if is_coded(error) or not is_failure(error):
            raise
        response = getattr(error, "response", None)
        if getattr(response, "status_code", None) in (401, 403):
            raise PermissionError(Errors.E373.format(reason=describe(error), **values)) from error
        if any(text in str(error) for text in FULL):
            cache = constants.HF_HUB_CACHE
            raise OSError(Errors.E374.format(source=name, path=cache)) from error
        raise ConnectionError(Errors.E375.format(source=name, reason=describe(error))) from error
