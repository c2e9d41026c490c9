"""Records of a cache in memory and on disk: what is written is read, or nothing is."""

import multiprocessing
import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.cache.index_entries import ENTRY_BYTES, Place, pack_entry, unpack_entries
from spacy_ctxemb.cache.memory_and_disk_stores import DATA, INDEX, MAGIC, DiskStore, MemoryStore

LIMIT = 1_000_000


def make(i: int, size: int = 40) -> tuple[bytes, bytes]:
    """A key and a record, the same for the same number."""
    return i.to_bytes(32, "little"), random.Random(i).randbytes(size)


RECORDS = [make(i, size=17 * i) for i in range(8)]
KEYS = [key for key, _ in RECORDS]
VALUES = [record for _, record in RECORDS]


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryStore | DiskStore:
    return MemoryStore(LIMIT) if request.param == "memory" else DiskStore(tmp_path / "a/b", LIMIT)


class TestBoth:
    def test_what_is_written_is_read(self, store: MemoryStore | DiskStore) -> None:
        assert store.read(KEYS) == [None] * 8
        assert store.write(RECORDS[:5]) == 0
        assert store.read(KEYS) == [*VALUES[:5], None, None, None]
        assert store.write(RECORDS) == 0
        assert store.read(KEYS) == VALUES
        assert store.n_bytes == sum(map(len, VALUES))

    def test_a_record_is_kept_once(self, store: MemoryStore | DiskStore) -> None:
        store.write([RECORDS[3], RECORDS[3]])
        store.write([RECORDS[3]])
        assert store.n_bytes == len(VALUES[3])

    def test_the_limit(self, store: MemoryStore | DiskStore) -> None:
        store.max_bytes = 120  # 0 + 17 + 34 + 51 = 102, and 17 more
        assert store.write(RECORDS) == 4
        assert store.read(KEYS) == [*VALUES[:4], *[None] * 4]
        assert store.write([make(9, size=18)]) == 0
        assert store.write([make(10, size=1)]) == 1
        assert store.n_bytes == 120


class TestDisk:
    def test_reading_makes_no_directory(self, tmp_path: Path) -> None:
        store = DiskStore(tmp_path / "new", LIMIT)
        assert store.read(KEYS) == [None] * 8
        assert not (tmp_path / "new").exists()

    def test_files(self, tmp_path: Path) -> None:
        DiskStore(tmp_path, LIMIT).write(RECORDS)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "index", "lock"]
        assert (tmp_path / DATA).read_bytes() == MAGIC + b"".join(VALUES)
        assert (tmp_path / INDEX).stat().st_size == len(MAGIC) + 8 * ENTRY_BYTES

    def test_another_reader_sees_what_comes(self, tmp_path: Path) -> None:
        writer, reader = DiskStore(tmp_path, LIMIT), DiskStore(tmp_path, LIMIT)
        for i in range(8):
            assert reader.read(KEYS)[i] is None
            writer.write([RECORDS[i]])
            assert reader.read(KEYS)[: i + 1] == VALUES[: i + 1]
        assert reader.n_bytes == writer.n_bytes

    def test_two_writers_take_turns(self, tmp_path: Path) -> None:
        stores = DiskStore(tmp_path, LIMIT), DiskStore(tmp_path, LIMIT)
        for i in range(8):
            stores[i % 2].write(RECORDS[max(i - 1, 0) : i + 1])
        assert [store.read(KEYS) for store in stores] == [VALUES, VALUES]
        assert (tmp_path / DATA).stat().st_size == len(MAGIC) + sum(map(len, VALUES))

    def test_threads_and_processes_write_at_the_same_time(self, tmp_path: Path) -> None:
        shared = DiskStore(tmp_path, LIMIT)
        records = [make(i) for i in range(200)]

        def work(first: int) -> None:
            for i in range(first, 200, 4):
                shared.write(records[i : i + 2])

        context = multiprocessing.get_context("fork")
        workers = [
            *(threading.Thread(target=work, args=(i,)) for i in (0, 1)),
            *(context.Process(target=work, args=(i,)) for i in (2, 3)),
        ]
        for worker in reversed(workers):
            worker.start()
        for worker in workers:
            worker.join()
        assert DiskStore(tmp_path, LIMIT).read([key for key, _ in records]) == [
            record for _, record in records
        ]
        shared.read([])  # a process may have been the last to write
        assert shared.n_bytes == 200 * 40
        assert (tmp_path / DATA).stat().st_size == len(MAGIC) + 200 * 40

    @given(data=st.data())
    def test_files_cut_short_anywhere(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A kill leaves a part of what was written; others may cut more."""
        folder = tmp_path_factory.mktemp("cut")
        open_store = DiskStore(folder, LIMIT)
        open_store.write(RECORDS[:6])
        for name in data.draw(st.sets(st.sampled_from([DATA, INDEX]), min_size=1)):
            size = (folder / name).stat().st_size
            os.truncate(folder / name, data.draw(st.integers(0, size)))
        path = folder / data.draw(st.sampled_from([DATA, INDEX]))
        if path.stat().st_size >= len(MAGIC):  # else it would be a file of another kind
            with path.open("ab") as file:
                file.write(data.draw(st.binary(max_size=100)))
        for store in data.draw(st.permutations([open_store, DiskStore(folder, LIMIT)])):
            found = store.read(KEYS)
            assert all(a in (None, b) for a, b in zip(found, VALUES, strict=True))
            store.write(RECORDS)
            assert store.read(KEYS) == VALUES
        assert DiskStore(folder, LIMIT).read(KEYS) == VALUES

    @pytest.mark.parametrize("n", [6, pytest.param(20, marks=pytest.mark.slow)])
    def test_a_writer_that_is_killed(self, n: int, tmp_path: Path) -> None:
        records = [make(i, size=3000) for i in range(3000)]

        def work() -> None:
            store = DiskStore(tmp_path, 100 * LIMIT)
            for i in range(0, len(records), 3):
                store.write(records[i : i + 3])

        n_found = 0
        for i in range(n):
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            time.sleep(0.02 + 0.013 * i)
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            store = DiskStore(tmp_path, 100 * LIMIT)
            found = store.read([key for key, _ in records])
            assert all(a in (None, b) for a, (_, b) in zip(found, records, strict=True))
            assert sum(a is not None for a in found) >= n_found  # nothing is lost
            n_found = sum(a is not None for a in found)
        assert n_found > 0
        store.write(records)
        assert store.read([key for key, _ in records]) == [record for _, record in records]

    @given(place=st.integers(0, 8 * ENTRY_BYTES - 1), byte=st.integers(1, 255))
    def test_a_damaged_index(
        self, place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        DiskStore(folder, LIMIT).write(RECORDS)
        change(folder / INDEX, len(MAGIC) + place, byte)
        store = DiskStore(folder, LIMIT)
        expected = [None if i == place // ENTRY_BYTES else v for i, v in enumerate(VALUES)]
        assert store.read(KEYS) == expected
        store.write(RECORDS)
        assert store.read(KEYS) == DiskStore(folder, LIMIT).read(KEYS) == VALUES

    @given(place=st.integers(0, sum(map(len, VALUES)) - 1), byte=st.integers(1, 255))
    def test_damaged_data(
        self, place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        store = DiskStore(folder, LIMIT)
        store.write(RECORDS)
        change(folder / DATA, len(MAGIC) + place, byte)
        found = store.read(KEYS)
        assert found.count(None) == 1
        assert all(a in (None, b) for a, b in zip(found, VALUES, strict=True))
        store.write(RECORDS)
        assert store.read(KEYS) == DiskStore(folder, LIMIT).read(KEYS) == VALUES

    @pytest.mark.parametrize("name", [DATA, INDEX])
    def test_a_file_that_was_removed(self, name: str, tmp_path: Path) -> None:
        store = DiskStore(tmp_path, LIMIT)
        store.write(RECORDS)
        (tmp_path / name).unlink()
        assert store.read(KEYS[1:]) == [None] * 7
        store.write(RECORDS)
        assert store.read(KEYS) == DiskStore(tmp_path, LIMIT).read(KEYS) == VALUES

    @pytest.mark.parametrize("name", [DATA, INDEX])
    def test_a_file_of_another_kind(self, name: str, tmp_path: Path) -> None:
        """It is not overwritten: it may be dear to somebody."""
        for content in (b"something else", b"version https://git-lfs.github.com/spec/v1"):
            (tmp_path / name).write_bytes(content)
            message = rf"\[E252\] {re.escape(str(tmp_path))} is not a cache: its file '{name}'"
            with pytest.raises(ValueError, match=message):
                DiskStore(tmp_path, LIMIT).read(KEYS)
            with pytest.raises(ValueError, match=message):
                DiskStore(tmp_path, LIMIT).write(RECORDS)
            assert (tmp_path / name).read_bytes() == content

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        for name in (DATA, INDEX, "lock"):
            folder = tmp_path / f"cache with {name}"
            folder.mkdir()
            (folder / name).symlink_to(tmp_path / "elsewhere")
            store = DiskStore(folder, LIMIT)
            if name == "lock":
                with pytest.warns(UserWarning, match="W006"):
                    store.write(RECORDS)
            else:
                store.write(RECORDS)
                assert store.read(KEYS) == VALUES
            assert not (tmp_path / "elsewhere").exists()

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / INDEX).mkdir()
        with pytest.raises(
            ValueError, match=r"\[E163\] .*index cannot be read as .*: it is a folder"
        ):
            DiskStore(tmp_path, LIMIT).read(KEYS)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
    @pytest.mark.parametrize("name", [DATA, INDEX])
    def test_a_pipe_is_not_waited_for(self, name: str, tmp_path: Path) -> None:
        DiskStore(tmp_path, LIMIT).write(RECORDS)
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=r"\[E163\] .*: it is not a regular file"):
            DiskStore(tmp_path, LIMIT).read(KEYS)

    @pytest.mark.parametrize("place", [(0, 2**62), (2**62, 17), (2**63, 2**63), (100, 10**6)])
    def test_an_entry_of_what_is_not_there(self, place: tuple[int, int], tmp_path: Path) -> None:
        DiskStore(tmp_path, LIMIT).write(RECORDS[1:])
        with (tmp_path / INDEX).open("ab") as file:
            file.write(pack_entry(KEYS[0], Place(*place, bytes(16))))
        store = DiskStore(tmp_path, LIMIT)
        assert store.read(KEYS) == [None, *VALUES[1:]]
        assert store.write(RECORDS) == 0
        assert store.read(KEYS) == DiskStore(tmp_path, LIMIT).read(KEYS) == VALUES

    def test_a_slow_thread_does_not_turn_the_index_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a writer would write over entries."""
        store = DiskStore(tmp_path, LIMIT)
        store.write(RECORDS[:2])
        slow, go = DiskStore(tmp_path, LIMIT), threading.Event()
        slow.write([])
        started = threading.Event()
        DiskStore(tmp_path, LIMIT).write(RECORDS[2:3])
        ident: list[int] = []

        def unpack(data: bytes) -> list[tuple[bytes, Place]]:
            if threading.get_ident() in ident:
                started.set()
                go.wait(0.5)
            return list(unpack_entries(data))

        monkeypatch.setattr("spacy_ctxemb.cache.memory_and_disk_stores.unpack_entries", unpack)

        def read() -> None:
            ident.append(threading.get_ident())
            slow.read(KEYS)

        thread = threading.Thread(target=read)
        thread.start()
        started.wait()
        slow.write(RECORDS[3:])
        position = slow._position
        go.set()
        thread.join()
        assert slow._position == position == len(MAGIC) + 8 * ENTRY_BYTES

    def test_a_path_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = DiskStore(tmp_path / "file" / "cache", LIMIT)
        with pytest.warns(UserWarning, match=r"\[W006\] Nothing more is written .*is a file"):
            assert store.write(RECORDS) == 8
        assert store.write(RECORDS) == 8  # warns once
        assert "is a file, not a folder" in store.failure
        assert store.read(KEYS) == [None] * 8

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DiskStore(tmp_path, LIMIT)
        store.write(RECORDS[:3])

        def fail(path: Path, position: int, data: bytes) -> None:
            with path.open("r+b") as file:
                file.seek(position)
                file.write(data[: len(data) // 2])
            raise OSError("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("spacy_ctxemb.cache.memory_and_disk_stores.write_at", fail)
            with pytest.warns(UserWarning, match="W006.*No space left"):
                assert store.write(RECORDS) == 8
        assert store.read(KEYS)[:4] == [*VALUES[:3], None]
        other = DiskStore(tmp_path, LIMIT)
        other.write(RECORDS)
        assert store.read(KEYS) == other.read(KEYS) == VALUES

    def test_a_lock_that_is_held(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fcntl

        monkeypatch.setattr("spacy_ctxemb.cache.file_lock.LOCK_SECONDS", 0.05)
        store = DiskStore(tmp_path, LIMIT)
        store.write(RECORDS[:3])
        with (tmp_path / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert store.write(RECORDS) == 8
        assert store.read(KEYS)[:4] == [*VALUES[:3], None]
        store.write(RECORDS)  # its next turn
        assert store.read(KEYS) == VALUES


def change(path: Path, place: int, byte: int) -> None:
    """Change the bits of one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= byte
    path.write_bytes(bytes(data))
