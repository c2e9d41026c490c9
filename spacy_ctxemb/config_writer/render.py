"""From the user's choices to a complete config."""

from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from spacy.util import (
    CONFIG_SECTION_ORDER,
    get_sourced_components,
    load_config_from_str,
    load_model_from_config,
)
from thinc.api import Config

from ..errors import Errors
from .check_options import WRITE_CATS, Choices
from .encoder_source import Source, find_source

#: The largest learning rate of heads: on a frozen encoder, on one with weights that learns along at
#: a rate of its own, and of all on a new encoder or with a network of their own.
FROZEN_RATE, FINE_TUNED_RATE, HEAD_RATE = 0.005, 0.005, 0.001

#: The largest learning rate of a new encoder that is not small.
NEW_LARGE_RATE = 5e-4

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


class Written(NamedTuple):
    """A complete config, and where its encoder comes from."""

    config: Config
    source: Source


def build_config(choices: Choices) -> Written:
    """Build a config that `spacy init fill-config` would leave as it is.

    Raises what find_source and render raise.

        written = build_config(Choices(["ner"], encoder="english"))
        written.config.to_disk("config.cfg")
    """
    source = find_source(choices.encoder)
    return Written(fill(render(choices, source)), source)


def render(choices: Choices, source: Source) -> Config:
    """Fill in the template.

    Raises E509 where the tasks are to mix the layers of several encoders.
    """
    if choices.listener_mix and not source.has_layers:
        raise ValueError(Errors.E509.format(path=source.path, name=source.component))
    text = TEMPLATES.get_template("config.cfg.jinja").render(
        choices=choices,
        source=source,
        mixing=list_mixing(choices, source),
        has_cache=choices.wants_cache and not source.cache_obstacle,
        peak_rate=choose_peak_rate(choices, source),
        learn_rate_factor=source.rate / FINE_TUNED_RATE if source.rate else 1.0,
    )
    return load_config_from_str(text)


def list_mixing(choices: Choices, source: Source) -> list[str]:
    """The tasks that learn a mix of the encoder's layers.

    Tasks that label tokens need it most on a Transformer, whose last layer knows less of words
    than those below; by default they have it there.
    """
    if not source.has_layers:
        return []
    if choices.wants_mix is not None:
        return list(choices.tasks) if choices.wants_mix else []
    return [task for task in choices.tasks if source.is_transformer and task not in WRITE_CATS]


def choose_peak_rate(choices: Choices, source: Source) -> float:
    """The largest learning rate of the optimizer, which is that of the heads."""
    if choices.freeze:
        return HEAD_RATE if choices.wants_cnn else FROZEN_RATE
    if source.rate is None:
        return HEAD_RATE if choices.is_small else NEW_LARGE_RATE
    return FINE_TUNED_RATE


def fill(config: Config) -> Config:
    """Add all settings that have defaults, and check them, as `spacy init fill-config` does."""
    nlp = load_model_from_config(config, auto_fill=True, validate=False)
    filled = load_model_from_config(nlp.config).config
    filled["components"].update(get_sourced_components(config))
    return Config(filled, section_order=CONFIG_SECTION_ORDER)
