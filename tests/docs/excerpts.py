"""Excerpts of configs: the sections they need, and the settings of what they name."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import spacy
from spacy.language import Language
from spacy.util import registry

spacy.blank("en")  # which registers what spaCy brings

#: Sections that stand in every config, or in that of the component which an excerpt changes.
ABOVE = (
    *("training", "corpora", "pretrain", "components", "components.ctxemb"),
    *("components.ctxemb.model", "components.ner", "components.ner.model"),
    *("initialize", "initialize.components"),
)


def complete(excerpt: str) -> str:
    """An excerpt below the sections that it does not bring.

    The template of spaCy's configs has [initialize.components], and nothing beneath it.
    """
    brought = set(re.findall(r"^\[(.*)\]$", excerpt, re.MULTILINE))
    # Of a section that it brings, it brings what is beneath it too.
    missing = [name for name in ABOVE if not {name, *list_parents(name)} & brought]
    return "".join(f"[{name}]\n" for name in missing) + excerpt


def list_parents(name: str) -> Iterator[str]:
    """The sections that a section lies in."""
    while name := name.rpartition(".")[0]:
        yield name


def walk(section: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A section and all beneath it."""
    yield section
    for value in section.values():
        if isinstance(value, dict):
            yield from walk(value)


def check_section(section: dict[str, Any]) -> bool:
    """Whether a section names a function or factory; it must exist, with these settings."""
    if "factory" in section:
        known = set(Language.get_factory_meta(section["factory"]).default_config)
        assert set(section) <= known | {"factory"}, section
        return True
    for key in section:
        if key.startswith("@"):
            function = getattr(registry, key[1:]).get(section[key])
            given = {name for name in section if not name.startswith("@")}
            check_arguments(function, given, is_own=section[key].startswith("spacy-ctxemb."))
            return True
    return False


def check_arguments(function: Any, given: set[str], *, is_own: bool) -> None:
    """The settings are those of the function; of our own, none that it needs is missing.

    spaCy's `init fill-config` completes the others.
    """
    parameters = inspect.signature(function).parameters.values()
    assert given <= {p.name for p in parameters}, f"{function} has no {given}"
    needed = {p.name for p in parameters if p.default is p.empty} if is_own else set()
    # Sections of their own, in the part of the config that an excerpt leaves out.
    assert needed - given <= {"encoder", "pieces", "mix"}, f"{function} needs {needed}"
