"""The components of a pipeline, each built by itself.

A whole pipeline stops at the first pair of components that do not fit; here all are looked at.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.util import copy_config, load_model_from_config
from thinc.api import Config, Model

from ..stack.encoders import list_encoders
from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .findings import Finding, error


@dataclass
class Part:
    """A component.

    nlp: a pipeline of this component alone. is_sourced: whether it comes from another pipeline,
    with weights. writes_tensor: whether it writes doc.tensor.
    """

    name: str
    nlp: Language
    is_sourced: bool
    is_frozen: bool
    annotates: bool
    is_enabled: bool

    @property
    def pipe(self) -> Any:
        return self.nlp.get_pipe(self.name)

    @property
    def model(self) -> Model[Any, Any] | None:
        model = getattr(self.pipe, "model", None)
        return model if isinstance(model, Model) else None

    @property
    def shims(self) -> list[EmbedderShim]:
        """Its encoders."""
        return [] if self.model is None else find_shims(self.model)

    @property
    def encoders(self) -> dict[str, EmbedderShim]:
        """The same by names: its own, NAME.MEMBER in a Stack, NAME (2) where there is no other."""
        found: dict[str, EmbedderShim] = {}
        counts: Counter[str] = Counter()
        for name, shim in list_encoders(self.nlp):
            counts[name] += 1
            found[name if counts[name] == 1 else f"{name} ({counts[name]})"] = shim
        return found

    @property
    def listeners(self) -> list[Tok2VecListener]:
        if self.model is None:
            return []
        return [node for node in self.model.walk() if isinstance(node, Tok2VecListener)]

    @property
    def writes_tensor(self) -> bool:
        assigned = self.nlp.get_pipe_meta(self.name).assigns
        return isinstance(self.pipe, Tok2Vec) or "doc.tensor" in assigned

    @property
    def factory(self) -> str:
        return self.nlp.get_pipe_meta(self.name).factory


@dataclass
class Plan:
    """What a config says. config: complete, without variables. base: a pipeline of nothing.

    errors: of components that could not be built.
    """

    config: Config
    base: Language
    parts: list[Part] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)

    @property
    def training(self) -> dict[str, Any]:
        section: dict[str, Any] = self.config["training"]
        return section

    @property
    def initialize(self) -> dict[str, Any]:
        section: dict[str, Any] = self.config["initialize"]
        return section

    @property
    def embedders(self) -> list[Part]:
        """Components with encoders of this package."""
        return [part for part in self.parts if part.shims]


def read_plan(config: Config) -> Plan:
    """Fill what a config leaves out, and build its components."""
    base = build_pipeline(config, [])
    filled = base.config.interpolate()
    own = config.interpolate()  # the base has forgotten what is about components
    filled["components"] = own["components"]
    for key in ("pipeline", "disabled"):
        filled["nlp"][key] = own["nlp"].get(key, [])
    plan = Plan(filled, base)
    for name in config["nlp"]["pipeline"]:
        try:
            plan.parts.append(build_part(config, filled, name))
        except (ValueError, OSError, ImportError, RuntimeError) as reason:
            advice = f"Correct [components.{name}]; `python -m spacy debug config` says more."
            plan.errors.append(error(f"'{name}' cannot be built: {reason}", advice))
    return plan


def build_part(config: Config, filled: Config, name: str) -> Part:
    training = filled["training"]
    return Part(
        name=name,
        nlp=build_pipeline(config, [name]),
        is_sourced="source" in config["components"].get(name, {}),
        is_frozen=name in training["frozen_components"],
        annotates=name in training["annotating_components"],
        is_enabled=name not in filled["nlp"]["disabled"],
    )


def build_pipeline(config: Config, names: list[str]) -> Language:
    """A pipeline of some of the components."""
    changed = copy_config(config)
    changed["nlp"]["pipeline"] = names
    changed["nlp"]["disabled"] = []
    return load_model_from_config(changed, auto_fill=True)
