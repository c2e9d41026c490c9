"""Files and folders appear when they are whole, whatever else happens at the same time."""

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from spacy_ctxemb import atomic_files
from spacy_ctxemb.atomic_files import replacing, replacing_folder
from spacy_ctxemb.temporary_folders import LOCK, OLD, PREFIX

BEFORE, NEW = b"old" * 1000, b"new" * 2000

#: As a working folder is called.
WORKING = f"{PREFIX}0123456789abcdef"


def write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_folder(path: Path, text: str, *, may_exist: bool = True) -> None:
    """A folder of two files of the same text."""
    with replacing_folder(path, may_exist=may_exist) as temporary:
        for name in ("one", "two"):
            (temporary / name).write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def find_modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077], indirect=True)
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    (tmp_path / "ordinary").touch()
    with replacing(tmp_path / "tensors") as temporary:
        safetensors.torch.save_file({"x": torch.ones(3)}, temporary)
    with replacing_folder(tmp_path / "folder") as folder:
        safetensors.torch.save_file({"x": torch.ones(3)}, folder / "tensors")
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch(mode=0o600)
    assert find_modes(tmp_path) == {0o666 & ~umask}
    for path in (tmp_path / "folder", tmp_path / "folder" / "inner"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask
    assert safetensors.torch.load_file(tmp_path / "tensors")["x"].tolist() == [1, 1, 1]


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("old", "new"):
        write(tmp_path / "secret", text.encode())
        with replacing_folder(path, may_exist=True) as folder:
            (folder / "inner").mkdir()
            for name in ("one", f"inner/{text}"):
                (folder / name).write_text(text)
        if text == "old":
            (tmp_path / "secret").chmod(0o640)
            path.chmod(0o700)
            (path / "one").chmod(0o600)
            (path / "inner").chmod(0o750)
    assert (path / "one").read_text() == "new"
    modes = {p.relative_to(tmp_path).as_posix(): p.stat().st_mode for p in tmp_path.rglob("*")}
    assert {name: stat.S_IMODE(mode) for name, mode in modes.items()} == {
        "secret": 0o640,
        "folder": 0o700,
        "folder/one": 0o600,
        "folder/inner": 0o700,
        "folder/inner/new": 0o600,
    }


def test_nobody_else_may_enter_what_is_not_finished(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        assert first.parent != second.parent
        assert first.name == second.name == "a"
        assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
        first.touch()
        second.touch()


def test_names_differ_where_processes_have_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    (tmp_path / "out.tmp1").mkdir()
    (tmp_path / "file.tmp1").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_bytes(BEFORE)
    write_folder(tmp_path / "out", "new")
    write(tmp_path / "file", NEW)
    assert (tmp_path / "precious").read_bytes() == BEFORE


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyError
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), replacing_folder(tmp_path / "a" / "b") as temporary:
        (temporary / "file").touch()
        raise KeyError
    assert names(tmp_path / "a") == []


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    (path / "three").touch()
    write_folder(path, "new")
    assert names(path) == ["one", "two"]
    assert (path / "one").read_text() == "new"
    assert names(tmp_path) == ["folder"]


def test_where_the_system_cannot_swap_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_files, "_swap", lambda one, other: False)
    test_a_folder_takes_the_place_of_another(tmp_path)


def test_a_folder_that_was_set_aside_comes_back(tmp_path: Path) -> None:
    """As a kill leaves it between two renames, on a system that cannot swap folders."""
    aside = tmp_path / WORKING / OLD / "folder"
    aside.mkdir(parents=True)
    (aside / "one").write_text("old")
    (aside.parent.parent / LOCK).touch()
    write(tmp_path / "other", NEW)
    assert (tmp_path / "folder" / "one").read_text() == "old"
    assert names(tmp_path) == ["folder", "other"]


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "in use"), KeyboardInterrupt()])
@pytest.mark.parametrize("goes_back", [True, False])
def test_a_folder_that_is_not_replaced_is_not_lost(
    error: BaseException, goes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot swap folders, and the second of two renames fails."""
    path = tmp_path / "folder"
    write_folder(path, "old")
    monkeypatch.setattr(atomic_files, "_swap", lambda one, other: False)
    rename, n = Path.rename, 0

    def fail(self: Path, target: Path) -> Path:
        nonlocal n
        n += target == path
        if target == path and (n == 2 or (n > 2 and not goes_back)):
            raise error
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(type(error)):
            write_folder(path, "new")
    if not goes_back:
        (kept,) = tmp_path.glob(f"{PREFIX}*/{OLD}/folder")
        assert (kept / "one").read_text() == "old"
        write(tmp_path / "other", NEW)  # brings it back
        (tmp_path / "other").unlink()
    assert (path / "one").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_a_folder_in_which_the_program_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "folder" / "inner")
    for path in (Path(), Path(".."), tmp_path / "folder"):
        with pytest.raises(ValueError, match=r"^\[E166\] .* would be replaced"):
            write_folder(path, "new")
    assert Path.cwd().is_dir() and names(tmp_path) == ["folder"]
    write_folder(Path("other"), "new")
    assert names(tmp_path / "folder" / "inner") == ["other"]


def test_a_folder_that_may_not_be_replaced(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "old")
    with pytest.raises(ValueError, match=r"\[E362\].*folder exists already"):
        write_folder(tmp_path / "folder", "new", may_exist=False)
    assert (tmp_path / "folder" / "one").read_text() == "old"
    assert names(tmp_path) == ["folder"]
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", "new", may_exist=False)
    assert names(tmp_path / "empty") == ["one", "two"]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "folder").symlink_to("disk/folder")
    (tmp_path / "file").symlink_to("disk/file")
    for text in ("old", "new"):
        write_folder(tmp_path / "folder", text)
        write(tmp_path / "file", text.encode())
    assert (tmp_path / "folder").is_symlink() and (tmp_path / "file").is_symlink()
    assert (tmp_path / "disk" / "folder" / "one").read_text() == "new"
    assert (tmp_path / "disk" / "file").read_text() == "new"


def test_links_of_other_users_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They could choose which of our files are overwritten."""
    write(tmp_path / "precious", BEFORE)
    write_folder(tmp_path / "dear", "old")
    (tmp_path / "file").symlink_to("precious")
    (tmp_path / "folder").symlink_to("dear")
    if os.getuid() == 0:
        for name in ("file", "folder"):
            os.lchown(tmp_path / name, 4242, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4242)
    write(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW
    with pytest.raises(OSError, match=r"\[E164\] .*folder cannot be written: Not a directory"):
        write_folder(tmp_path / "folder", "new")
    assert (tmp_path / "precious").read_bytes() == BEFORE
    assert (tmp_path / "dear" / "one").read_text() == "old"


def test_what_is_no_ordinary_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")  # as /dev/stdout
    for name in ("pipe", "folder", "link"):
        with pytest.raises(OSError, match=rf"\[E164\] .*{name} cannot be written: it is there alr"):
            write(tmp_path / name, NEW)
    assert names(tmp_path) == ["folder", "link", "pipe"]


def test_parts_of_a_folder_are_written_with_it(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "folder") as folder:
        with replacing_folder(folder / "inner", may_exist=True) as inner:
            assert inner == folder / "inner"
            write(inner / "file", NEW)
            assert names(inner) == ["file"]
    assert names(tmp_path / "folder" / "inner") == ["file"]
    message = r"^\[E164\] [^.]*/other cannot be written: half a"
    with pytest.raises(OSError, match=message), replacing_folder(tmp_path / "other") as folder:
        with replacing(folder / "file"):
            raise OSError("half a file")


class TestErrors:
    def test_a_full_disk(self, tmp_path: Path) -> None:
        message = r"^\[E164\] .*file cannot be written: No space left on device. Make room there"
        with pytest.raises(OSError, match=message) as caught, replacing(tmp_path / "file"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert caught.value.errno == errno.ENOSPC

    def test_a_full_disk_as_another_library_says_it(self, tmp_path: Path) -> None:
        error = safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        with (
            pytest.raises(OSError, match=r"^\[E164\] .*folder cannot be written: I/O error: No sp"),
            replacing_folder(tmp_path / "folder"),
        ):
            raise error

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: Path, **settings: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        (tmp_path / "file").write_bytes(BEFORE)
        monkeypatch.setattr(Path, "mkdir", fail)
        message = r"\[E164\] .*file cannot be written: Permission denied. Check its folder"
        with pytest.raises(PermissionError, match=message):
            write(tmp_path / "file", NEW)

    def test_of_a_class_that_takes_other_arguments(self, tmp_path: Path) -> None:
        class OfALibrary(OSError):
            def __init__(self, code: int, text: str) -> None:
                super().__init__(code, text)

        with (
            pytest.raises(OSError, match=r"^\[E164\] .*file cannot be written: no route"),
            replacing(tmp_path / "file"),
        ):
            raise OfALibrary(errno.EHOSTUNREACH, "no route")

    @pytest.mark.parametrize("writing", [replacing, replacing_folder])
    def test_about_another_file(self, writing: Any, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught, writing(tmp_path / "out"):
            (tmp_path / "input").read_bytes()
        assert caught.value.filename == str(tmp_path / "input") and "E164" not in str(caught.value)

    def test_about_an_unfinished_file(self, tmp_path: Path) -> None:
        message = r"^\[E164\] .*out cannot be written: No such file"
        with pytest.raises(FileNotFoundError, match=message):
            with replacing_folder(tmp_path / "out") as folder:
                (folder / "missing" / "file").touch()


class TestLeftovers:
    def test_of_the_dead_go(self, tmp_path: Path) -> None:
        die_while_writing(tmp_path / "file")
        die_while_writing(tmp_path / "other")  # removes what the first one has left
        assert len(names(tmp_path)) == 1
        write(tmp_path / "third", NEW)
        assert names(tmp_path) == ["third"]

    def test_of_the_living_stay(self, tmp_path: Path) -> None:
        with replacing(tmp_path / "file") as temporary:
            temporary.write_bytes(NEW)
            code = (
                "import sys; from pathlib import Path;"
                "from spacy_ctxemb.atomic_files import replacing\n"
                "with replacing(Path(sys.argv[1])) as path: path.touch()"
            )
            subprocess.run([sys.executable, "-c", code, tmp_path / "other"], check=True)
            write(tmp_path / "third", NEW)
        assert names(tmp_path) == ["file", "other", "third"]

    def test_what_others_have_named_so_stays(self, tmp_path: Path) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / LOCK).touch()
        (tmp_path / f"{PREFIX}link").symlink_to("precious")
        (tmp_path / f"{PREFIX}file").touch()
        (tmp_path / f"{PREFIX}folder" / "file").mkdir(parents=True)
        if os.getuid() == 0:
            (tmp_path / f"{PREFIX}another's").mkdir()
            (tmp_path / f"{PREFIX}another's" / LOCK).touch()
            os.chown(tmp_path / f"{PREFIX}another's", 4242, -1)
        (tmp_path / f"{PREFIX}mine" / OLD / "file").mkdir(parents=True)
        (tmp_path / f"{PREFIX}mine" / LOCK).touch()
        (tmp_path / WORKING).mkdir()
        (tmp_path / WORKING / "file").touch()
        before = names(tmp_path)
        write(tmp_path / "third", NEW)
        assert names(tmp_path) == [*before, "third"]
        assert names(tmp_path / "precious") == [LOCK]
        assert names(tmp_path / f"{PREFIX}mine") == [LOCK, OLD]

    @pytest.mark.parametrize("name", [f"{PREFIX}runs", WORKING])
    def test_folders_of_users_are_written_to_as_others(self, name: str, tmp_path: Path) -> None:
        """By their names alone they would count as unfinished."""
        write(tmp_path / name / "file", BEFORE)
        with pytest.raises(KeyError), replacing(tmp_path / name / "file") as temporary:
            temporary.write_bytes(b"half")
            raise KeyError
        assert (tmp_path / name / "file").read_bytes() == BEFORE


def die_while_writing(path: Path) -> None:
    """Let a process be killed while it writes."""

    def work() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(NEW)
            os.kill(os.getpid(), signal.SIGKILL)

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()


class TestAtTheSameTime:
    @pytest.mark.parametrize("can_swap", [True, False])
    def test_threads_and_processes(
        self, can_swap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None fails, and what is there is always the work of one of them."""
        if not can_swap:
            monkeypatch.setattr(atomic_files, "_swap", lambda one, other: False)
        errors: list[Exception] = []
        results = multiprocessing.get_context("fork").Queue()

        def work(name: str) -> None:
            try:
                for i in range(15):
                    write(tmp_path / "file", f"{name}{i}".encode() * 1000)
                    write_folder(tmp_path / "folder", f"{name}{i}")
            except Exception as error:
                errors.append(error)

        def work_alone(name: str) -> None:
            work(name)
            results.put(repr(errors))

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work_alone, args=(name,)) for name in "cd"]
        for worker in [*processes, *threads]:
            worker.start()
        for worker in [*threads, *processes]:
            worker.join()
        assert errors == []
        assert [results.get() for _ in processes] == ["[]", "[]"]
        assert names(tmp_path) == ["file", "folder"]
        assert len({(tmp_path / "folder" / name).read_text() for name in ("one", "two")}) == 1
        text = (tmp_path / "file").read_text()
        assert text == text[:3] * 1000 or text == text[:2] * 1000

    @pytest.mark.parametrize("n", [3, pytest.param(20, marks=pytest.mark.slow)])
    def test_kills(self, n: int, tmp_path: Path) -> None:
        """Whenever a writer is killed, file and folder are whole, and the next one works."""
        write(tmp_path / "file", BEFORE)
        write_folder(tmp_path / "folder", "x" * 100_000)

        def work() -> None:
            for i in range(10_000):
                write(tmp_path / "file", NEW if i % 2 else BEFORE)
                write_folder(tmp_path / "folder", "xy"[i % 2] * 100_000)

        for i in range(n):
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            time.sleep(0.02 + 0.0073 * i)
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            assert (tmp_path / "file").read_bytes() in (BEFORE, NEW)
            one, two = ((tmp_path / "folder" / name).read_text() for name in ("one", "two"))
            assert one == two and len(one) == 100_000
        write(tmp_path / "file", NEW)
        assert names(tmp_path) == ["file", "folder"]
