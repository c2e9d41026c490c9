"""Partitions in several processes of this machine."""

import signal
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from ..errors import Errors
from ..pretraining.text.worker_processes import become_worker
from .encode_rows import Job
from .partitions import Partition
from .write_partition import PartitionWriter, Result


def run_in_processes(
    n: int, job: Job, partitions: Sequence[Partition]
) -> Generator[Result, None, None]:
    """Write partitions in n processes of one thread each; results come as they are done.

    With a GPU, each process has one of its own, from job.gpu_id on. A partition whose process dies
    is tried once more, in another one; where that one dies too, its result is E835. All processes
    end with this generator, and with this process, however that ends.
    """
    waiting = deque(partitions)
    suspects: set[Partition] = set()
    workers: dict[Connection, tuple[BaseProcess, int]] = {}
    begun: dict[Connection, Partition] = {}
    idle = list(range(min(n, len(waiting))))
    try:
        while waiting or workers:
            while idle and waiting:
                connection, process = start(job, number := idle.pop(0))
                workers[connection] = process, number
                begun[connection] = begin(connection, waiting)
            for connection in cast(list[Connection], wait(list(workers))):
                try:
                    yield connection.recv()
                    if waiting:
                        begun[connection] = begin(connection, waiting)
                        continue
                except (EOFError, OSError):  # the process is gone
                    partition = begun[connection]
                    if partition in suspects:
                        yield Result(partition.name, error=blame(partition, workers[connection][0]))
                    else:
                        suspects.add(partition)
                        waiting.appendleft(partition)
                process, number = workers.pop(connection)
                end(connection, process)
                idle.append(number)
    finally:
        for connection, (process, _) in workers.items():
            end(connection, process)


def start(job: Job, number: int) -> tuple[Connection, BaseProcess]:
    """A process that writes one partition after another, and our end of a pipe to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, job, number), daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the process has from its start
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()  # so that reading fails once the process is gone
    return ours, process


def begin(connection: Connection, waiting: deque[Partition]) -> Partition:
    partition = waiting.popleft()
    with suppress(OSError):  # the process is gone: reading fails as well
        connection.send(partition)
    return partition


def blame(partition: Partition, process: BaseProcess) -> str:
    """The error of a partition over which a second process has died."""
    process.join()
    first, last = partition.first, partition.first + partition.n - 1
    values = {"name": partition.name, "file": partition.file, "code": process.exitcode}
    return Errors.E835.format(**values, first=first, last=last)


def end(connection: Connection, process: BaseProcess) -> None:
    process.terminate()
    process.join()
    connection.close()


def work(connection: Connection, job: Job, number: int) -> None:
    """In a process of its own: read partitions, write them, and answer, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    become_worker()
    writer = PartitionWriter(job, job.gpu_id + number if job.gpu_id >= 0 else -1)
    while True:
        connection.send(writer.write(connection.recv()))
