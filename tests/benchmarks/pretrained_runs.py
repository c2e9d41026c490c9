"""Runs of `ctxemb pretrain` with a biLM, as the benchmarks read them."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from spacy.language import Language
from spacy.training import Example
from spacy.util import load_config, load_model_from_config
from thinc.api import Config
from torch import nn

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.objectives import BiLMObjective
from spacy_ctxemb.objectives.bilm_loss import UNKNOWN
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.pretrain_section import SECTION
from spacy_ctxemb.pretraining.save_and_resume import STATE, list_checkpoints
from spacy_ctxemb.pretraining.tasks.bilm.batches import BiLMText, choose_vocabulary
from spacy_ctxemb.pretraining.tasks.bilm.task import PretrainBiLM
from spacy_ctxemb.pretraining.text.raw_text import TextCorpus
from spacy_ctxemb.pretraining.text.token_store import TokenStore, build_token_store
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim, find_shims

Ints = NDArray[np.int64]


class Run:
    """The folder of a run, finished or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Config = load_config(folder / "config.cfg", interpolate=True)
        self.settings: dict[str, Any] = self.config[SECTION]
        defaults = inspect.signature(PretrainBiLM).parameters
        #: Of PretrainBiLM, with the defaults that the config leaves out.
        self.objective = {
            name: self.settings["objective"].get(name, parameter.default)
            for name, parameter in defaults.items()
        }
        self.train = TokenStore.open(folder / "text" / "train")
        self.held_out = TokenStore.open(folder / "text" / "held_out")
        self.vocabulary = choose_vocabulary(
            self.train, size=self.objective["vocab_size"], min_count=self.objective["min_count"]
        )

    def build_nlp(self) -> Language:
        """The pipeline, without weights."""
        config = Config({name: self.config[name] for name in self.config if name != SECTION})
        return load_model_from_config(config, auto_fill=True)

    def load_nlp(self, weights: Path | None = None) -> Language:
        """The pipeline with weights: a model*.bin, or the folder of a checkpoint; None for
        model-last.bin, or the last checkpoint where there is none yet."""
        weights = weights or self.find_weights()
        nlp = self.build_nlp()
        component: Any = nlp.get_pipe(self.component)
        if weights.is_file():
            get_shim(nlp, self.component).keeps_objective = True
            component.model.from_bytes(weights.read_bytes())
            return nlp
        nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("A text."), {})])
        self._load_checkpoint(get_shim(nlp, self.component), weights / STATE)
        return nlp

    @property
    def component(self) -> str:
        name: str = self.settings.get("component", "ctxemb")
        return name

    def find_weights(self) -> Path:
        last = self.folder / "model-last.bin"
        checkpoints = list_checkpoints(self.folder / "checkpoints")
        return last if last.exists() or not checkpoints else max(checkpoints)

    def _load_checkpoint(self, shim: EmbedderShim, path: Path) -> None:
        objective = BiLMObjective(shim.embedder.encoder, self.vocabulary, n_samples=None)
        objective.to_empty(device=shim.device)
        module = nn.ModuleDict({"encoder": shim.embedder.encoder, "objective": objective})
        weights = {
            name.removeprefix("model."): tensor
            for name, tensor in load_file(path).items()
            if name.startswith("model.")
        }
        module.load_state_dict(weights)
        shim.objective = objective
        shim.weights_changed()

    def open_held_out(self, text: Path | None, layout: str, folder: Path) -> TokenStore:
        """The run's held-out text, or another one, tokenised in a folder as the run's was."""
        if text is None:
            return self.held_out
        nlp = self.build_nlp()
        pieces = get_shim(nlp, self.component).pieces
        return build_token_store(TextCorpus(str(text), layout=layout), nlp, pieces, folder)


class Loaded(NamedTuple):
    """A biLM with its softmax, and a text that it may read."""

    encoder: BiLM
    objective: BiLMObjective
    pieces: CharacterPieces
    text: BiLMText


def load_bilm(run: Run, weights: Path | None, store: TokenStore) -> Loaded:
    """weights: see `Run.load_nlp`. store: of the text."""
    shim = get_shim(run.load_nlp(weights), run.component)
    encoder, objective = shim.embedder.encoder, shim.objective
    assert isinstance(encoder, BiLM) and isinstance(objective, BiLMObjective)
    assert isinstance(shim.pieces, CharacterPieces)
    text = BiLMText(store, shim.pieces, objective.vocabulary)
    return Loaded(encoder, objective, shim.pieces, text)


def get_shim(nlp: Language, component: str) -> EmbedderShim:
    found: Any = nlp.get_pipe(component)
    (shim,) = find_shims(found.model)
    return shim


def number_words(store: TokenStore, vocabulary: Sequence[str]) -> Ints:
    """The text as words of a vocabulary, others as <UNK>. (P,)"""
    ids = {word: i for i, word in enumerate(vocabulary)}
    of_types = np.array([ids.get(word, ids[UNKNOWN]) for word in store.types], dtype=np.int64)
    return of_types[np.asarray(store.ids)]
