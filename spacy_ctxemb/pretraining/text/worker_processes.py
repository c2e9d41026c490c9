"""Tokenising a corpus chunk by chunk, in this process or in others."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for_futures
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

import torch

from ...pieces.subwords import THREADS_SWITCH
from .raw_text import Text, TextCorpus
from .shards import is_shard, save_shard
from .tokenize_chunk import Recipe, Worker

#: Characters of a chunk, roughly. One may have four times as many to end with a document.
CHUNK = 1 << 20


def make_shards(
    corpus: TextCorpus, recipe: Recipe, folder: Path, *, n_workers: int
) -> Iterator[Path]:
    """Tokenise each chunk of a corpus into its file; those that were written before are kept.

    n_workers: see build_token_store.
    """
    rest = ((folder / f"{i:06}.safetensors", chunk) for i, chunk in enumerate(cut_chunks(corpus)))
    first = list(islice(rest, 2))
    chunks = chain(first, rest)
    if n_workers == 0 or len(first) < 2:  # to start a process takes longer than one chunk
        worker = Worker(recipe)
        for path, chunk in chunks:
            if not is_shard(path):
                save_shard(worker.encode(chunk), path)
            yield path
        return
    running: set[Future[None]] = set()
    with ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=start_worker, initargs=(recipe,)
    ) as pool:
        for path, chunk in chunks:
            if len(running) > 2 * n_workers:
                running = collect(running, return_when=FIRST_COMPLETED)
            if not is_shard(path):
                running.add(pool.submit(write_shard, chunk, path))
            yield path
        while running:
            running = collect(running, return_when=FIRST_COMPLETED)


def collect(running: set[Future[None]], *, return_when: str) -> set[Future[None]]:
    """Wait for chunks, and return those that are not done. Raises what a worker has raised."""
    done, running = wait_for_futures(running, return_when=return_when)
    for future in done:
        future.result()
    return running


def cut_chunks(corpus: TextCorpus) -> Iterator[Sequence[Text]]:
    """Cut a corpus in runs of texts, always alike, which end with a document where that is near."""
    chunk: list[Text] = []
    n = 0
    for _, text in corpus.number_documents():
        if n >= CHUNK and (text.begins_document or n >= 4 * CHUNK):
            yield chunk
            chunk, n = [], 0
        chunk.append(text)
        n += len(text.text)
    if chunk:
        yield chunk


#: The worker of this process, where it is one.
_worker: list[Worker] = []


def start_worker(recipe: Recipe) -> None:
    become_worker()
    _worker[:] = [Worker(recipe)]


def become_worker() -> None:
    """Make this process a worker of one thread, which ends when its parent does, however that
    happens."""
    parent = parent_process()
    if parent is not None:
        Thread(target=end_after, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    os.environ[THREADS_SWITCH] = "false"


def end_after(process: BaseProcess) -> None:
    """End this process as soon as another one has: a killed one cannot tell its workers to."""
    wait([process.sentinel])
    os._exit(1)


def write_shard(chunk: Sequence[Text], path: Path) -> None:
    save_shard(_worker[0].encode(chunk), path)
