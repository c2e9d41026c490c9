"""The trainings of a comparison, and how to do those that are missing."""

import hashlib
import itertools
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..atomic_files import compute_checksum, replacing
from ..errors import Errors

PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Run:
    """One training of a config on a corpus, or several one after the other.

    config_paths: each of the later ones has paths.pipeline, for what the one before has trained.
    corpus_path: a folder with train.spacy, dev.spacy and test.spacy. n_labelled: how many
    training examples the seed chooses; 0 for all. overrides: settings of the config.
    """

    config: str
    config_paths: Sequence[Path]
    corpus: str
    corpus_path: Path
    n_labelled: int
    seed: int
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.corpus}-{self.n_labelled or 'all'}-{self.config}-{self.seed}"

    @property
    def fingerprint(self) -> str:
        """Changes when the config, an override or the corpus changes."""
        files = [*self.config_paths, *(self.corpus_path / f"{part}.spacy" for part in PARTS)]
        content = [*map(compute_checksum, files), sorted(self.overrides.items())]
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def plan_runs(
    configs: Mapping[str, Sequence[Path]],
    corpora: Mapping[str, Path],
    sizes: Sequence[int],
    seeds: Sequence[int],
    seeds_of_all: Sequence[int],
    overrides: Mapping[str, Any],
) -> list[Run]:
    """Every config on every corpus, with every number of labelled examples and every seed.

    seeds_of_all: for the size 0, which is all examples. Raises E513 for a file that is missing.
    """
    parts = (folder / f"{part}.spacy" for folder in corpora.values() for part in PARTS)
    paths = itertools.chain(*configs.values(), parts)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ValueError(Errors.E513.format(paths=missing))
    return [
        Run(config, configs[config], corpus, corpora[corpus], n_labelled, seed, overrides)
        for corpus, n_labelled, config in itertools.product(corpora, sizes, configs)
        for seed in (seeds if n_labelled else seeds_of_all)
    ]


def do_runs(
    runs: Sequence[Run], folder: Path, *, n_workers: int = 1, gpu_id: int = -1
) -> Iterator[dict[str, Any]]:
    """Train what `folder` has no result of yet; yield each new result once it is written there.

    With several workers, each is a process with one thread.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [run for run in runs if not is_done(run, folder)]
    if n_workers == 1:
        yield from (do_run(run, folder, gpu_id) for run in missing)
        return
    # New processes read the number of threads when they start.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context) as pool:
        futures = [pool.submit(do_run, run, folder, gpu_id) for run in missing]
        yield from (future.result() for future in as_completed(futures))


def do_run(run: Run, folder: Path, gpu_id: int = -1) -> dict[str, Any]:
    """Train one pipeline, and write its result into the folder."""
    from .train_one_run import train

    result = {"fingerprint": run.fingerprint, **train(run, gpu_id)}
    with replacing(folder / f"{run.name}.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    return result


def is_done(run: Run, folder: Path) -> bool:
    """Whether the folder has a result of this config, these overrides and this corpus."""
    path = folder / f"{run.name}.json"
    return path.is_file() and read_result(path).get("fingerprint") == run.fingerprint


def read_result(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    return result
