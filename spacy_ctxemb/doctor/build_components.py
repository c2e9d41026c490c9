"""Build the components of a pipeline, each by itself, and link them.

A whole pipeline stops at its first mistake. The doctor names all of them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.util import copy_config, load_model_from_config
from thinc.api import Config

from ..component import ContextualEmbedder
from ..listeners.listener import list_listeners
from ..stack.name_encoders import list_encoders
from ..thinc_model.embedder_shim import EmbedderShim
from .findings import Finding, error


@dataclass
class Part:
    """A component.

    nlp: a pipeline of this component alone. is_sourced: whether it comes from another pipeline,
    with its weights. is_linked: False where a listener of it does not fit.
    """

    name: str
    nlp: Language
    is_sourced: bool
    is_frozen: bool
    annotates: bool
    is_enabled: bool
    is_linked: bool = True

    def __post_init__(self) -> None:
        self.pipe: Any = self.nlp.get_pipe(self.name)
        self.factory = self.nlp.get_pipe_meta(self.name).factory
        self.listeners = list_listeners(self.pipe)
        self.encoders = name_encoders(self.nlp)
        self.is_embedder = isinstance(self.pipe, ContextualEmbedder)


@dataclass
class Plan:
    """What a config says.

    config: complete, without variables. base: a pipeline without components. parts: those that
    could be built, in their order. errors: why others could not, and why some cannot be linked.
    """

    config: Config
    base: Language
    parts: list[Part] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.training: dict[str, Any] = self.config["training"]
        self.initialize: dict[str, Any] = self.config["initialize"]

    @property
    def embedders(self) -> list[Part]:
        """Components with encoders of this package."""
        return [part for part in self.parts if part.encoders]

    def find_listeners(self, part: Part) -> list[tuple[Part, Tok2VecListener]]:
        """The listeners that read from a component, each with its own component."""
        linked = getattr(part.pipe, "listener_map", {})
        return [(reader, node) for reader in self.parts for node in linked.get(reader.name, [])]


def read_plan(config: Config) -> Plan:
    """Fill what a config leaves out, and build and link its components."""
    base = build_pipeline(config, [])
    filled, own = base.config.interpolate(), config.interpolate()
    filled["components"] = own["components"]  # the base pipeline has none
    for key in ("pipeline", "disabled"):
        filled["nlp"][key] = own["nlp"].get(key, [])
    plan = Plan(filled, base)
    for name in filled["nlp"]["pipeline"]:
        try:
            nlp = build_pipeline(config, [name])
        except (ValueError, OSError, ImportError, RuntimeError) as reason:
            advice = f"Correct [components.{name}]; `python -m spacy debug config` says more."
            plan.errors.append(error(f"'{name}' cannot be built: {reason}", advice))
            continue
        part = Part(
            name,
            nlp,
            is_sourced="source" in filled["components"][name],
            is_frozen=name in plan.training["frozen_components"],
            annotates=name in plan.training["annotating_components"],
            is_enabled=name not in filled["nlp"]["disabled"],
        )
        plan.parts.append(part)
    link_parts(plan)
    return plan


def build_pipeline(config: Config, names: list[str]) -> Language:
    """Build a pipeline of some of the components."""
    changed = copy_config(config)
    changed["nlp"]["pipeline"] = names
    changed["nlp"]["disabled"] = []
    return load_model_from_config(changed, auto_fill=True)


def link_parts(plan: Plan) -> None:
    """Link the components as spaCy does; they say themselves what does not fit."""
    parts = [part for part in plan.parts if part.is_enabled]
    for i, part in enumerate(parts):
        if not isinstance(part.pipe, Tok2Vec):
            continue
        part.pipe.listener_map = {}
        for later in parts[i + 1 :]:
            if not later.is_linked:
                continue
            try:
                part.pipe.find_listeners(later.pipe)
            except ValueError as reason:
                part.pipe.listener_map.pop(later.name, None)  # half linked
                later.is_linked = False
                plan.errors.append(error(str(reason)))


def name_encoders(nlp: Language) -> dict[str, EmbedderShim]:
    """List all encoders by name: COMPONENT, COMPONENT.MEMBER in a Stack, NAME (2) for a second."""
    found: dict[str, EmbedderShim] = {}
    counts: Counter[str] = Counter()
    for name, shim in list_encoders(nlp):
        counts[name] += 1
        found[name if counts[name] == 1 else f"{name} ({counts[name]})"] = shim
    return found
