"""How fast, how large and how exact usearch's graphs are beside faiss's, on random vectors.

    python -m tests.benchmarks.index_speed [--n 1000000] [--queries 1000] [--threads 2]
        [--breadths 64,256]

Both build HNSW with the same number of links (M) and the same breadths of search (ef: one while
building, several while asking), over the same unit vectors; usearch in f16, i8 and f32, faiss
(`pip install faiss-cpu`) in fp16, 8 bit and fp32. Each graph is built and asked in a process of its
own. Printed are the minutes of building, the memory that the process has more then, recall@10
against the exact neighbours, and queries a second, of all queries at once. Vectors in clusters are
what encoders make; `--clusters 0` makes vectors without any structure, the hardest case.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Search = Callable[[Floats, int], NDArray[np.int64]]
Graph = tuple[Callable[[int, Floats], Any], Search]

#: Links of a vector, and the breadth of search while building: usearch's defaults.
M, EF_BUILD = 16, 128
K = 10
KINDS = ("usearch f16", "faiss fp16", "usearch i8", "faiss 8 bit", "usearch f32", "faiss fp32")
#: Rows that are added, made or compared at a time.
BLOCK = 10_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", default=",".join(KINDS[:2]), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--breadths", default="64,256", help="of search while asking")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(arguments)))
        return
    print(
        f"{arguments.n:,} vectors of width {arguments.width} in {arguments.clusters} clusters, ",
        end="",
    )
    print(f"{arguments.threads} threads, M {M}, ef {EF_BUILD} and {arguments.breadths}\n")
    titles = ("graph", "minutes to build", "GB", "ef", "recall@10", "queries/s")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for kind in arguments.kinds.split(","):
        command = [sys.executable, "-m", "tests.benchmarks.index_speed", "--worker", kind]
        for name in ("n", "width", "queries", "clusters", "threads", "breadths"):
            command += [f"--{name}", str(getattr(arguments, name))]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        for found in json.loads(result.stdout.splitlines()[-1]):
            cells = (
                "{minutes:.2f} | {gigabytes:.2f} | {ef} | {recall:.3f} | {queries_a_second:,.0f}"
            )
            print(f"| {kind} | {cells.format(**found)} |", flush=True)


def measure(arguments: argparse.Namespace) -> list[dict[str, float]]:
    """Build one graph, and ask it."""
    centres, queries = make_queries(arguments)
    build = build_usearch if arguments.worker.startswith("usearch") else build_faiss
    add, search = build(arguments.worker.split(" ", 1)[1], arguments.width, arguments.threads)
    best = np.full((len(queries), K), -np.inf, dtype=np.float32)
    keys = np.zeros((len(queries), K), dtype=np.int64)
    seconds, before = 0.0, read_memory()
    for start in range(0, arguments.n, BLOCK):
        rows = make_rows(centres, start, min(BLOCK, arguments.n - start), arguments.width)
        clock = time.perf_counter()
        add(start, rows)
        seconds += time.perf_counter() - clock
        best, keys = keep_nearest(best, keys, queries @ rows.T, start)
    built = {"minutes": seconds / 60, "gigabytes": (read_memory() - before) / 1e9}
    return [
        {**built, "ef": ef, **ask(search, ef, queries, keys)}
        for ef in (int(ef) for ef in arguments.breadths.split(","))
    ]


def ask(search: Search, ef: int, queries: Floats, nearest: NDArray[np.int64]) -> dict[str, float]:
    clock = time.perf_counter()
    found = search(queries, ef)
    took = time.perf_counter() - clock
    hits = sum(len({*a} & {*b}) for a, b in zip(found.tolist(), nearest.tolist(), strict=True))
    return {"recall": hits / nearest.size, "queries_a_second": len(queries) / took}


def make_queries(arguments: argparse.Namespace) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((arguments.clusters, arguments.width), dtype=np.float32)
    return centres, make_rows(centres, -1, arguments.queries, arguments.width)


def make_rows(centres: Floats, start: int, n: int, width: int) -> Floats:
    """Unit vectors about some centres; the same ones for the same start."""
    rng = np.random.default_rng(start + 2)
    rows = rng.standard_normal((n, width), dtype=np.float32)
    if len(centres):
        rows += centres[rng.integers(len(centres), size=n)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keep_nearest(
    best: Floats, keys: NDArray[np.int64], products: Floats, start: int
) -> tuple[Floats, NDArray[np.int64]]:
    """The nearest of those before and of a block, by its products with the queries."""
    both = np.concatenate([best, products], axis=1)
    places = np.concatenate(
        [keys, np.tile(np.arange(start, start + products.shape[1]), (len(keys), 1))], axis=1
    )
    top = np.argpartition(-both, K, axis=1)[:, :K]
    return np.take_along_axis(both, top, 1), np.take_along_axis(places, top, 1)


def build_usearch(dtype: str, width: int, threads: int) -> Graph:
    from usearch.index import Index

    graph = Index(ndim=width, metric="cos", dtype=dtype, connectivity=M, expansion_add=EF_BUILD)

    def add(start: int, rows: Floats) -> None:
        graph.add(np.arange(start, start + len(rows), dtype=np.uint64), rows, threads=threads)

    def search(queries: Floats, ef: int) -> NDArray[np.int64]:
        graph.expansion_search = ef
        return graph.search(queries, K, threads=threads).keys.astype(np.int64)

    return add, search


def build_faiss(dtype: str, width: int, threads: int) -> Graph:
    import faiss

    faiss.omp_set_num_threads(threads)
    quantizers = {"fp16": faiss.ScalarQuantizer.QT_fp16, "8 bit": faiss.ScalarQuantizer.QT_8bit}
    if dtype == "fp32":
        graph = faiss.IndexHNSWFlat(width, M, faiss.METRIC_INNER_PRODUCT)
    else:
        graph = faiss.IndexHNSWSQ(width, quantizers[dtype], M, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = EF_BUILD

    def add(start: int, rows: Floats) -> None:
        if not graph.is_trained:
            graph.train(rows)
        graph.add(rows)

    def search(queries: Floats, ef: int) -> NDArray[np.int64]:
        graph.hnsw.efSearch = ef
        return graph.search(queries, K)[1]

    return add, search


def read_memory() -> int:
    """The memory of this process, in bytes."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
