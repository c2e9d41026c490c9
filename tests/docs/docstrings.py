"""Reads what docstrings say of settings: a name, a colon, and text that may be indented below."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

#: "name: text" or "one, other: text" at the beginning of a line.
SETTING = re.compile(r"((?:\w+, )*\w+): (.*)")
#: "name: text" that begins a second setting in the same line.
SECOND = re.compile(r"(?<=\. )([a-z]\w+): ")
CLASS = re.compile(r"\b[A-Z]\w+")


def read_summary(text: str | None) -> str:
    """The paragraphs of a docstring before its first setting, without its registered name."""
    lines = []
    for line in inspect.cleandoc(text or "").splitlines():
        if SETTING.fullmatch(line):
            break
        lines.append(line)
    summary = "\n".join(lines).strip()
    return re.sub(r"^`spacy-ctxemb\.[\w.]+`: ", "", summary)


def read_settings(text: str | None) -> dict[str, str]:
    """What a docstring says of each setting, on one line."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(text or "").splitlines():
        match = SETTING.fullmatch(line)
        if match:
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif names and line.startswith("    "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: text for pair in found.items() for name, text in split_second(*pair)}


def split_second(name: str, text: str) -> Iterator[tuple[str, str]]:
    """The text of one setting, and of a second one that follows on the same line."""
    parts = SECOND.split(text)
    yield name, parts[0].strip()
    yield from zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True)


def summarise(function: Callable[..., Any]) -> str:
    """What a function builds; where it only says where to look, what is said there."""
    summary = read_summary(function.__doc__)
    classes = list(find_classes(function)) if summary.startswith("see ") else []
    return next((s for s in map(summarise, reversed(classes)) if s), "") or summary


def describe(function: Callable[..., Any]) -> dict[str, str]:
    """What is said of each setting of a function: by itself, or by the classes that it names."""
    found = read_settings(function.__doc__)
    for place in find_classes(function):
        for name, text in describe(place).items():
            known = found.get(name, "")
            if not known:
                found[name] = text
            elif known.startswith("see ") and not text.startswith("see "):
                rest = begin("".join(re.split(r"[.;] |[.;]$", known, maxsplit=1)[1:]))
                found[name] = text if rest in text else f"{text} {rest}"
    return {name: re.sub(r"\bNone\b", "null", text) for name, text in found.items()}


def begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def find_classes(place: Callable[..., Any]) -> Iterator[type]:
    """The package's own classes in the code and the docstring of a function or class."""
    cells = [cell.cell_contents for cell in getattr(place, "__closure__", None) or ()]
    yield from (cell for cell in cells if isinstance(cell, type))
    module = inspect.getmodule(place)
    known: Mapping[str, Any] = vars(module) if module else {}
    code = getattr(place, "__code__", None)
    names = list(code.co_names) if isinstance(code, CodeType) else []
    names += [name for line in read_settings(place.__doc__).values() for name in find_seen(line)]
    for name in dict.fromkeys(names):
        value = known.get(name) or find_beside(module, name)
        if isinstance(value, type) and value is not place and is_own(value):
            yield value


def find_beside(module: ModuleType | None, name: str) -> type | None:
    """A class of the files in the folder of a module."""
    if module is None or not module.__name__.startswith("spacy_ctxemb."):
        return None
    folder = importlib.import_module(module.__name__.rpartition(".")[0])
    for info in pkgutil.iter_modules(folder.__path__):
        value = getattr(importlib.import_module(f"{folder.__name__}.{info.name}"), name, None)
        if isinstance(value, type):
            return value
    return None


def find_seen(text: str) -> list[str]:
    """The classes that a text sends the reader to."""
    return CLASS.findall(re.split("[.;]", text.partition("see ")[2])[0])


def is_own(value: type) -> bool:
    return value.__module__.startswith("spacy_ctxemb.")
