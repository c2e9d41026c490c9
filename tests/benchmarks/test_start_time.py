"""Each step has its own seconds."""

import json
from pathlib import Path

import pytest

from . import start_time


def test_a_step_is_what_came_after_the_one_before() -> None:
    runs = [[(1.0, 2.0), (1.5, 3.0), (2.0, 5.0)], [(3.0, 4.0), (3.5, 4.5), (4.5, 6.5)]]
    assert start_time.summarise(runs, 0) == {
        "CPU s": {"median": 2.0, "range": [1.0, 3.0], "since the start": 2.0},
        "wall s": {"median": 3.0, "range": [2.0, 4.0], "since the start": 3.0},
    }
    assert start_time.summarise(runs, 2) == {
        "CPU s": {"median": 0.75, "range": [0.5, 1.0], "since the start": 3.25},
        "wall s": {"median": 2.0, "range": [2.0, 2.0], "since the start": 5.75},
    }


def test_a_start_has_its_steps(tmp_path: Path) -> None:
    start_time.save("english", tmp_path / "saved english")
    marks = start_time.run(start_time.STARTS["saved english"], str(tmp_path), 1)
    assert len(marks) == len(start_time.FIRST) + 1
    for before, after in zip([(0.0, 0.0), *marks], marks, strict=False):
        assert before[0] < after[0] and before[1] < after[1]


def test_the_first_round_does_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([9.0, 9.0, 1.0, 2.0])

    def run(start: str, folder: str, threads: int) -> start_time.Marks:
        assert Path(folder, "saved blank").is_dir()
        end = next(seconds)
        return [(0.0, 0.0), (0.0, 0.0), (end, end)]

    monkeypatch.setattr(start_time, "run", run)
    start_time.main(rounds=1, threads=1, starts="saved blank,english")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in lines] == [*start_time.FIRST, "saved blank", "english"]
    assert [line["CPU s"]["median"] for line in lines] == [0.0, 0.0, 1.0, 2.0]
