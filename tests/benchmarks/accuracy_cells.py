"""The cells of the table of accuracy: which data, which encoder, trained how, by which commands.

A cell is a data set, a row, a number of training examples and a seed. All it runs are public
commands, so that any of them can be pasted into a shell and repeated.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .accuracy_data import DataSet
from .accuracy_encoders import Encoder, choose_pipeline, find_config, in_language
from .accuracy_rows import FEWEST_STEPS, RECIPES, Recipe, Row
from .accuracy_runs import Command, Job

#: Where cells are trained.
TRAINING = Path("training/benchmark")
STEP_LOG = Path("tests/benchmarks/step_log.py")

#: The network that a task trains beside a frozen encoder, as `init-config --cnn` writes it.
CNN: dict[str, object] = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 96,
    "depth": 4,
    "embed_size": 2000,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
    "pretrained_vectors": None,
}

#: Examples of the development data by which the best step is chosen.
DEV_LIMIT = 1000
#: Evaluations while a cell trains, besides the one after the first step.
N_EVALUATIONS = 4


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
        """Which of the configs."""
        return "hashembedcnn" if self.encoder is None else self.encoder.config

    @property
    def has_head(self) -> bool:
        """Whether what stands on the encoder is trained first: all has one learning rate, and
        what suits new weights ruins those of a published model (Kumar et al. 2022, "Fine-Tuning
        can Distort Pretrained Features and Underperform Out-of-Distribution")."""
        return self.stem == "source" and self.row.how == "finetuned"

    @property
    def recipe(self) -> Recipe:
        return self.find_recipe("frozen" if self.row.how == "cached" else self.row.how)

    def find_recipe(self, how: str) -> Recipe:
        recipes = RECIPES[self.data_set.task]
        own = (f"{self.row.encoder} {self.stem}", how)
        recipe = recipes[own if own in recipes else (self.stem, how)]
        if self.limit:
            most = max(self.limit, FEWEST_STEPS)
            recipe = recipe._replace(steps=min(recipe.steps, most))
        return recipe._replace(steps=self.steps) if self.steps else recipe

    def job(self) -> Job:
        """What is run, and what its result says."""
        configs = sorted({Path(command[1]) for command in self.train().values()})
        inputs = [*configs, STEP_LOG, self.data_set.corpus / "benchmark.json"]
        if self.encoder is not None:
            inputs.append(self.encoder.pipeline or self.encoder.path)
        about = {
            "data_set": self.data_set.name,
            "row": self.row.name,
            "limit": self.limit,
            "seed": self.seed,
            **self.recipe._asdict(),
            "steps": self.recipe.steps + (self.find_recipe("head").steps if self.has_head else 0),
        }
        commands = {**self.train(), "evaluate": self.evaluate()}
        return Job(self.folder, commands, self.data_set.score, inputs, about)

    def train(self) -> dict[str, Command]:
        """One `spacy train` or two."""
        if not self.has_head:
            frozen = {} if self.row.how == "finetuned" else self.freeze()
            settings = {**self.set_encoder(), **frozen}
            return {"train": self.spell(self.stem, self.folder, self.recipe, settings)}
        head, further = self.folder / "head", {"paths.pipeline": self.folder / "head/model-best"}
        settings = {**self.set_encoder(), **self.freeze()}
        return {
            "head": self.spell("source", head, self.find_recipe("head"), settings),
            "train": self.spell("further", self.folder, self.recipe, further),
        }

    def spell(
        self, config: str, folder: Path, recipe: Recipe, settings: dict[str, object]
    ) -> Command:
        """`spacy train`"""
        corpus, rate = self.data_set.corpus, "training.optimizer.learn_rate"
        # Those of the configs that have a schedule have warm-up, too.
        rates: dict[str, object] = {rate: recipe.rate}
        if config in ("source", "further"):
            rates = {
                f"{rate}.initial_rate": recipe.rate,
                f"{rate}.warmup_steps": recipe.steps // 10,
            }
        everything = {
            "paths.train": corpus / "train.spacy",
            "paths.dev": corpus / "dev.spacy",
            "paths.log": folder / "steps.jsonl",
            "nlp.lang": self.data_set.lang,
            "nlp.pipeline": choose_pipeline(config, self.data_set.task),
            "system.seed": self.seed,
            "corpora.train.limit": self.limit,
            "corpora.dev.limit": DEV_LIMIT,
            "training.max_steps": recipe.steps,
            "training.eval_frequency": max(recipe.steps // N_EVALUATIONS, 1),
            "training.patience": 0,
            "training.batcher.size": recipe.batch,
            "training.logger.@loggers": "benchmark.StepLog.v1",
            **rates,
            **settings,
        }
        path = str(find_config(config, self.data_set.task))
        overrides = [word for key, value in everything.items() for word in (f"--{key}", str(value))]
        return ["train", path, "--output", str(folder), "--code", str(STEP_LOG), *overrides]

    def evaluate(self) -> Command:
        """`spacy evaluate`"""
        test = self.data_set.corpus / "test.spacy"
        output = self.folder / "test.json"
        return ["evaluate", str(self.folder / "model-best"), str(test), "--output", str(output)]

    # Settings of the config

    @property
    def listener(self) -> str:
        return f"components.{self.data_set.task}.model.tok2vec"

    def set_encoder(self) -> dict[str, object]:
        """Where the encoder comes from."""
        if self.encoder is None:
            return {}
        return dict(self.encoder.settings(None if self.row.how == "stacked" else self.listener))

    def freeze(self) -> dict[str, object]:
        """The encoder stays as it is."""
        assert self.encoder is not None
        settings: dict[str, object] = {
            "training.frozen_components": '["ctxemb"]',
            "training.annotating_components": '["ctxemb"]',
        }
        if self.row.how in ("cached", "stacked"):
            settings["initialize.before_init"] = json.dumps(self.use_cache())
        if self.row.how == "stacked":
            settings[self.listener] = json.dumps(self.stack())
        elif self.has_mix:
            settings |= {f"{self.listener}.{key}": value for key, value in self.mix().items()}
        return settings

    @property
    def has_mix(self) -> bool:
        """Whether the task has a mix of layers of its own: all it can choose of a frozen encoder.
        MiniLM's last layer was trained to make vectors of texts."""
        return (self.data_set.task, self.row.encoder) != ("textcat", "minilm")

    def mix(self) -> dict[str, object]:
        """A listener that mixes layers."""
        assert self.encoder is not None
        return {
            "@architectures": "spacy-ctxemb.LayerMixListener.v1",
            "width": self.encoder.encoder_width,
            "layer_norm": "document",
        }

    def stack(self) -> dict[str, object]:
        """The encoder's vectors beside those of a network that the task trains."""
        assert self.encoder is not None
        plain = {"@architectures": "spacy.Tok2VecListener.v1", "width": self.encoder.width}
        context = {**(self.mix() if self.has_mix else plain), "upstream": "ctxemb"}
        return {
            "@architectures": "spacy-ctxemb.Stack.v1",
            "combine": "concat",
            "members": {"cnn": CNN, "context": context},
        }

    def use_cache(self) -> dict[str, object]:
        """A cache for training alone; in 16 bits, since it may hold all layers of a corpus."""
        cache = {"path": str(self.folder / "cache"), "dtype": "float16", "max_megabytes": 8000}
        return {
            "@callbacks": "spacy-ctxemb.UseCache.v1",
            "cache": {"@misc": "spacy-ctxemb.FeatureCache.v1", **cache},
        }


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
                encoder = None
                if row.encoder is not None:
                    encoder = in_language(encoders[row.encoder], data_set.lang)
                for seed in seeds if row.name in headline else seeds[:1]:
                    yield Cell(data_set, row, encoder, limit, seed, steps)
