"""The cells of the table of accuracy: which data, which encoder, trained how, by which commands.

A cell is a data set, a row, a number of training examples and a seed. All it runs are public
commands, so that any of them can be pasted into a shell and repeated; its config is what
`init-config` writes, as for any user.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .accuracy_data import DataSet
from .accuracy_runs import Command, Job

#: Where cells are trained.
TRAINING = Path("training/benchmark")
STEP_LOG = Path("tests/benchmarks/step_log.py")

#: spaCy alone, by its own command: HashEmbedCNN for entities, a bag of words for texts.
SPACY = "spacy"
#: How an encoder is used: the options of `init-config`. Stacked: beside a network of the task.
WAYS = {"frozen": ["--freeze"], "stacked": ["--freeze", "--cnn"], "finetuned": []}

#: Steps of each way. Where training examples are few, a step for each, but not fewer than these.
STEPS = {SPACY: 2000, "frozen": 1500, "stacked": 2000, "finetuned": 1000}
FEWEST_STEPS = 200
#: Examples of the development data by which the best step is chosen.
DEV_LIMIT = 1000
#: Evaluations while a cell trains, besides the one after the first step.
N_EVALUATIONS = 4


class Row(NamedTuple):
    """encoder: what `init-config --encoder` is told; None for spaCy's own. way: one of STEPS."""

    name: str
    encoder: str | None
    way: str


class Cell(NamedTuple):
    """limit: training examples, the first ones of the corpus in its order; 0 for all. steps: 0 for
    those of the way."""

    data_set: DataSet
    row: Row
    limit: int
    seed: int
    steps: int = 0

    @property
    def name(self) -> str:
        limit = f"-{self.limit}" if self.limit else ""
        return f"{self.data_set.name}/{self.row.name}{limit}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        return TRAINING / self.name

    @property
    def n_steps(self) -> int:
        usual = STEPS[self.row.way]
        few = max(self.limit, FEWEST_STEPS) if self.limit else usual
        return self.steps or min(usual, few)

    def job(self) -> Job:
        """What is run, and what its result says."""
        inputs = [STEP_LOG, self.data_set.corpus / "benchmark.json"]
        if self.row.encoder and Path(self.row.encoder).exists():
            inputs.append(Path(self.row.encoder))
        about = {
            "data_set": self.data_set.name,
            "row": self.row.name,
            "limit": self.limit,
            "seed": self.seed,
            "steps": self.n_steps,
        }
        commands = {"config": self.write_config(), "train": self.train()}
        commands["evaluate"] = self.evaluate()
        return Job(self.folder, commands, self.data_set.score, inputs, about)

    def write_config(self) -> Command:
        """`spacy init config`, or that of this package."""
        path, data_set = str(self.folder / "config.cfg"), self.data_set
        if self.row.encoder is None:
            options = ["--pipeline", data_set.task, "--optimize", "efficiency"]
            return ["init", "config", path, "--lang", data_set.lang, *options]
        options = ["--task", data_set.task, "--encoder", self.row.encoder, *WAYS[self.row.way]]
        return ["ctxemb", "init-config", path, "--lang", data_set.lang, *options]

    def train(self) -> Command:
        """`spacy train`"""
        return write_train(
            self.folder, self.data_set, limit=self.limit, steps=self.n_steps, seed=self.seed
        )

    def evaluate(self) -> Command:
        """`spacy evaluate`"""
        test = self.data_set.corpus / "test.spacy"
        output = self.folder / "test.json"
        return ["evaluate", str(self.folder / "model-best"), str(test), "--output", str(output)]


def write_train(folder: Path, data_set: DataSet, *, limit: int, steps: int, seed: int) -> Command:
    """`spacy train` of config.cfg in a folder, with a log of its steps there."""
    log = {"@loggers": "benchmark.StepLog.v1", "output_file": f"{folder}/steps.jsonl"}
    settings = {
        "paths.train": data_set.corpus / "train.spacy",
        "paths.dev": data_set.corpus / "dev.spacy",
        "system.seed": seed,
        "corpora.train.limit": limit,
        "corpora.dev.limit": DEV_LIMIT,
        "training.max_steps": steps,
        "training.eval_frequency": max(steps // N_EVALUATIONS, 1),
        "training.patience": 0,
        "training.logger": json.dumps(log),
    }
    overrides = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    path = str(folder / "config.cfg")
    return ["train", path, "--output", str(folder), "--code", str(STEP_LOG), *overrides]


def list_rows(encoders: Sequence[str]) -> dict[str, Row]:
    """spaCy alone, and each encoder in each way, by their names; paths by their last part.

    Raises ValueError for two encoders of a name, whose results would be one row.
    """
    names = [Path(encoder).name for encoder in encoders]
    if len({SPACY, *names}) <= len(names):
        raise ValueError(f"Give each encoder a folder of another name, not {list(encoders)}.")
    rows = [Row(SPACY, None, SPACY)]
    for encoder in encoders:
        rows += [Row(f"{Path(encoder).name}-{way}", encoder, way) for way in WAYS]
    return {row.name: row for row in rows}


def list_cells(
    data_sets: Sequence[DataSet],
    rows: Sequence[Row],
    *,
    limits: Sequence[int],
    seeds: Sequence[int],
    headline: Sequence[str],
    steps: int,
) -> Iterator[Cell]:
    """Cells in the order of the table; rows that are not in the headline have the first seed."""
    for data_set in data_sets:
        for limit in limits:
            for row in rows:
                for seed in seeds if row.name in headline else seeds[:1]:
                    yield Cell(data_set, row, limit, seed, steps)
