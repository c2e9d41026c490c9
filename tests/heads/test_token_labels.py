"""Schemes of labels, and the best classes that a scheme allows."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.heads.token_labels import (
    SCHEMES,
    decode,
    encode,
    find_scheme,
    make_rules,
    name_classes,
    read_tag,
)

TYPES = ("PER", "LOC")


def list_classes(scheme: str) -> list[str]:
    return ["O", *(name for kind in TYPES for name in name_classes(kind, scheme))]


@pytest.mark.parametrize(
    "classes, scheme",
    [
        (["O", "B-PER", "I-PER"], "IOB2"),
        (["B-PER", "I-PER", "O", "B-MISC"], "IOB2"),
        (["O", "I-PER", "I-LOC"], "IO"),
        (["O", "B-PER", "I-PER", "L-PER", "U-PER"], "BILOU"),
        (["O", "B-PER", "I-PER", "E-PER", "S-PER"], "BILOU"),
        (["NOUN", "VERB"], "plain"),
        (["O", "PER", "LOC"], "plain"),
        (["O", "X-RAY", "B-PER"], "IOB2"),
        (["O", "B-PER", "I-PER", "X"], "IOB2"),
        (["[PAD]", "O", "I-PER"], "IO"),
        (["[PAD]", "B-PER", "I-PER", "L-PER", "U-PER"], "BILOU"),
        (["E-mail", "phone"], "plain"),
        (["O"], "plain"),
    ],
)
def test_the_scheme_of_published_labels(classes: list[str], scheme: str) -> None:
    assert find_scheme(classes) == scheme


GOLD = ["U-PER", "B-PER", "I-PER", "L-PER", "O", None, "-", "B-LOC", "L-LOC", "U-PER", "B-"]


@pytest.mark.parametrize(
    "scheme, expected",
    [
        ("IOB2", "B-PER B-PER I-PER I-PER O - - B-LOC I-LOC B-PER -"),
        ("IOB1", "I-PER B-PER I-PER I-PER O - - I-LOC I-LOC I-PER -"),
        ("BILOU", "U-PER B-PER I-PER L-PER O - - B-LOC L-LOC U-PER -"),
        ("IO", "I-PER I-PER I-PER I-PER O - - I-LOC I-LOC I-PER -"),
        ("plain", "PER PER PER PER O - - LOC LOC PER -"),
    ],
)
def test_gold_labels_in_each_scheme(scheme: str, expected: str) -> None:
    classes = list_classes(scheme)
    found = [classes[i] if i >= 0 else "-" for i in encode(GOLD, classes, scheme)]
    assert found == expected.split()


def test_other_letters() -> None:
    classes = ["O", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert encode(GOLD[:4], classes, "BILOU") == [4, 1, 2, 3]
    assert read_tag("S-PER", "BILOU") == ("U", "PER")
    assert read_tag("S-PER", "IOB2") == ("", "S-PER")


def test_types_with_a_dash() -> None:
    assert read_tag("B-ORG-GOV", "IOB2") == ("B", "ORG-GOV")
    assert encode(["U-ORG-GOV"], ["O", "B-ORG-GOV"], "IOB2") == [1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_unknown_type(scheme: str) -> None:
    with pytest.raises(ValueError, match="E611.*the label 'ORG', .*'O'"):
        encode(["U-ORG"], list_classes(scheme), scheme)


def test_moves() -> None:
    classes = list_classes("IOB2")
    rules = make_rules(classes, "IOB2")
    place = {name: i for i, name in enumerate(classes)}
    assert not rules.may_start[place["I-PER"]] and rules.may_start[place["B-PER"]]
    for before, after in product(classes, classes):
        expected = not after.startswith("I-") or (before != "O" and before[2:] == after[2:])
        assert rules.may_follow[place[before], place[after]] == expected
    assert make_rules(list_classes("IOB1"), "IOB1").may_follow.all()


def test_what_is_open_ends_in_bilou() -> None:
    classes = list_classes("BILOU")
    rules, place = make_rules(classes, "BILOU"), {name: i for i, name in enumerate(classes)}
    allowed = {
        (before, after)
        for before, after in product(classes, classes)
        if rules.may_follow[place[before], place[after]]
    }
    assert ("B-PER", "O") not in allowed and ("B-PER", "L-PER") in allowed
    assert ("L-PER", "I-PER") not in allowed and ("U-PER", "B-LOC") in allowed


@given(
    scheme=st.sampled_from(["IOB2", "BILOU", "IOB1"]),
    seed=st.integers(0, 1000),
    n=st.integers(0, 4),
)
def test_decoding_equals_trying_all(scheme: str, seed: int, n: int) -> None:
    classes = ["O", *name_classes("A", scheme), *name_classes("B", scheme)][:7]
    rules = make_rules(classes, scheme)
    raw = np.random.default_rng(seed).random((n, len(classes))).astype("f")
    found = decode(raw / raw.sum(axis=1, keepdims=True), rules)

    def weigh(path: Any) -> float:
        pairs = zip(path, path[1:], strict=False)
        if path and not (rules.may_start[path[0]] and all(rules.may_follow[p] for p in pairs)):
            return -1.0
        return float(np.prod([raw[i, c] for i, c in enumerate(path)]))

    best = max(product(range(len(classes)), repeat=n), key=weigh)
    assert weigh(tuple(found.tolist())) == pytest.approx(weigh(best))
