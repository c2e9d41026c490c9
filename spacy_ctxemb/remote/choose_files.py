"""Which files of a repository a model needs."""

from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

from ..errors import Errors

#: Gives the content of a JSON file.
Read = Callable[[str], Any]

#: From the names of the files of a repository, a way to read one, and what the user called it, to
#: the files that are needed.
Choose = Callable[[Set[str], Read, str], list[str]]

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

#: What an ELMo is made of, by how their names end.
ELMO = ("options.json", ".hdf5")

#: A folder with one of these has no ELMo, but a model of another kind.
OF_OTHERS = {"config.json", "modules.json", "adapter_config.json"}


def choose_any(names: Set[str], read: Read, name: str) -> list[str]:
    """The files of an ELMo where it has those of no other model. Raises E377 and E399."""
    is_elmo = not names & OF_OTHERS and all(list_elmo(names))
    return choose_elmo(names, read, name) if is_elmo else choose_files(names, read, name)


def choose_elmo(names: Set[str], read: Read, name: str) -> list[str]:
    """The options and the weights of an ELMo. Raises E399 unless there is one of each."""
    found = list_elmo(names)
    if any(len(files) != 1 for files in found):
        listed = ", ".join(sorted(sum(found, [])) or sorted(names)[:5]) or "nothing"
        raise ValueError(Errors.E399.format(name=name.partition("@")[0], found=listed))
    return sum(found, [])


def list_elmo(names: Set[str]) -> list[list[str]]:
    """Those that may be options, and those that may be weights."""
    return [sorted(n for n in names if n.endswith(end) and "/" not in n) for end in ELMO]


def choose_files(names: Set[str], read: Read, name: str) -> list[str]:
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
