"""The trainings of a comparison, and how to do those that are missing."""

import itertools
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from ..atomic_files import replacing
from ..errors import Errors
from . import train_one_run
from .train_one_run import PARTS, Run


def plan_runs(
    configs: Mapping[str, Sequence[Path]],
    corpora: Mapping[str, Path],
    sizes: Sequence[int],
    seeds: Sequence[int],
    seeds_of_all: Sequence[int],
    overrides: Mapping[str, Any],
) -> list[Run]:
    """Every config on every corpus, with every number of labelled examples and every seed.

    Configs in their order: where the slowest is the first, several workers end at about the same
    time. seeds_of_all: for the size 0, which is all examples. Raises E513 for a missing file, E514
    for names by which two trainings would have the same result.
    """
    parts = (folder / f"{part}.spacy" for folder in corpora.values() for part in PARTS)
    paths = itertools.chain(*configs.values(), parts)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ValueError(Errors.E513.format(paths=missing))
    runs = [
        Run(config, configs[config], corpus, corpora[corpus], n_labelled, seed, overrides)
        for config, corpus, n_labelled in itertools.product(configs, corpora, sizes)
        for seed in (seeds if n_labelled else seeds_of_all)
    ]
    names = set[str]()
    for run in runs:  # say "a-10" and "b", "a" and "10-b"
        if run.name in names:
            raise ValueError(Errors.E514.format(text=f"{run.corpus}={run.corpus_path}"))
        names.add(run.name)
    return runs


def do_runs(
    runs: Sequence[Run], folder: Path, *, n_workers: int = 1, gpu_id: int = -1
) -> Iterator[dict[str, Any]]:
    """Train what `folder` has no result of yet; yield each new result once it is written there.

    With several workers, each is a process with one thread. Raises E518 for a training that fails,
    E522 for a worker that is killed: those that have not begun are left out, and the others keep
    their results.
    """
    missing = [run for run in runs if not is_done(run, folder)]
    if n_workers == 1:
        yield from (do_run(run, folder, gpu_id) for run in missing)
        return
    # A forked process has imported everything already. GPUs and other systems do not bear a fork.
    can_fork = sys.platform == "linux" and gpu_id < 0
    context = multiprocessing.get_context("fork" if can_fork else "spawn")
    with ProcessPoolExecutor(n_workers, context, torch.set_num_threads, (1,)) as pool:
        futures = [pool.submit(do_run, run, folder, gpu_id) for run in missing]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BrokenProcessPool as error:
            raise RuntimeError(Errors.E522.format(n=n_workers)) from error
        finally:
            pool.shutdown(cancel_futures=True)


def do_run(run: Run, folder: Path, gpu_id: int = -1) -> dict[str, Any]:
    """Train one pipeline, and write its result into the folder. Raises E518 if this fails."""
    # The place of the result comes first: a training should not end where nothing can be kept.
    with replacing(folder / f"{run.name}.json") as path:
        try:
            result = {"fingerprint": run.fingerprint, **train_one_run.train(run, gpu_id)}
        except Exception as error:  # components may be anybody's
            reason = str(error).strip() or repr(error)
            raise ValueError(Errors.E518.format(name=run.name, reason=reason)) from error
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    return result


def is_done(run: Run, folder: Path) -> bool:
    """Whether the folder has a result of this config, these overrides and this corpus."""
    path = folder / f"{run.name}.json"
    return path.is_file() and read_result(path).get("fingerprint") == run.fingerprint


def read_result(path: Path) -> dict[str, Any]:
    """A result of the folder; {} for a file that holds something else, say half of one."""
    try:
        result = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}
