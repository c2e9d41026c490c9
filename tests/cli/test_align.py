"""`python -m spacy ctxemb align` and `align-score`"""

from pathlib import Path

import pytest
import spacy

from spacy_ctxemb.alignment import align
from spacy_ctxemb.alignment.score import score_files

from ..pipelines import BILM, initialised
from .command import run, run_well

TEXTS = "Ada Lovelace lives in Oslo.\n\nThe bank of the river\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    initialised().to_disk(tmp_path / "pipeline")
    (tmp_path / "a.txt").write_text(TEXTS)
    (tmp_path / "b.txt").write_text(TEXTS.replace(" lives", ""))
    return tmp_path


def test_links_and_their_scores(folder: Path) -> None:
    arguments = ["align", folder / "pipeline", folder / "a.txt"]
    output = run_well(*arguments, folder / "a.txt", folder / "links.txt", "--method", "match")
    assert "Aligned 3 lines, 11 pairs" in output
    links = (folder / "links.txt").read_text()
    assert links == "0-0 1-1 2-2 3-3 4-4 5-5\n\n0-0 1-1 2-2 3-3 4-4\n"
    run_well(*arguments, folder / "b.txt", folder / "other.txt", "--method", "itermax")
    output = run_well("align-score", folder / "links.txt", folder / "links.txt")
    assert "precision 100.00 recall 100.00 f 100.00 aer 0.00" in output
    output = run_well("align-score", folder / "links.txt", folder / "other.txt")
    expected = score_files(folder / "links.txt", folder / "other.txt")
    shown = " ".join(f"{name} {100 * value:.2f}" for name, value in expected._asdict().items())
    assert shown in output and 0 < expected.aer < 1


def test_tokens_between_spaces(folder: Path) -> None:
    arguments = ["align", folder / "pipeline", folder / "a.txt", folder / "a.txt"]
    run_well(*arguments, folder / "links.txt", "--tokenized")
    assert (folder / "links.txt").read_text().startswith("0-0 1-1 2-2 3-3 4-4\n")


def test_a_page(folder: Path) -> None:
    arguments = ["align", folder / "pipeline", folder / "a.txt", folder / "b.txt"]
    run_well(*arguments, folder / "out.html")
    page = (folder / "out.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and page.count("<svg") == 3
    assert all(f'aria-label="Alignment of line {i}"' in page for i in (1, 2, 3))
    code, output = run(*arguments, folder / "out.html")
    assert code == 1 and "E510" in output


def test_what_cannot_be_aligned(folder: Path) -> None:
    (folder / "c.txt").write_text("one line\n")
    pipeline, a, out = folder / "pipeline", folder / "a.txt", folder / "out.txt"
    for other, message in [
        (folder / "c.txt", "[E755]"),
        (folder / "missing.txt", "[E163]"),
        (a, "[E752] There is no way to align 'best'."),
    ]:
        code, output = run("align", pipeline, a, other, out, "--method", "best")
        assert code == 1 and message in output and not out.exists()


def test_a_stateful_encoder_reads_each_text_by_itself(tmp_path: Path) -> None:
    """What it carries from line to line is not that of the other text."""
    encoder = {**BILM["encoder"], "stateful": True}
    nlp = initialised({**BILM, "encoder": encoder, "split_sentences": False})
    nlp.to_disk(tmp_path / "pipeline")
    texts = {
        "a": ["The bank of the river", "It rained ."],
        "b": ["A bank lends money", "It rains ."],
    }
    docs = []
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        docs.append(list(spacy.load(tmp_path / "pipeline").pipe(lines)))
    expected = "".join(
        f"{align(*both, 'match').to_pharaoh()}\n" for both in zip(*docs, strict=True)
    )
    paths = [tmp_path / name for name in ("pipeline", "a.txt", "b.txt", "links.txt")]
    run_well("align", *paths, "--method", "match")
    assert (tmp_path / "links.txt").read_text() == expected
