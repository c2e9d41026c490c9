"""From the user's choices to a complete config."""

from dataclasses import replace
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
from . import recipes
from .check_options import HEADS, WRITE_CATS, Choices
from .encoder_source import Source, find_source
from .recipes import Recipe

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


class Written(NamedTuple):
    """A complete config, and what was chosen. choices: with all that recipes decided.

    source: where its encoder comes from.
    """

    config: Config
    choices: Choices
    source: Source


def build_config(choices: Choices) -> Written:
    """Build a config that `spacy init fill-config` would leave as it is.

    Raises what find_source, settle and render raise.

        written = build_config(Choices(["ner"], encoder="english"))
        written.config.to_disk("config.cfg")
    """
    source = find_source(choices.encoder)
    settled = settle(choices, source)
    return Written(fill(render(settled, source)), settled, source)


def settle(choices: Choices, source: Source) -> Choices:
    """Choose what the user left open, but for the mix of layers, which depends on the task.

    Raises E503 for a cache and E502 for a network beside an encoder that is not frozen, E646 for
    `few` on one without weights, E624 for questions on one without subwords.
    """
    recipe = get_recipe(choices, source)
    if choices.few and source.is_new:
        raise ValueError(Errors.E646.format(encoder=choices.encoder))
    if "qa" in choices.tasks and not source.has_subwords:
        raise ValueError(Errors.E624.format(encoder=choices.encoder))
    freeze = choices.few if choices.freeze is None else choices.freeze
    if choices.cache and not freeze:
        raise ValueError(Errors.E503)
    if choices.cnn and not freeze:
        raise ValueError(Errors.E502)
    head = choices.head
    if head is None:
        can_be = source.has_layers and any(task in HEADS for task in choices.tasks)
        has_others = freeze or choices.listener_mix or choices.cnn
        head = choices.few or (recipe.has_head and can_be and not has_others)
    has_vectors = choices.reads_docs and not head  # a cache holds no states
    cache = choices.is_small and has_vectors
    cnn = not choices.is_small and has_vectors
    return replace(
        choices,
        freeze=freeze,
        head=head,
        cache=freeze and cache if choices.cache is None else choices.cache,
        cnn=freeze and cnn if choices.cnn is None else choices.cnn,
    )


def get_recipe(choices: Choices, source: Source) -> Recipe:
    """How tasks are trained on an encoder."""
    return recipes.NEW[choices.optimize] if source.recipe is None else source.recipe


def render(choices: Choices, source: Source) -> Config:
    """Fill in the template. choices: settled.

    Raises E509 where the tasks are to mix the layers of several encoders.
    """
    if choices.listener_mix and not source.has_layers:
        raise ValueError(Errors.E509.format(path=source.path, name=source.component))
    recipe = get_recipe(choices, source)
    text = TEMPLATES.get_template("config.cfg.jinja").render(
        choices=choices,
        source=source,
        recipe=recipe,
        mixing=list_mixing(choices, source, recipe),
        has_cache=choices.cache and not source.cache_obstacle,
        peak_rate=choose_peak_rate(choices, recipe),
        learn_rate_factor=recipe.encoder_rate / recipe.head_rate,
        max_steps=1 if choices.few and choices.freeze else recipes.MAX_STEPS[choices.optimize],
        eval_frequency=recipes.EVAL_FREQUENCY[choices.optimize],
        patience=recipes.PATIENCE[choices.optimize],
    )
    return load_config_from_str(text)


def list_mixing(choices: Choices, source: Source, recipe: Recipe) -> list[str]:
    """The tasks that learn a mix of the encoder's layers.

    Tasks that label tokens need it most on a Transformer, whose last layer knows less of words
    than those below; by default they have it there.
    """
    if not source.has_layers or choices.listener_mix is False:
        return []
    tasks = [task for task in choices.tasks if task not in choices.heads]
    if choices.listener_mix or not choices.is_small:
        return tasks
    return [task for task in tasks if recipe.mixes_layers and task not in WRITE_CATS]


def choose_peak_rate(choices: Choices, recipe: Recipe) -> float:
    """The largest learning rate of the optimizer, which is that of the tasks.

    Heads on a frozen encoder learn as fast as above one that learns, but what has layers does not.
    """
    if choices.few and choices.freeze:
        return 0.0  # the head that was fitted is the best one
    has_layers = any(task != "qa" and task not in choices.heads for task in choices.tasks)
    return recipes.FROZEN_RATE if choices.freeze and has_layers else recipe.head_rate


def fill(config: Config) -> Config:
    """Add all settings that have defaults, and check them, as `spacy init fill-config` does."""
    nlp = load_model_from_config(config, auto_fill=True, validate=False)
    filled = load_model_from_config(nlp.config).config
    filled["components"].update(get_sourced_components(config))
    return Config(filled, section_order=CONFIG_SECTION_ORDER)
