"""Tiny pretraining for the tests: a text, the project's configs made small, weights."""

from pathlib import Path
from typing import Any, NamedTuple

import srsly
from spacy.cli.init_config import fill_config
from spacy.language import Language
from spacy.schemas import ConfigSchemaPretrain
from spacy.tokens import Doc
from spacy.training.pretrain import create_pretraining_model, make_update
from spacy.training.pretrain import pretrain as spacy_pretrain
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config, Optimizer, fix_random_seed

from spacy_ctxemb.pieces.subwords import WordPieces
from spacy_ctxemb.pretraining.spacy_pretrain_objectives import ObjectiveModel, load_pretrained
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim

CONFIGS = Path(__file__).parents[2] / "configs"
#: Configs for `spacy train`, of encoders with weights of the pretraining ones.
TRAINING_CONFIGS = Path(__file__).with_name("configs")

TEXT = """
The ferry leaves the harbour at nine and comes back at noon.
A heron stood by the river and waited for a fish.
The bank by the river was steep and wet.
She took a loan from the bank and bought a small boat.
The boat leaves the harbour when the wind comes from the west.
He waited by the harbour for the ferry at noon.
The wind from the west was cold and wet.
A fish swam by the boat and the heron took it.
She stood on the steep bank and waited for the wind.
The bank was small and the loan was small.
He bought a fish at the harbour and took it back.
The ferry comes back when the wind leaves the river.
A small heron swam by the steep bank of the river.
The river was cold when she came back from the boat.
He took the ferry at nine and stood in the wind.
The loan from the bank comes at noon.
""".strip().splitlines()

#: Both objectives, by the names of their configs in configs/pretrain_*.cfg.
OBJECTIVES = ("bilm", "mlm")

VOCAB_SIZE = 300
WIDTH = 16
ENCODER = "components.ctxemb.model.encoder"
TINY_ENCODERS: dict[str, dict[str, Any]] = {
    "bilm": {
        f"{ENCODER}.width": WIDTH,
        f"{ENCODER}.hidden_width": 12,
        f"{ENCODER}.filters": [[1, 4], [3, 6]],
        f"{ENCODER}.character_width": 4,
    },
    "mlm": {
        f"{ENCODER}.vocab_size": VOCAB_SIZE,
        f"{ENCODER}.width": WIDTH,
        f"{ENCODER}.n_blocks": 2,
        f"{ENCODER}.n_heads": 2,
        f"{ENCODER}.feedforward_width": 32,
    },
}
TINY_PRETRAINING: dict[str, dict[str, Any]] = {
    "bilm": {"pretraining.dropout": 0.0, "pretraining.optimizer.learn_rate": 0.02},
    "mlm": {
        "pretraining.dropout": 0.0,
        "pretraining.optimizer.learn_rate": 0.02,
        # Of a short text a small share would be a different number of pieces each time.
        "pretraining.objective.share": 0.5,
    },
}


class Pretraining(NamedTuple):
    """What `spacy pretrain` makes of a config."""

    nlp: Language
    model: ObjectiveModel
    optimizer: Optimizer

    @property
    def docs(self) -> list[Doc]:
        return [self.nlp.make_doc(text) for text in TEXT]

    @property
    def shim(self) -> EmbedderShim:
        (shim,) = self.model.get_ref("tok2vec").shims
        assert isinstance(shim, EmbedderShim)
        return shim

    def update(self) -> float:
        """Train on the text; returns the loss of a word before."""
        docs = self.docs
        loss = make_update(self.model, docs, self.optimizer, self.model.attrs["loss"])
        return loss / sum(len(doc) for doc in docs)


def write_config(objective: str, directory: Path) -> Path:
    """A complete config of pretraining as `init fill-config` makes it, and what it reads."""
    write_text(directory / "text.txt", TEXT)
    pieces = WordPieces(VOCAB_SIZE)
    pieces.train([TEXT])
    (directory / "pieces.json").write_text(pieces.tokenizer.to_str(), encoding="utf8")
    path = directory / f"{objective}.cfg"
    fill_config(path, CONFIGS / f"pretrain_{objective}.cfg", pretraining=True, silent=True)
    return path


def read_ner_config() -> Config:
    """A config that trains named entity recognition on a biLM."""
    config = Config().from_disk(TRAINING_CONFIGS / "bilm.cfg", interpolate=False)
    config["nlp"]["pipeline"] = ["ctxemb", "ner"]
    del config["components"]["textcat"]
    return config


def tiny_config(objective: str, directory: Path, **changes: Any) -> Config:
    """A config of pretraining with a tiny encoder. changes: with __ for the dots of a name."""
    paths = {"paths.raw_text": str(directory / "text.txt")}
    if objective == "mlm":
        paths["paths.pieces"] = str(directory / "pieces.json")
    renamed = {name.replace("__", "."): value for name, value in changes.items()}
    overrides = {**TINY_ENCODERS[objective], **TINY_PRETRAINING[objective], **paths, **renamed}
    return load_config(write_config(objective, directory), overrides=overrides).interpolate()


def start(config: Config) -> Pretraining:
    """The model that `spacy pretrain` would train."""
    fix_random_seed(0)
    nlp = load_model_from_config(config, auto_fill=True)
    settings = registry.resolve(
        nlp.config.interpolate()["pretraining"], schema=ConfigSchemaPretrain
    )
    return Pretraining(nlp, create_pretraining_model(nlp, settings), settings["optimizer"])


def pretrain(config: Config, output_dir: Path, **settings: Any) -> list[dict[str, Any]]:
    """Run `spacy pretrain`; returns the rows of its log."""
    output_dir.mkdir(exist_ok=True)
    spacy_pretrain(config.copy(), output_dir, **settings)
    return list(srsly.read_jsonl(output_dir / "log.jsonl"))


def load(config: Config, weights_path: Path) -> EmbedderShim:
    """Embedder and objective of one of the model*.bin files of `spacy pretrain`."""
    return load_pretrained(load_model_from_config(config), config["pretraining"], weights_path)


def read_bin(path: Path) -> dict[str, Any]:
    """The stored message of the one shim in a weights file."""
    nodes = srsly.msgpack_loads(path.read_bytes())["shims"]
    (data,) = [shim for node in nodes for shim in node]
    message: dict[str, Any] = srsly.msgpack_loads(data)
    return message


def write_text(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path
