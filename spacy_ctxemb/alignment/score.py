"""How good an alignment is, beside one made by people.

Source: Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section
6: sure links S, which are among the possible ones P, and links A that were found.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from ..read_files import reading

Links = set[tuple[int, int]]

#: A line of a sentence: an identifier where a tab follows, then links, in gold also possible ones.
PHARAOH = re.compile(r"(?:[^\t]*\t)?((?:\s*\d+[-p?]\d+(?:[-:][\d.]+)?)*)\s*")
LINK = re.compile(r"(\d+)([-p?])(\d+)")

#: A line of a link, as in the shared tasks of NAACL 2003 and ACL 2005; places begin at 1, and 0
#: stands for no token.
NAACL = re.compile(r"(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+[\d.]+)?\s*")


class Sentence(NamedTuple):
    """Links from 0. possible: with the sure ones."""

    sure: Links
    possible: Links


class AlignmentScores(NamedTuple):
    """precision: |A ∩ P| / |A|; recall: |A ∩ S| / |S|; f: their harmonic mean; aer, the alignment
    error rate: 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|). Over all sentences together."""

    precision: float
    recall: float
    f: float
    aer: float


def score_files(gold: Path, found: Path) -> AlignmentScores:
    """Score a file of links. Both may be in either format.

    Raises E756 for a line that cannot be read, E757 for a gold file without sure links, E758 for
    other sentences.
    """
    expected, links = read_links(gold), read_links(found)
    if not any(one.sure for one in expected):
        raise ValueError(Errors.E757.format(path=gold))
    # A file of a link a line does not say how many sentences come after the last link.
    n_gold, n_found = len(expected), len(links)
    if n_found > n_gold or (n_found < n_gold and not is_naacl(found)):
        names = {"found": found, "gold": gold, "n_found": n_found, "n_gold": n_gold}
        raise ValueError(Errors.E758.format(**names))
    links += [Sentence(set(), set())] * (n_gold - n_found)
    return compute_scores(expected, [one.possible for one in links])


def compute_scores(gold: list[Sentence], found: list[Links]) -> AlignmentScores:
    """Add up all sentences. Where nothing was found, precision is 1."""
    pairs = list(zip(gold, found, strict=True))
    n_found, n_sure = sum(map(len, found)), sum(len(one.sure) for one in gold)
    in_sure = sum(len(links & one.sure) for one, links in pairs)
    in_possible = sum(len(links & one.possible) for one, links in pairs)
    precision = in_possible / n_found if n_found else 1.0
    recall = in_sure / n_sure
    both = precision + recall
    f = 2 * precision * recall / both if both else 0.0
    return AlignmentScores(precision, recall, f, 1 - (in_sure + in_possible) / (n_found + n_sure))


def read_lines(path: Path) -> list[str]:
    with reading(path, "a file of links"):
        return path.read_text(encoding="utf8").splitlines()


def is_naacl(path: Path) -> bool:
    """Whether a file has a link a line."""
    lines = [line for line in read_lines(path) if line.strip()]
    return bool(lines) and NAACL.fullmatch(lines[0].strip()) is not None


def read_links(path: Path) -> list[Sentence]:
    """The links of each sentence, in either format. Raises E756."""
    is_of_links, sentences = is_naacl(path), list[Sentence]()
    for number, line in enumerate(read_lines(path), start=1):
        text = line.strip() if is_of_links else line
        read = NAACL.fullmatch(text) if is_of_links else PHARAOH.fullmatch(text)
        if is_of_links and not text:
            continue
        if read is None or (is_of_links and read[1].strip("0") == ""):
            raise ValueError(Errors.E756.format(number=number, path=path, line=line[:60]))
        if not is_of_links:
            sentences.append(Sentence(set(), set()))
            for i, kind, j in LINK.findall(read[1]):
                add(sentences[-1], int(i), int(j), is_sure=kind == "-")
            continue
        while len(sentences) < int(read[1]):
            sentences.append(Sentence(set(), set()))
        if int(read[2]) and int(read[3]):
            place = sentences[int(read[1]) - 1]
            add(place, int(read[2]) - 1, int(read[3]) - 1, is_sure=read[4] != "P")
    return sentences


def add(sentence: Sentence, i: int, j: int, *, is_sure: bool) -> None:
    sentence.possible.add((i, j))
    if is_sure:
        sentence.sure.add((i, j))
