"""Where doc.user_data has what a Doc carries, and what of it is in memory alone."""

from typing import Any

from spacy.tokens import Doc

from .names import STATES, user_key


class Unstored(dict[str, Any]):
    """A value in doc.user_data that spaCy stores as an empty dictionary."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def get_value(doc: Doc, name: str) -> Any:
    """What a Doc carries under a name; None without."""
    found = doc.user_data.get(user_key(name))
    return getattr(found, "value", None) if name == STATES else found


def put_value(doc: Doc, name: str, value: Any) -> None:
    """Let a Doc carry a value. States are not stored with it: they are large, and where the
    component that reads them is disabled nobody takes them off."""
    doc.user_data[user_key(name)] = Unstored(value) if name == STATES else value
