"""Alignment error rate, precision, recall, from files of both formats."""

from pathlib import Path

import pytest

from spacy_ctxemb.alignment.read_lines import read_lines
from spacy_ctxemb.alignment.score import read_links, score_files

PHARAOH_GOLD = "0-0 1p2 2?1\n\ns3\t0-1\n"
NAACL_GOLD = "0001 1 1 S\n0001 2 3 P\n1 3 2 P\n3 1 2\n3 0 1 S\n"


def write(folder: Path, **files: str) -> list[Path]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf8")
    return [folder / name for name in files]


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    """Places begin at 0 in one and at 1 in the other, where 0 is no token."""
    pharaoh, naacl = map(read_links, write(tmp_path, a=PHARAOH_GOLD, b=NAACL_GOLD))
    assert pharaoh.sentences == naacl.sentences and (pharaoh.n, naacl.n) == (3, None)
    assert {i: one.sure for i, one in naacl.sentences.items()} == {1: {(0, 0)}, 3: {(0, 1)}}
    assert naacl.sentences[1].possible == {(0, 0), (1, 2), (2, 1)}


def test_scores_by_hand(tmp_path: Path) -> None:
    """4 links were found: 1 sure, 1 possible, 2 wrong; there are 2 sure ones."""
    gold, found = write(tmp_path, gold=PHARAOH_GOLD, found="0-0 1-2 4-4\n0-0\n\n")
    scores = score_files(gold, found)
    assert scores.precision == 2 / 4 and scores.recall == 1 / 2 and scores.f == 0.5
    assert scores.aer == pytest.approx(1 - (1 + 2) / (4 + 2))


def test_the_best_and_the_worst(tmp_path: Path) -> None:
    gold, same, none, short = write(
        tmp_path, gold=PHARAOH_GOLD, same="0-0\n\n0-1\n", none="\n\n\n", short="1 1 1\n"
    )
    assert score_files(gold, same) == (1.0, 1.0, 1.0, 0.0)
    assert score_files(gold, none) == (1.0, 0.0, 0.0, 1.0)
    assert score_files(gold, short).recall == 0.5


def test_scores_behind_links_are_read_over(tmp_path: Path) -> None:
    (found,) = write(tmp_path, found="0-0:0.9 1-2-0.75 3-3:1\n")
    assert read_links(found).sentences[1].sure == {(0, 0), (1, 2), (3, 3)}


def test_either_file_of_links_may_end_early(tmp_path: Path) -> None:
    """It does not say how many sentences come after the last link; a line for each one does."""
    long, early, lines, late = write(
        tmp_path, long="1 1 1\n5 1 1\n", early="1 1 1\n", lines="0-0\n\n", late="0-0\n\n\n\n0-0\n"
    )
    assert score_files(long, early).recall == 0.5
    assert score_files(early, long).precision == 0.5
    assert score_files(early, lines).f == 1.0
    assert score_files(lines, early).f == 1.0
    assert score_files(late, long).f == 1.0
    for gold, found in [(long, lines), (lines, long), (lines, late), (late, lines)]:
        with pytest.raises(ValueError, match="E758"):
            score_files(gold, found)


def test_numbers_of_sentences_may_be_large(tmp_path: Path) -> None:
    (found,) = write(tmp_path, found="999999999 1 1\n")
    assert list(read_links(found).sentences) == [999999999]


def test_lines_end_with_line_feeds_alone(tmp_path: Path) -> None:
    """Other ends of lines may stand in texts."""
    texts = ["a\u2028b", "\x85", "c\x0b\x0c\x1e d", "", "e\rf"]
    for end in ("\n", "\r\n"):
        (tmp_path / "a.txt").write_bytes("".join(text + end for text in texts).encode())
        assert read_lines(tmp_path / "a.txt", "texts") == texts
    (tmp_path / "a.txt").write_bytes(b"a\nb")
    assert read_lines(tmp_path / "a.txt", "texts") == ["a", "b"]
    (gold,) = write(tmp_path, gold="a\u2028b\t0-0\n")
    assert read_links(gold).n == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("0-0\n1_2\n", "Line 2 of .*gold is '1_2'"),
        ("1 1 1 S\n1 2 X\n", "Line 2 of .* is '1 2 X'"),
        ("0 1 1 S\n", "Line 1"),
        ("0-0 and more\n", "Line 1"),
        ("1-12-2\n", "Line 1 of .* is '1-12-2'"),
        ("1-12-2p3\n", "Line 1"),
        ("0-0" * 40 + "x\n", "Line 1"),
        (f"{'1' * 5000}-1\n", "Line 1"),
        (f"1 1 1\n1 1 {'1' * 5000}\n", "Line 2"),
    ],
)
def test_lines_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    gold, found = write(tmp_path, gold=text, found="0-0\n")
    with pytest.raises(ValueError, match=f"E756.*{message}"):
        score_files(gold, found)


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    gold, short, none = write(tmp_path, gold=PHARAOH_GOLD, short="0-0\n", none="0p0\n")
    with pytest.raises(ValueError, match="E758.*short has 1 sentences and .*gold has 3"):
        score_files(gold, short)
    with pytest.raises(ValueError, match="E757.*none has no links that count"):
        score_files(none, gold)
    with pytest.raises(ValueError, match="E163.*missing"):
        score_files(tmp_path / "missing", gold)
