"""A cell is run once, starts over when it was interrupted, and says what was measured."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .accuracy_keys import make_digest
from .accuracy_runs import Failed, Job, run_job, run_once

ROOT = Path(__file__).parents[2]

#: Stands for a Python with spaCy: it trains at once, and notes what it was asked to do.
FAKE = """#!{python}
import json, pathlib, sys
if sys.argv[1] == "-c":
    exec(sys.argv[2])
    sys.exit()
command, folder, calls = sys.argv[3], pathlib.Path(sys.argv[4]), pathlib.Path({calls!r})
with calls.open("a") as file:
    print(command, sorted(path.name for path in folder.glob("*")), file=file)
if command == {failing!r}:
    sys.exit(3)
if command == "train":
    (folder / "model-best").mkdir(parents=True)
    (folder / "model-best" / "weights").write_bytes(bytes(250_000))
    for step, words, steps, seconds in ((0, 90, 0, 0.0), (4, 500, 3, 2.0)):
        row = dict(step=step, epoch=1, score=step / 10, words=words, steps=steps)
        with (folder / "steps.jsonl").open("a") as file:
            print(json.dumps(dict(row, seconds=seconds, cpu_seconds=seconds / 2)), file=file)
else:
    (folder / "test.json").write_text(json.dumps(dict(ents_f=0.25, speed=1234.56)))
"""


class Setting:
    """A job, and how often its commands were run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.result = folder / "job", folder / "results" / "cell.json"
        self.data, self.calls = folder / "data.txt", folder / "calls.txt"
        self.data.write_text("a", encoding="utf8")
        self.python = folder / "python"
        self.steps = "10"
        self.break_at("")

    def break_at(self, failing: str) -> None:
        text = FAKE.format(python=sys.executable, calls=str(self.calls), failing=failing)
        self.python.write_text(text, encoding="utf8")
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)

    def run(self, threads: int = 1, *, keep: bool = False) -> bool:
        place = str(self.folder)
        train = ["train", place, "--steps", self.steps]
        commands = {"train": train, "evaluate": ["evaluate", place]}
        job = Job(self.folder, commands, "ents_f", [self.data], {"row": "r"}, str(self.python))
        return run_job(job, self.result, threads=threads, keep=keep)

    def list_calls(self) -> list[str]:
        return self.calls.read_text(encoding="utf8").splitlines()


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_a_finished_cell_is_not_run_again(setting: Setting) -> None:
    assert setting.run()
    before = setting.result.read_bytes()
    assert not setting.run()
    assert setting.result.read_bytes() == before
    assert [call.split()[0] for call in setting.list_calls()] == ["train", "evaluate"]


@pytest.mark.parametrize("change", ["data", "commands", "threads"])
def test_a_cell_whose_key_has_changed_is_run_again(setting: Setting, change: str) -> None:
    assert setting.run()
    if change == "data":
        setting.data.write_text("b", encoding="utf8")
    if change == "commands":
        setting.steps = "20"
    assert setting.run(threads=2 if change == "threads" else 1)
    assert len(setting.list_calls()) == 4


@pytest.mark.parametrize("failing", ["train", "evaluate"])
def test_an_interrupted_cell_starts_over(setting: Setting, failing: str) -> None:
    setting.break_at(failing)
    with pytest.raises(Failed, match=rf"exit code 3, see .*cell.txt: OMP_.* {failing} "):
        setting.run()
    assert not setting.result.exists()
    setting.break_at("")
    assert setting.run()
    # What was left over is gone when training begins anew.
    assert setting.list_calls()[-2] == "train []"
    assert list(setting.result.parent.iterdir()) == [setting.result]


def test_what_fails_leaves_no_result_of_other_data(setting: Setting) -> None:
    """Which a table would show as if it were of these."""
    setting.run()
    setting.data.write_text("b", encoding="utf8")
    setting.break_at("evaluate")
    with pytest.raises(Failed):
        setting.run()
    assert not setting.result.exists()


def test_what_a_result_says(setting: Setting) -> None:
    setting.run()
    result = json.loads(setting.result.read_text(encoding="utf8"))
    # 500 words in 5 steps, 3 of them without an evaluation, in 2 seconds.
    expected = {
        "row": "r",
        "threads": 1,
        "metric": "ents_f",
        "score": 0.25,
        "dev": [[0, 0.0], [4, 0.4]],
        "words": 500,
        "train_words_per_second": 150.0,
        "train_words_per_cpu_second": 300.0,
        "predict_words_per_second": 1234.6,
        "disk_megabytes": 0.25,
    }
    assert {key: result[key] for key in expected} == expected
    assert result["commands"]["evaluate"].startswith("OMP_NUM_THREADS=1 python -m spacy evaluate ")
    assert not setting.folder.exists()


def test_pipelines_may_be_kept(setting: Setting) -> None:
    setting.run(keep=True)
    assert (setting.folder / "model-best" / "weights").exists()


def test_memory_is_that_of_each_process_alone(tmp_path: Path) -> None:
    """Also after one that took more. Measured as the program measures, from a small process."""
    for name, size in (("big", 300), ("small", 0)):
        path = tmp_path / name
        fill = f"x = bytearray({size}_000_000); x[::4096] = bytes(len(x[::4096]))"
        path.write_text(f"#!{sys.executable}\n{fill}\n", encoding="utf8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    code = f"""
from pathlib import Path
from tests.benchmarks.accuracy_runs import run
for name in ("big", "small"):
    python, log = {str(tmp_path)!r} + "/" + name, Path({str(tmp_path)!r}, "log.txt")
    print(run(["train"], log, threads=1, python=python).megabytes)
"""
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    big, small = map(float, output.split())
    assert 300 < big < 350
    assert 1 < small < 50


def test_preparation_is_done_once(setting: Setting, tmp_path: Path) -> None:
    output = tmp_path / "made" / "corpus"
    command = ["evaluate", str(output)]
    for content, n_calls in (("a", 1), ("a", 1), ("b", 2)):
        setting.data.write_text(content, encoding="utf8")
        run_once([command], [setting.data], output, str(setting.python))
        assert len(setting.list_calls()) == n_calls
        assert {path.name for path in output.iterdir()} == {"test.json", "benchmark.json"}


def test_preparation_that_failed_starts_over(setting: Setting, tmp_path: Path) -> None:
    output = tmp_path / "made"
    commands = [["train", str(output)], ["evaluate", str(output)]]
    setting.break_at("evaluate")
    with pytest.raises(Failed, match="exit code 3"):
        run_once(commands, [setting.data], output, str(setting.python))
    setting.break_at("")
    run_once(commands, [setting.data], output, str(setting.python))
    assert setting.list_calls()[-2] == "train []"


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1", encoding="utf8")
    first = make_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = make_digest(tmp_path)
    (tmp_path / "b").rename(tmp_path / "a")
    assert first == make_digest(tmp_path) != second
