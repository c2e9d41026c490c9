"""Build the components of a pipeline, each by itself, and link them.

A whole pipeline stops at its first mistake. The doctor names all of them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.schemas import ConfigSchemaInit, ConfigSchemaNlp, ConfigSchemaTraining
from spacy.util import copy_config, load_model_from_config, registry
from thinc.api import Config

from ..component import ContextualEmbedder
from ..errors import Errors
from ..listeners.listener import guard, list_listeners
from ..stack.name_encoders import list_encoders
from ..thinc_model.embedder_shim import EmbedderShim
from .findings import Finding, error

#: What spaCy lets these sections have.
SCHEMAS = {"nlp": ConfigSchemaNlp, "training": ConfigSchemaTraining, "initialize": ConfigSchemaInit}


#: A callback of [initialize.before_init].
USE_RATES = "spacy-ctxemb.UseRates.v1"


@dataclass
class Part:
    """A component of a plan.

    nlp: a pipeline of this component alone. is_linked: False where a listener of it does not fit.
    """

    name: str
    nlp: Language
    plan: "Plan"
    is_linked: bool = True

    def __post_init__(self) -> None:
        self.pipe: Any = self.nlp.get_pipe(self.name)
        self.factory = self.nlp.get_pipe_meta(self.name).factory
        self.listeners = list_listeners(self.pipe)
        self.encoders = name_encoders(self.nlp)
        self.is_embedder = isinstance(self.pipe, ContextualEmbedder)
        self.is_sourced = "source" in self.plan.config["components"][self.name]
        self.is_enabled = self.name not in self.plan.config["nlp"]["disabled"]
        self.is_frozen = self.name in self.plan.training["frozen_components"]
        self.annotates = self.name in self.plan.training["annotating_components"]

    @property
    def linked(self) -> list[tuple["Part", Tok2VecListener]]:
        """The listeners that read from this component, each with its own component."""
        linked = getattr(self.pipe, "listener_map", {})
        return [(one, node) for one in self.plan.parts for node in linked.get(one.name, [])]

    @property
    def readers(self) -> list["Part"]:
        """The components that read from this one, each once."""
        linked = [reader for reader, _ in self.linked]
        return list({reader.name: reader for reader in [*linked, *self.runners]}.values())

    @property
    def runners(self) -> list["Part"]:
        """The components that learn without a listener: they run the encoder themselves."""
        links = ((one, getattr(one.pipe, "link", None)) for one in self.plan.parts)
        sources = ((one, link.find_source()) for one, link in links if link is not None)
        return [
            one
            for one, source in sources
            if source is not None
            and source.pipe is self.pipe
            and getattr(one.pipe, "is_trainable", False)
        ]

    @property
    def is_trained(self) -> bool:
        """Whether it learns: what others read, from one of these that sends a gradient."""
        senders = [one for one, node in self.linked if guard(node).grad_factor] + self.runners
        learns = any(not one.is_frozen for one in senders)
        return not self.is_frozen and (not self.is_embedder or learns)


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
        return [part for part in self.parts if part.encoders]


def read_plan(config: Config) -> Plan:
    """Fill what a config leaves out, and build and link its components.

    Raises E520 or ConfigValidationError where the sections are not those of a config.
    """
    lacking = [name for name in ("nlp", "components") if name not in config]
    if lacking:
        raise ValueError(Errors.E520.format(reason=f"the sections {lacking} are missing."))
    base = build_pipeline(config, [])
    filled, own = base.config.interpolate(), config.interpolate()
    filled["components"] = own["components"]  # the base pipeline has none
    for key in ("pipeline", "disabled"):
        filled["nlp"][key] = own["nlp"].get(key, [])
    for section, schema in SCHEMAS.items():
        registry.resolve(filled[section], schema=schema)
    plan = Plan(filled, base)
    for name in filled["nlp"]["pipeline"]:
        try:
            plan.parts.append(Part(name, build_pipeline(config, [name]), plan))
        except (ValueError, OSError, ImportError, RuntimeError) as reason:
            advice = f"Correct [components.{name}]; `python -m spacy debug config` says more."
            plan.errors.append(error(f"'{name}' cannot be built: {reason}", advice))
    use_rates(plan)
    link_parts(plan)
    return plan


def build_pipeline(config: Config, names: list[str]) -> Language:
    changed = copy_config(config)
    changed["nlp"]["pipeline"] = names
    changed["nlp"]["disabled"] = []
    return load_model_from_config(changed, auto_fill=True)


def use_rates(plan: Plan) -> None:
    """Let encoders have the rates that a callback gives them before training."""
    callback = plan.initialize.get("before_init") or {}
    if callback.get("@callbacks") != USE_RATES:
        return
    use = registry.resolve({"callback": callback})["callback"]
    for part in plan.parts:
        if part.name == callback.get("component", "ctxemb"):
            try:
                use(part.nlp)
            except ValueError as reason:
                plan.errors.append(error(str(reason), "Correct [initialize.before_init]."))


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
