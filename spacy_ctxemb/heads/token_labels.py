"""Schemes of labels for tokens: which class begins, continues or ends an entity, of which type.

Source: Ramshaw and Marcus 1995, "Text Chunking using Transformation-Based Learning"; Ratinov and
Roth 2009, "Design Challenges and Misconceptions in Named Entity Recognition".
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors

#: The class of what is in no entity.
OUTSIDE = "O"

#: The prefixes of each scheme. "plain" labels have none. IOB1 begins an entity with B only where
#: it touches another one of its type.
SCHEMES: dict[str, str] = {"IOB2": "BI", "IOB1": "BI", "BILOU": "BILU", "IO": "I", "plain": ""}

#: Other letters for the same, as in BIOES.
ALIASES = {"E": "L", "S": "U"}

Matrix = NDArray[np.bool_]


class Tag(NamedTuple):
    """A class, read: B, I, L, U or "" for none, and the type of entity."""

    prefix: str
    type: str


def check_scheme(scheme: str) -> str:
    """Raise E610 for a scheme that there is not."""
    if scheme not in SCHEMES:
        raise ValueError(Errors.E610.format(scheme=scheme, options=list(SCHEMES)))
    return scheme


def find_scheme(classes: Iterable[str]) -> str:
    """The scheme of a published head. IOB1 has the names of IOB2, and is read alike.

    Among labels with "B-" or "I-" others may have no prefix, as for padding.
    """
    found = {name[0] if name[1:2] == "-" else "" for name in classes if name != OUTSIDE}
    prefixes = found & set("BILUES")
    if not prefixes or (prefixes != found and not prefixes & set("BI")):
        return "plain"
    if prefixes & set("LUES"):
        return "BILOU"
    return "IOB2" if "B" in prefixes else "IO"


def read_tag(name: str, scheme: str) -> Tag:
    prefix, dash, kind = name.partition("-")
    prefix = ALIASES.get(prefix, prefix) if scheme == "BILOU" else prefix
    if dash and len(prefix) == 1 and prefix in SCHEMES[scheme]:
        return Tag(prefix, kind)
    return Tag("", name)


def name_classes(label: str, scheme: str) -> list[str]:
    """The classes of a type of entity."""
    return [f"{prefix}-{label}" for prefix in SCHEMES[scheme]] or [label]


def encode(gold: Sequence[str | None], classes: Sequence[str], scheme: str) -> list[int]:
    """The class of each token, or -1 where it is not known.

    gold: labels as spaCy has them, in BILUO; None or "-" where there is none. Raises E611 for a
    type that has no class.
    """
    index = {read_tag(name, scheme): i for i, name in enumerate(classes)}
    found, before = [], ""
    for label in gold:
        if label is None or label.endswith("-"):  # "B-" is what may not be an entity
            found.append(-1)
            before = ""
            continue
        prefix, _, kind = label.partition("-")
        is_first = prefix in ("B", "U") and (scheme != "IOB1" or before == kind)
        tag = Tag("", OUTSIDE)
        if kind:
            prefix = prefix if scheme == "BILOU" else "B" if is_first else "I"
            known = SCHEMES[scheme]
            tag = Tag(prefix if prefix in known else known[:1], kind)
        if tag not in index:
            raise ValueError(Errors.E611.format(label=kind or OUTSIDE, classes=list(classes)))
        found.append(index[tag])
        before = kind
    return found


class Rules(NamedTuple):
    """What a scheme says of C classes.

    types: (C,), the type of each by a number, that of OUTSIDE being 0. names: of types.
    begins, ends: (C,), whether an entity begins, or ends, with it whatever stands beside it.
    may_start: (C,), may_follow: (C, C), which may stand first, and after which.
    """

    names: list[str]
    types: NDArray[np.int64]
    begins: Matrix
    ends: Matrix
    may_start: Matrix
    may_follow: Matrix


def make_rules(classes: Sequence[str], scheme: str) -> Rules:
    tags = [read_tag(name, scheme) for name in classes]
    names = list(dict.fromkeys([OUTSIDE, *(tag.type for tag in tags)]))
    types = np.array([names.index(tag.type) for tag in tags], dtype=np.int64)
    is_strict = scheme in ("IOB2", "BILOU")
    continues = np.array([is_strict and tag.prefix in ("I", "L") for tag in tags], dtype=np.bool_)
    opens = np.array([tag.prefix in ("B", "I") for tag in tags], dtype=np.bool_)
    same = types[:, None] == types
    may_follow = ~continues | (opens[:, None] & same)
    if scheme == "BILOU":  # what is open has to end
        may_follow &= ~opens[:, None] | (continues & same)
    return Rules(
        names=names,
        types=types,
        begins=np.array([tag.prefix in ("B", "U") for tag in tags], dtype=np.bool_),
        ends=np.array([tag.prefix in ("L", "U") for tag in tags], dtype=np.bool_),
        may_start=~continues,
        may_follow=may_follow,
    )


def decode(probabilities: NDArray[np.float32], rules: Rules) -> NDArray[np.int64]:
    """The most probable classes of a text that the scheme allows. (n, C) to (n,)

    Source: Viterbi 1967, "Error bounds for convolutional codes", with moves that are allowed or
    not.
    """
    best = probabilities.argmax(axis=1)
    if not len(best):
        return best
    if rules.may_start[best[0]] and rules.may_follow[best[:-1], best[1:]].all():
        return best
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities.astype(np.float64))
        moves, start = (np.log(may * 1.0) for may in (rules.may_follow, rules.may_start))
    total, origins = logs[0] + start, []
    for row in logs[1:]:
        paths = total[:, None] + moves  # (C, C), from, to
        origins.append(paths.argmax(axis=0))
        total = paths.max(axis=0) + row
    best[-1] = total.argmax()
    for i in range(len(origins) - 1, -1, -1):
        best[i] = origins[i][best[i + 1]]
    return best
