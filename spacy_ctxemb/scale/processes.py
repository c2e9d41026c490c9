"""Partitions in several processes of this machine."""

import signal
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from ..errors import Errors
from ..pretraining.text.worker_processes import become_worker
from .partitions import Partition
from .write_partition import Job, PartitionWriter, Result


class Worker:
    """A process that writes one partition after another."""

    def __init__(self, job: Job, number: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.number = number
        self.process = context.Process(target=work, args=(theirs, job, number), daemon=True)
        self.process.start()
        theirs.close()  # so that reading fails once the process is gone

    def begin(self, partition: Partition) -> None:
        self.partition = partition
        with suppress(BrokenPipeError):  # it is gone: reading fails as well
            self.connection.send(partition)

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


def run_in_processes(
    n: int, job: Job, partitions: Sequence[Partition]
) -> Generator[Result, None, None]:
    """Write partitions in n processes of one thread each; results come as they are done.

    With a GPU, each process has one of its own, from job.gpu_id on. A partition whose process dies
    is tried once more, in another one. Raises E835 where that one dies too. All processes end with
    this generator, and with this process, however that ends.
    """
    waiting = deque(partitions)
    suspects: set[Partition] = set()
    workers: dict[Connection, Worker] = {}

    def start(number: int) -> None:
        worker = Worker(job, number)
        workers[worker.connection] = worker
        worker.begin(waiting.popleft())

    try:
        for number in range(min(n, len(waiting))):
            start(number)
        while workers:
            for connection in wait(list(workers)):
                worker = workers[connection]  # type: ignore[index]  # what was passed comes back
                try:
                    yield worker.connection.recv()
                except (EOFError, ConnectionError):
                    bury(worker, suspects)
                    del workers[worker.connection]
                    waiting.appendleft(worker.partition)
                    start(worker.number)
                    continue
                if waiting:
                    worker.begin(waiting.popleft())
                else:
                    workers.pop(worker.connection).end()
    finally:
        for worker in workers.values():
            worker.end()


def bury(worker: Worker, suspects: set[Partition]) -> None:
    """Note over which partition a process has died. Raises E835 for the second one."""
    worker.process.join()
    if worker.partition in suspects:
        values = {"name": worker.partition.name, "code": worker.process.exitcode}
        raise RuntimeError(Errors.E835.format(**values))
    suspects.add(worker.partition)


def work(connection: Connection, job: Job, number: int) -> None:
    """In a process of its own: read partitions, write them, and answer, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    become_worker()
    writer = PartitionWriter(job, job.gpu_id + number if job.gpu_id >= 0 else -1)
    while True:
        connection.send(writer.write(connection.recv()))
