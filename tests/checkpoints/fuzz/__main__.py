"""python -m tests.checkpoints.fuzz --kind bert --n 1000 --seed 0 --output failed.jsonl"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

#: What may become of a damaged model; everything else is a failure.
GOOD = ("refused", "equal", "unchecked")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["bert", "wrap", "elmo"], action="append", required=True)
    parser.add_argument("--n", type=int, default=60, help="Cases of each kind")
    parser.add_argument("--seed", type=int, default=0, help="Of the first case")
    parser.add_argument("--minutes", type=float, default=None, help="Stop after this time")
    parser.add_argument("--output", type=Path, default=None, help="JSON lines of failed cases")
    parser.add_argument("--keep", type=Path, default=None, help="Folder for failed models")
    arguments = parser.parse_args()
    n_failed = 0
    for kind in arguments.kind:
        n_failed += fuzz(kind, arguments)
    return min(n_failed, 1)


def fuzz(kind: str, arguments: argparse.Namespace) -> int:
    """Run the cases of one kind and print what became of them; returns the number of failures."""
    import torch

    from .worker import Case, run_case, warm_up

    torch.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    failed: list[Case] = []
    slowest, largest = 0.0, 0
    begin = time.monotonic()
    shared_memory = Path("/dev/shm")
    with TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as place:
        warm_up([kind], Path(place))
        for seed in range(arguments.seed, arguments.seed + arguments.n):
            if arguments.minutes and time.monotonic() - begin > 60 * arguments.minutes:
                break
            folder = Path(place) / f"case-{seed}"
            folder.mkdir()
            case = run_case(kind, seed, folder)
            outcomes[case.result.what] += 1
            codes[case.result.why] += case.result.what == "refused"
            slowest, largest = max(slowest, case.seconds), max(largest, case.bytes)
            if case.result.what not in GOOD:
                failed.append(case)
                keep(case, folder, arguments)
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - begin
    n = sum(outcomes.values())
    print(f"{kind}: {n} cases from seed {arguments.seed} in {seconds:.0f} s")
    for what, count in outcomes.most_common():
        print(f"  {what:13}{count:6}")
    print(f"  slowest {slowest:.1f} s, largest {largest / 1e6:.0f} MB")
    print(f"  codes {dict(codes.most_common(12))}")
    for case in failed[:40]:
        print(f"  {case.seed}: {case.result.what}: {case.result.why} <- {case.done}"[:400])
    return len(failed)


def keep(case: "Case", folder: Path, arguments: argparse.Namespace) -> None:  # noqa: F821
    """Write a failed case down, and its model where that is wanted."""
    if arguments.output:
        with arguments.output.open("a") as lines:
            lines.write(json.dumps(case._asdict(), default=str) + "\n")
    if arguments.keep:
        target = arguments.keep / f"{case.kind}-{case.seed}"
        shutil.copytree(folder / "model", target, symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
