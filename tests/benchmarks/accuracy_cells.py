"""The cells of the table of accuracy: which data, which encoder, trained how, by which commands.

A cell is a data set, a row, a number of training examples and a seed. All it runs are public
commands, so that any of them can be pasted into a shell and repeated.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .accuracy_encoders import Encoder
from .accuracy_runs import Command, Job

#: All that one session of the benchmark writes besides its results.
CORPORA = Path("corpus/benchmark")
TRAINING = Path("training/benchmark")
STEP_LOG = Path("tests/benchmarks/step_log.py")

#: Examples of the development data by which the best step is chosen.
DEV_LIMIT = 1000
#: Evaluations while a cell trains, besides the one after the first step.
N_EVALUATIONS = 4


class DataSet(NamedTuple):
    """A folder of train, dev and test. score: the key of `spacy evaluate` that is reported."""

    name: str
    task: str
    lang: str

    @property
    def score(self) -> str:
        # Over exclusive classes micro-averaged F is accuracy.
        return "ents_f" if self.task == "ner" else "cats_micro_f"

    def folder(self, data: Path) -> Path:
        return data / self.task / self.name

    @property
    def corpus(self) -> Path:
        return CORPORA / self.name

    def convert(self, data: Path) -> list[Command]:
        """The commands that bring it to spaCy's format."""
        folder, output = self.folder(data), str(self.corpus)
        if self.task == "textcat":
            return [["ctxemb", "convert-textcat", str(folder), output, "--lang", self.lang]]
        options = ["--converter", "ner", "--n-sents", "1", "--lang", self.lang]
        parts = ("train", "dev", "test")
        return [["convert", str(folder / f"{part}.conll"), output, *options] for part in parts]


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet("wnut17", "ner", "en"),
        DataSet("conll2002_es", "ner", "es"),
        DataSet("conll2002_nl", "ner", "nl"),
        DataSet("wikineural_en", "ner", "en"),
        DataSet("ag_news", "textcat", "en"),
        DataSet("sentence_polarity", "textcat", "en"),
        DataSet("trec_qc", "textcat", "en"),
    )
}


class Recipe(NamedTuple):
    """How long and how fast is learned. batch: words. rate: of Adam, its peak in a schedule."""

    steps: int
    batch: int
    rate: float


class Row(NamedTuple):
    """encoder: which of the encoders given, or None. how: "frozen", "cached" or "finetuned"."""

    name: str
    encoder: str | None
    how: str


ROWS = {
    row.name: row
    for row in (
        Row("hashembedcnn", None, "finetuned"),
        *(
            Row(f"{encoder}-{how}", encoder, how)
            for encoder in ("bilm", "transformer", "minilm")
            for how in ("frozen", "cached", "finetuned")
            # The cache is the same for every encoder: once with a biLM, once with BERT.
            if (encoder, how) != ("transformer", "cached")
        ),
    )
}

#: By the config, and for NER or text classification, how a row is trained.
RECIPES = {
    ("hashembedcnn", "finetuned"): Recipe(2000, 400, 0.001),
    ("bilm", "finetuned"): Recipe(800, 400, 0.001),
    ("transformer", "finetuned"): Recipe(800, 400, 0.001),
    ("source", "finetuned"): Recipe(800, 400, 0.0002),
    ("bilm", "frozen"): Recipe(1500, 400, 0.003),
    ("transformer", "frozen"): Recipe(1500, 400, 0.003),
    ("source", "frozen"): Recipe(1000, 400, 0.003),
}


class Cell(NamedTuple):
    """limit: training examples, 0 for all. steps: 0 for those of the recipe."""

    data_set: DataSet
    row: Row
    encoder: Encoder | None
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
    def stem(self) -> str:
        """Which of the configs of the task."""
        return "hashembedcnn" if self.encoder is None else self.encoder.config

    @property
    def config(self) -> Path:
        return Path("configs", f"{self.data_set.task}_{self.stem}.cfg")

    @property
    def recipe(self) -> Recipe:
        how = "finetuned" if self.row.how == "finetuned" else "frozen"
        recipe = RECIPES[self.stem, how]
        return recipe._replace(steps=self.steps) if self.steps else recipe

    def train(self) -> Command:
        """`spacy train`"""
        recipe, corpus = self.recipe, self.data_set.corpus
        settings = {
            "paths.train": corpus / "train.spacy",
            "paths.dev": corpus / "dev.spacy",
            "paths.log": self.folder / "steps.jsonl",
            "nlp.lang": self.data_set.lang,
            "system.seed": self.seed,
            "corpora.train.limit": self.limit,
            "corpora.dev.limit": DEV_LIMIT,
            "training.max_steps": recipe.steps,
            "training.eval_frequency": max(recipe.steps // N_EVALUATIONS, 1),
            "training.patience": 0,
            "training.batcher.size": recipe.batch,
            "training.logger.@loggers": "benchmark.StepLog.v1",
            **self.set_rate(),
            **self.set_encoder(),
        }
        options = ["--output", str(self.folder), "--code", str(STEP_LOG)]
        overrides = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        return ["train", str(self.config), *options, *overrides]

    def set_rate(self) -> dict[str, object]:
        name = "training.optimizer.learn_rate"
        if self.stem != "source":
            return {name: self.recipe.rate}
        # That config has a schedule, whose warm-up is a tenth.
        warmup = self.recipe.steps // 10
        return {f"{name}.initial_rate": self.recipe.rate, f"{name}.warmup_steps": warmup}

    def set_encoder(self) -> dict[str, object]:
        """Where the encoder comes from, and what listens to it."""
        if self.encoder is None:
            return {}
        listener = f"components.{self.data_set.task}.model.tok2vec"
        settings = dict(self.encoder.settings(listener))
        if self.row.how == "finetuned":
            return settings
        settings["training.frozen_components"] = '["ctxemb"]'
        settings["training.annotating_components"] = '["ctxemb"]'
        # Of a frozen encoder the mix of layers is all that a task can choose.
        settings[f"{listener}.@architectures"] = "spacy-ctxemb.LayerMixListener.v1"
        settings[f"{listener}.width"] = self.encoder.encoder_width
        settings[f"{listener}.layer_norm"] = "document"
        if self.row.how == "cached":
            settings["initialize.before_init"] = json.dumps(self.use_cache())
        return settings

    def use_cache(self) -> dict[str, object]:
        """A cache for training alone; in 16 bits, since it may hold all layers of a corpus."""
        cache = {"path": str(self.folder / "cache"), "dtype": "float16", "max_megabytes": 8000}
        return {
            "@callbacks": "spacy-ctxemb.UseCache.v1",
            "cache": {"@misc": "spacy-ctxemb.FeatureCache.v1", **cache},
        }

    def evaluate(self) -> Command:
        """`spacy evaluate`"""
        test = self.data_set.corpus / "test.spacy"
        output = self.folder / "test.json"
        return ["evaluate", str(self.folder / "model-best"), str(test), "--output", str(output)]

    def job(self) -> Job:
        inputs = [self.config, STEP_LOG, self.data_set.corpus / "benchmark.json"]
        if self.encoder is not None:
            inputs.append(self.encoder.pipeline or self.encoder.path)
        about = {
            "data_set": self.data_set.name,
            "row": self.row.name,
            "limit": self.limit,
            "seed": self.seed,
            **self.recipe._asdict(),
        }
        score = self.data_set.score
        return Job(self.folder, self.train(), self.evaluate(), score, inputs, about)


def list_cells(
    data_sets: Sequence[DataSet],
    rows: Sequence[Row],
    encoders: dict[str, Encoder],
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
                if row.encoder is not None and row.encoder not in encoders:
                    continue
                encoder = None if row.encoder is None else encoders[row.encoder]
                for seed in seeds if row.name in headline else seeds[:1]:
                    yield Cell(data_set, row, encoder, limit, seed, steps)
