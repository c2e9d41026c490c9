"""Models on the Hugging Face Hub, by the package huggingface_hub: its cache, its tokens, its
variables HF_HUB_OFFLINE and HF_ENDPOINT, its progress bars."""

import glob
import json
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..atomic_files import FULL
from ..errors import Errors, is_coded
from ..read_files import describe, is_failure
from .find_model import HUB_NAME, Found

#: What every folder of a model may have.
SETTINGS = (
    *("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
    *("modules.json", "config_sentence_transformers.json", "sentence_*_config.json"),
)
#: What a tokenizer is made of where there is no tokenizer.json.
VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "*.model")

#: Files of weights: the first that there are. Those with an asterisk belong to the one before.
WEIGHTS: tuple[tuple[str, ...], ...] = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
)
ADAPTERS = (("adapter_model.safetensors",), ("adapter_model.bin",))


def download_model(name: str) -> Found:
    """The files of a model that are needed, and no others, in the cache of the hub.

    name: OWNER/NAME, or OWNER/NAME@REVISION. Where the hub cannot be reached, what the cache has.
    Raises E370 for that where it has not all, E371 for a name and E372 for a revision that there
    is not, E373 where access is refused, E374 for a full disk, E375 for a download that broke
    off, E377 for a repository without the files of a model.
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
            return find_in_cache(name, repository, revision, error)

        def read(file: str) -> Any:
            path = huggingface_hub.hf_hub_download(repository, file, revision=info.sha)
            return read_json(Path(path))

        names = {sibling.rfilename for sibling in info.siblings or []}
        files = choose_files(names, read, name)
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


def find_in_cache(name: str, repository: str, revision: str | None, reason: Exception) -> Found:
    """What was downloaded before. Raises E370 where a file is missing."""
    import huggingface_hub

    lost = ["all files"]
    with suppress(FileNotFoundError, ValueError):
        folder = Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, local_files_only=True, allow_patterns=["config.json"]
            )
        )
        files = choose_files(list_names(repository, folder), lambda f: read_json(folder / f), name)
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


def choose_files(names: Set[str], read: Callable[[str], Any], name: str) -> list[str]:
    """The files that are needed of those of a repository.

    read: gives the content of a JSON file. Raises E377 where there is no model among them.

        choose_files({"config.json", "model.safetensors", "model.onnx"}, read, "owner/name")
    """
    modules = read("modules.json") if "modules.json" in names else []
    paths = [module.get("path") for module in modules if isinstance(module, dict)]
    folders = [f"{path}/" for path in dict.fromkeys(paths) if isinstance(path, str) and path]
    chosen = [file for folder in ["", *folders] for file in choose_in_folder(names, folder)]
    settings = [file for file in chosen if file.endswith(("/config.json", "adapter_config.json"))]
    if not settings and "config.json" not in chosen:
        raise_missing(name, names, "config.json")
    if not any(file.endswith((".safetensors", ".bin")) for file in chosen):
        raise_missing(name, names, "weights in model.safetensors or pytorch_model.bin")
    return chosen


def choose_in_folder(names: Set[str], folder: str) -> Iterator[str]:
    """The files that are needed of one folder, with its name and a slash before theirs."""

    def find(*patterns: str) -> list[str]:
        return [
            folder + base
            for base in sorted(n[len(folder) :] for n in names if n.startswith(folder))
            if "/" not in base and any(Path(base).match(pattern) for pattern in patterns)
        ]

    yield from find(*SETTINGS)
    if not find("tokenizer.json"):
        yield from find(*VOCABULARIES)
    for kinds in (WEIGHTS, ADAPTERS):
        yield from next((find(*files) for files in kinds if find(files[0])), [])


def raise_missing(name: str, names: Set[str], missing: str) -> None:
    found = ", ".join(sorted(names)[:5]) or "nothing"
    raise ValueError(Errors.E377.format(name=name, missing=missing, found=found))


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
