"""From a config to what a run trains: the pipeline of the encoder, stored text, the task."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

from spacy.language import Language
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Config, fix_random_seed

from ..component import ContextualEmbedder
from ..errors import Errors
from ..pretrained import AUTO
from ..thinc_model.build_model import ContextualModel, needs_vocabulary
from ..thinc_model.embedder_shim import EmbedderShim
from .distributed import Processes
from .pretrain_section import SECTION, PretrainSettings
from .spacy_pretrain_objectives import attach_objective, get_pretrained_shim
from .tasks.base import Data, Stores, Task
from .text.token_store import TokenStore, build_token_store

#: Texts that components see when they are initialised.
N_SAMPLE = 10

#: What is read of each, since spaCy refuses long texts.
N_CHARACTERS = 1000


def build_pipeline(config: Config, settings: PretrainSettings) -> Language:
    """Build the component that is pretrained, alone in its pipeline.

    Its weights are random, or those that its loaders read or that `pretrained` names.
    Raises E454 if there is no such component, E458 if its pieces have no vocabulary.
    """
    fix_random_seed(settings.seed)
    pipeline = Config({name: config[name] for name in config if name != SECTION}).copy()
    section = pipeline["components"].get(settings.component, {})
    if section.get("factory") == "ctxemb" and section.get("pretrained", AUTO) == AUTO:
        section["pretrained"] = None
    if settings.component in pipeline["nlp"]["pipeline"]:
        pipeline["nlp"]["pipeline"] = [settings.component]
    nlp = load_model_from_config(pipeline, auto_fill=True)
    validate_vocabulary(nlp, settings)
    texts = list(islice((text for texts in settings.held_out for text in texts), N_SAMPLE))
    examples = [Example.from_dict(nlp.make_doc(text[:N_CHARACTERS]), {}) for text in texts]
    nlp.initialize(lambda: examples)
    return nlp


def validate_vocabulary(nlp: Language, settings: PretrainSettings) -> None:
    """Raise E458 for pieces that would learn their vocabulary from the few texts above."""
    name = settings.component
    shim = get_shim(nlp, settings)
    loaders = nlp.config["initialize"]["components"].get(name, {})
    if loaders.get("pieces_loader") or loaders.get("encoder_loader"):
        return
    if needs_vocabulary(shim):
        with nlp.select_pipes(enable=[]):
            nlp.initialize()  # its callbacks alone, one of which may load a vocabulary
    if needs_vocabulary(shim):
        pieces = type(shim.pieces).__name__
        raise ValueError(Errors.E458.format(component=name, pieces=pieces))


def get_model(nlp: Language, settings: PretrainSettings) -> ContextualModel:
    """Get the model of the component that is pretrained. Raises E454 if there is none."""
    if settings.component not in nlp.component_names:
        raise ValueError(
            Errors.E454.format(component=settings.component, names=nlp.component_names)
        )
    return cast(ContextualEmbedder, nlp.get_pipe(settings.component)).model


def get_shim(nlp: Language, settings: PretrainSettings) -> EmbedderShim:
    """Get the embedder that is pretrained. Raises E454, and what get_pretrained_shim raises."""
    return get_pretrained_shim(get_model(nlp, settings))


def build_data(
    nlp: Language,
    settings: PretrainSettings,
    output: Path,
    processes: Processes,
    *,
    validate: Callable[[Path], None] | None = None,
) -> Data:
    """Store the text to learn from and the held-out text. The first process tokenises for all.

    validate: see build_token_store, for the text to learn from.
    """
    shim = get_shim(nlp, settings)
    kinds = {"": shim.pieces, **settings.objective.other_pieces}
    found = {}
    for name, pieces in kinds.items():
        folder = output / "text" / name
        if processes.is_first:
            build = partial(
                build_token_store,
                nlp=nlp,
                pieces=pieces,
                n_workers=settings.n_workers,
                shared_with=[other for key, other in kinds.items() if key != name],
            )
            build(settings.train, folder=folder / "train", validate=None if name else validate)
            build(settings.held_out, folder=folder / "held_out")
        processes.wait()
        found[name] = Stores(*(TokenStore.open(folder / part) for part in ("train", "held_out")))
    return Data(*found.pop(""), settings.seed, found, shim.embedder.mix)


def build_task(nlp: Language, settings: PretrainSettings, data: Data) -> Task:
    shim = get_shim(nlp, settings)
    task = settings.objective(shim.embedder.encoder, shim.pieces, data)
    attach_objective(shim, task.objective)
    return task
