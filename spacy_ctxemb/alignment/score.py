"""How good an alignment is, beside one made by people.

Source: Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section
6: sure links S, which are among the possible ones P, and links A that were found.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from .read_lines import read_lines

Links = set[tuple[int, int]]

#: A link of Pharaoh's format; in gold also a possible one. A score may follow: 0-0:1 or 0-0-0.75.
PHARAOH = re.compile(r"([0-9]{1,9})([-p?])([0-9]{1,9})(?::[0-9.e+-]+|-[0-9]*\.[0-9e-]+)?")

#: A line of a link, as in the shared tasks of NAACL 2003 and ACL 2005; places begin at 1, and 0
#: stands for no token.
NUMBER = r"([0-9]{1,9})"
NAACL = re.compile(rf"{NUMBER}\s+{NUMBER}\s+{NUMBER}(?:\s+([SP]))?(?:\s+[0-9.]+)?")


class Sentence(NamedTuple):
    """Links from 0. possible: with the sure ones."""

    sure: Links
    possible: Links


class LinkFile(NamedTuple):
    """sentences: by their numbers, from 1; those without links may be missing. n: how many the
    file has; None for a link a line, which does not say what comes after the last link."""

    sentences: dict[int, Sentence]
    n: int | None

    @property
    def size(self) -> int:
        return max(self.sentences, default=0) if self.n is None else self.n


class AlignmentScores(NamedTuple):
    """precision: |A ∩ P| / |A|; recall: |A ∩ S| / |S|; f: their harmonic mean; aer, the alignment
    error rate: 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|). Over all sentences together."""

    precision: float
    recall: float
    f: float
    aer: float


def score_files(gold: Path, found: Path) -> AlignmentScores:
    """Score a file of links. Both may be in either format; a file of a link a line may end early.

    Raises E756 for a line that cannot be read, E757 for a gold file without sure links, E758 for
    other sentences.
    """
    expected, links = read_links(gold), read_links(found)
    if not any(one.sure for one in expected.sentences.values()):
        raise ValueError(Errors.E757.format(path=gold))
    shorter = min(expected, links, key=lambda file: file.size)
    if expected.size != links.size and shorter.n is not None:
        names = {"found": found, "gold": gold, "n_found": links.size, "n_gold": expected.size}
        raise ValueError(Errors.E758.format(**names))
    return compute_scores(
        expected.sentences, {i: one.possible for i, one in links.sentences.items()}
    )


def compute_scores(gold: dict[int, Sentence], found: dict[int, Links]) -> AlignmentScores:
    """Add up all sentences. Where nothing was found, precision is 1."""
    pairs = [(gold[i], links) for i, links in found.items() if i in gold]
    n_found = sum(map(len, found.values()))
    n_sure = sum(len(one.sure) for one in gold.values())
    in_sure = sum(len(links & one.sure) for one, links in pairs)
    in_possible = sum(len(links & one.possible) for one, links in pairs)
    precision = in_possible / n_found if n_found else 1.0
    recall = in_sure / n_sure
    both = precision + recall
    f = 2 * precision * recall / both if both else 0.0
    return AlignmentScores(precision, recall, f, 1 - (in_sure + in_possible) / (n_found + n_sure))


def read_links(path: Path) -> LinkFile:
    """The links of each sentence, in either format; the first line shows which. Raises E756."""
    lines = read_lines(path, "a file of links")
    first = next((line for line in lines if line.strip()), "")
    is_naacl = NAACL.fullmatch(first.strip()) is not None
    read = read_naacl if is_naacl else read_pharaoh
    sentences = dict[int, Sentence]()
    for number, line in enumerate(lines, start=1):
        if not read(line, number, sentences):
            raise ValueError(Errors.E756.format(number=number, path=path, line=line[:60]))
    return LinkFile(sentences, None if is_naacl else len(lines))


def read_pharaoh(line: str, number: int, sentences: dict[int, Sentence]) -> bool:
    """Read the links of a sentence; before a tab stands its name. False for another line."""
    links = [PHARAOH.fullmatch(link) for link in line.partition("\t")[2 * ("\t" in line)].split()]
    for link in links:
        if link is None:
            return False
        add(sentences, number, int(link[1]), int(link[3]), is_sure=link[2] == "-")
    return True


def read_naacl(line: str, _: int, sentences: dict[int, Sentence]) -> bool:
    """Read a link. False for another line, but for an empty one."""
    link = NAACL.fullmatch(line.strip())
    if link is None or not int(link[1]):
        return not line.strip()
    number, i, j = (int(link[group]) for group in (1, 2, 3))
    sentences.setdefault(number, Sentence(set(), set()))
    if i and j:
        add(sentences, number, i - 1, j - 1, is_sure=link[4] != "P")
    return True


def add(sentences: dict[int, Sentence], number: int, i: int, j: int, *, is_sure: bool) -> None:
    sentence = sentences.setdefault(number, Sentence(set(), set()))
    sentence.possible.add((i, j))
    if is_sure:
        sentence.sure.add((i, j))
