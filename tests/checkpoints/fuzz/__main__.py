"""python -m tests.checkpoints.fuzz --kind bert --n 1000 --seed 0 --output failed.jsonl"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

# Before PyTorch and tokenizers start threads, which a forked child would not have.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

if TYPE_CHECKING:
    from .worker import Case

#: What may become of a damaged model; everything else is a failure.
GOOD = ("refused", "equal", "unchecked")

#: With fewer cases it is quicker to import libraries in each child that needs them.
MANY = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["bert", "wrap", "elmo"], action="append", required=True)
    parser.add_argument("--n", type=int, default=60, help="Cases of each kind")
    parser.add_argument("--seed", type=int, default=0, help="Of the first case")
    parser.add_argument("--minutes", type=float, default=None, help="Stop each kind then")
    parser.add_argument("--output", type=Path, default=None, help="JSON lines of failed cases")
    parser.add_argument("--keep", type=Path, default=None, help="Folder for failed models")
    arguments = parser.parse_args()
    has_failed = False
    for kind in arguments.kind:
        begin = time.monotonic()
        cases = list(run_cases(kind, arguments))
        print(f"{kind}: {len(cases)} cases from seed {arguments.seed}", end="")
        print(f" in {time.monotonic() - begin:.0f} s")
        show(cases)
        has_failed |= any(is_failed(case) for case in cases)
    return int(has_failed)


def run_cases(kind: str, arguments: argparse.Namespace) -> "Iterator[Case]":
    """The cases of one kind. What has failed is written down, and kept if that is wanted."""
    import torch

    from .worker import run_case, warm_up

    torch.set_num_threads(1)
    end = time.monotonic() + 60 * arguments.minutes if arguments.minutes else float("inf")
    memory = Path("/dev/shm")  # a folder in memory, where there is one
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        warm_up(kind, Path(place), takes_all=arguments.n >= MANY)
        for seed in range(arguments.seed, arguments.seed + arguments.n):
            if time.monotonic() > end:
                return
            folder = Path(place) / f"case-{seed}"
            folder.mkdir()
            case = run_case(kind, seed, folder)
            if is_failed(case):
                write_down(case, folder / "model", arguments)
            shutil.rmtree(folder, ignore_errors=True)
            yield case


def is_failed(case: "Case") -> bool:
    return case.result.what not in GOOD


def write_down(case: "Case", model: Path, arguments: argparse.Namespace) -> None:
    if arguments.output:
        with arguments.output.open("a") as lines:
            lines.write(json.dumps(case._asdict()) + "\n")
    if arguments.keep and model.exists():
        target = arguments.keep / f"{case.kind}-{case.seed}"
        shutil.copytree(model, target, symlinks=True, dirs_exist_ok=True)


def show(cases: "list[Case]") -> None:
    """A table of outcomes, then the failures by what has failed."""
    for what, n in Counter(case.result.what for case in cases).most_common():
        print(f"  {what:14}{n:6}")
    slowest, largest = max(c.seconds for c in cases), max(c.bytes for c in cases)
    print(f"  slowest {slowest:.1f} s, largest {largest / 1e6:.0f} MB")
    codes = Counter(case.result.why for case in cases if case.result.what == "refused")
    print(f"  refused with {', '.join(f'{code} {n}' for code, n in codes.most_common(20))}")
    groups = defaultdict(list)
    for case in filter(is_failed, cases):
        groups[f"{case.result.what}: {case.result.why.split(': ')[0][:120]}"].append(case)
    for group, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        print(f"  {len(members):4} {group}")
        for case in members[:3]:
            print(f"         {case.seed}: {case.result.why[:160]} <- {case.done[:240]}")


if __name__ == "__main__":
    sys.exit(main())
