"""Runs whose files are damaged, foreign or hostile, and disks that are full."""

import errno
import json
import os
import pickle
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from thinc.api import Config

from spacy_ctxemb.atomic_files import write_json
from spacy_ctxemb.pretraining import progress_log, save_and_resume
from spacy_ctxemb.pretraining.run_from_config import pretrain
from spacy_ctxemb.pretraining.save_and_resume import is_whole
from spacy_ctxemb.pretraining.text import shards, worker_processes
from spacy_ctxemb.pretraining.text.token_store import TokenStore
from spacy_ctxemb.read_files import compute_checksum

from ..cli.command import run
from .runs import read_weights, tiny_run, write_documents

resource = pytest.importorskip("resource")  # there is none on Windows

STEP = "checkpoints/step-00000002"
SHARD, STATE = "shard-00000.safetensors", "state.safetensors"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def shared(text: Path) -> Path:
    """A run of two steps, which is copied before it is changed."""
    pretrain(begin(text), text.parent / "run", resume=False)
    return text.parent / "run"


@pytest.fixture
def output(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "run"))


def begin(text: Path, max_steps: int = 2) -> Config:
    return tiny_run(text, pretrain__max_steps=max_steps)


def go_on(text: Path, output: Path) -> None:
    pretrain(begin(text, max_steps=4), output, resume=True)


def list_files(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())


def write_checksums(checkpoint: Path) -> None:
    """As whoever changes a file on purpose can do."""
    files = [path for path in checkpoint.iterdir() if path.is_file()]
    checksums = {
        path.name: compute_checksum(path) for path in files if path.name != "checksums.json"
    }
    (checkpoint / "checksums.json").write_text(json.dumps(checksums))


class Payload:
    """What writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


#: Where a pickle lay in former checkpoints.
FORMER = [f"{STEP}/.metadata", f"{STEP}/model/.metadata", f"{STEP}/model/__0_0.distcp"]

#: One file of each kind.
FILES = [f"{STEP}/{name}" for name in ("checksums.json", "progress.json", STATE, SHARD)]
FILES += [f"text/train/{name}" for name in ("meta.json", "types.json", "ids.npy")]
FILES += ["log.jsonl", "config.cfg", "model-last.bin"]


def plant(files: Sequence[str], text: Path, output: Path, tmp_path: Path) -> None:
    """Make each file in turn a pickle, alone or as the objects of an array, and go on."""
    mark = tmp_path / "mark"
    plain = pickle.dumps(Payload(mark))
    np.save(tmp_path / "array.npy", np.array([Payload(mark)], dtype=object))
    array = (tmp_path / "array.npy").read_bytes()
    for name in files:
        copy = Path(shutil.copytree(output, tmp_path / "copy"))
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(array if name.endswith(".npy") else plain)
        if not name.endswith("checksums.json"):
            write_checksums(copy / STEP)
        try:
            go_on(text, copy)
        except (ValueError, OSError) as error:
            assert re.match(r"\[E\d", str(error)), name
        finally:
            shutil.rmtree(copy)
        assert not mark.exists(), name
    pickle.loads(plain)
    assert mark.exists()


def test_no_file_of_a_run_is_unpickled(text: Path, output: Path, tmp_path: Path) -> None:
    plant([FORMER[0], *FILES], text, output, tmp_path)


@pytest.mark.slow
def test_no_file_at_all_is_unpickled(text: Path, output: Path, tmp_path: Path) -> None:
    plant([*FORMER, *list_files(output)], text, output, tmp_path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_bytes(b'[{"some": "list"}]'),
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
    "lost": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_damaged_files_are_named_or_made_anew(text: Path, output: Path, tmp_path: Path) -> None:
    """Each file in one way, each way at several files."""
    ways = islice(cycle(DAMAGE), len(FILES))
    go_on_with_damage(zip(FILES, ways, strict=True), text, output, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damaged_file_is_named_or_made_anew(
    damage: str, text: Path, output: Path, tmp_path: Path
) -> None:
    names = list_files(output)
    go_on_with_damage(((name, damage) for name in names), text, output, tmp_path)


def go_on_with_damage(
    pairs: Iterable[tuple[str, str]], text: Path, output: Path, tmp_path: Path
) -> None:
    """Damage one file after the other in a copy of a run, and go on."""
    go_on(text, Path(shutil.copytree(output, tmp_path / "whole")))
    expected = read_weights(tmp_path / "whole")
    for name, damage in pairs:
        copy = Path(shutil.copytree(output, tmp_path / "copy"))
        DAMAGE[damage](copy / name)
        try:
            go_on(text, copy)
        except (ValueError, OSError) as error:
            is_named = str(copy) in str(error)
            assert re.match(r"\[E\d", str(error)) and is_named, (name, damage, error)
        else:
            assert all((value == expected[n]).all() for n, value in read_weights(copy).items())
        shutil.rmtree(copy)


def change_json(name: str, **values: object) -> Callable[[Path], None]:
    def change(checkpoint: Path) -> None:
        data = json.loads((checkpoint / name).read_text())
        (checkpoint / name).write_text(json.dumps({**data, **values}))

    return change


def change_tensors(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(checkpoint: Path) -> None:
        tensors = load_file(checkpoint / name)
        change(tensors)
        save_file(tensors, checkpoint / name)

    return write


@pytest.mark.parametrize(
    "change, message",
    [
        (change_json("progress.json", steps="two"), "E163.*progress.json"),
        (change_json("progress.json", steps=3), "E163.*progress.json"),
        (change_json("progress.json", basis=None), "E163.*progress.json"),
        (change_json("progress.json", scaler=[1]), "E163.*progress.json"),
        (change_json("progress.json", n_shards=2), "E462.*of 2 shards"),
        (change_tensors(SHARD, lambda t: t.pop("carried.h")), "E163.*shard-00000"),
        (change_tensors(SHARD, lambda t: t.update(x=t["carried.h"].clone())), "E163.*shard-00000"),
        (change_tensors(STATE, lambda t: t.pop(min(t))), "E163.*state.safetensors"),
        (change_tensors(STATE, lambda t: t.update(x=t[min(t)].clone())), "E163.*state.safetensors"),
        (change_tensors(STATE, lambda t: t.update({min(t): t[min(t)][:1]})), "E163.*state.safet"),
    ],
)
def test_checkpoints_of_other_programs(
    change: Callable[[Path], None], message: str, text: Path, output: Path
) -> None:
    change(output / STEP)
    write_checksums(output / STEP)
    with pytest.raises(ValueError, match=message):
        go_on(text, output)


def test_checksums_point_nowhere_else(text: Path, output: Path) -> None:
    (output / STEP / "checksums.json").write_text(json.dumps({"/dev/zero": "x", "../..": "y"}))
    with pytest.raises(ValueError, match="E463"):
        go_on(text, output)


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_what_cannot_be_read_now_is_not_damaged(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be set aside, and the run would go on from an earlier step."""

    def fail(path: Path) -> str:
        raise OSError(code, os.strerror(code), str(path))

    write_json(dict.fromkeys(("progress.json", STATE), "x"), tmp_path / "checksums.json")
    (tmp_path / "progress.json").touch()
    assert not is_whole(tmp_path)
    (tmp_path / STATE).touch()
    assert not is_whole(tmp_path)
    monkeypatch.setattr(save_and_resume, "compute_checksum", fail)
    with pytest.raises(OSError) as caught:
        is_whole(tmp_path)
    assert caught.value.errno == code


@pytest.mark.parametrize("name", ["ids.npy", "types.json", "type_characters.npy"])
def test_a_token_store_names_its_damaged_file(name: str, output: Path) -> None:
    file = output / "text" / "train" / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"E163.*{name}"):
        TokenStore.open(file.parent)


def test_a_token_store_of_two_texts(output: Path) -> None:
    folder = output / "text" / "train"
    np.save(folder / "word_starts.npy", np.zeros(3, dtype=bool))
    with pytest.raises(ValueError, match=r"E163.*not of one text"):
        TokenStore.open(folder)


def test_a_damaged_shard_is_made_anew(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shards, "write_array", fail)
        with pytest.raises(OSError, match="E164.*No space left"):
            pretrain(begin(text), tmp_path / "run", resume=False)
    (shard,) = tmp_path.glob("run/text/train/shards-*/*0.safetensors")
    shard.write_bytes(shard.read_bytes()[:100])
    pretrain(begin(text), tmp_path / "run", resume=False)


def fail(*arguments: object, **settings: object) -> None:
    raise OSError(28, "No space left on device")


# Disks


def test_colleagues_may_go_on(text: Path, tmp_path: Path) -> None:
    """All files have the permissions of new ones."""
    before = os.umask(0o002)
    try:
        pretrain(begin(text), tmp_path / "run", resume=False)
    finally:
        os.umask(before)
    for path in (tmp_path / "run").rglob("*"):
        expected = 0o775 if path.is_dir() else 0o664
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_leftovers_of_a_kill_are_removed(
    text: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process is killed no `finally` is reached."""
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("spacy_ctxemb.pretraining.save_and_resume.write_json", die)
        try:
            go_on(text, output)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    folder = output / "checkpoints"
    assert len(list(folder.iterdir())) == 2
    go_on(text, output)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["step-00000002", "step-00000004"]


def die(*arguments: object) -> None:
    os._exit(9)


@pytest.fixture
def small_files() -> Any:
    """Lowers the size of the largest file that this process may write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda n: resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_full_disk_loses_nothing(
    size: int, text: Path, output: Path, tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    """Wherever it comes: in the text, a checkpoint, the log, the weights."""
    begin(text, max_steps=4).to_disk(tmp_path / "run.cfg")
    before = {name: (output / name).read_bytes() for name in list_files(output) if STEP in name}
    shutil.rmtree(output / "text")
    small_files(size)
    code, shown = run("pretrain", tmp_path / "run.cfg", output, "--resume")
    small_files(resource.RLIM_INFINITY)
    assert code == 1 and "[E164]" in shown and str(output) in shown.replace(" ", "")
    assert all((output / name).read_bytes() == data for name, data in before.items())
    go_on(text, output)
    assert not list(output.rglob(".ctxemb-*"))


def test_a_log_on_a_full_disk(
    text: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_files: Callable[[int], None],
) -> None:
    begin(text, max_steps=4).to_disk(tmp_path / "run.cfg")
    size = (output / "log.jsonl").stat().st_size
    with monkeypatch.context() as patched:
        patched.setattr(progress_log, "truncate", lambda *args: small_files(size))
        code, shown = run("pretrain", tmp_path / "run.cfg", output, "--resume")
    small_files(resource.RLIM_INFINITY)
    assert code == 1 and "[E164]" in shown and "log.jsonl" in shown.replace(" ", "")
    go_on(text, output)


@pytest.mark.parametrize("command", ["pretrain", "train-pieces"])
def test_outputs_that_cannot_be_written(command: str, text: Path, tmp_path: Path) -> None:
    begin(text).to_disk(tmp_path / "run.cfg")
    (tmp_path / "file").write_text("no folder")
    source = tmp_path / "run.cfg" if command == "pretrain" else text
    code, shown = run(command, source, tmp_path / "file" / "output")
    assert code == 1 and "[E164]" in shown and "file" in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", ["pretrain", "train-pieces"])
def test_folders_without_permission(command: str, text: Path, tmp_path: Path) -> None:
    begin(text).to_disk(tmp_path / "run.cfg")
    source = tmp_path / "run.cfg" if command == "pretrain" else text
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    code, shown = run(command, source, folder / "output")
    assert code == 1 and "[E164]" in shown


@pytest.mark.slow
def test_a_worker_on_a_full_disk(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_files: Callable[[int], None]
) -> None:
    """It inherits the limit, and its message arrives."""
    begin(text).to_disk(tmp_path / "run.cfg")
    monkeypatch.setattr(worker_processes, "CHUNK", 500)
    small_files(300)
    code, shown = run("pretrain", tmp_path / "run.cfg", tmp_path / "run")
    small_files(resource.RLIM_INFINITY)
    assert code == 1 and "[E164]" in shown
