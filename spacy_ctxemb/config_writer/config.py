"""From a user's choices to a complete config."""

import copy
import math
from typing import Any, NamedTuple

from spacy.util import CONFIG_SECTION_ORDER, get_sourced_components, load_model_from_config
from thinc.api import Config

from ..errors import Errors
from ..pretrained import read_shapes
from .choices import NEW_ENCODERS, SHIPPED, Choices, check
from .encoders import Upstream, build_new, build_pretraining, build_shipped, build_sourced
from .heads import HEADS, stack_cnn
from .sources import Source, read_source
from .training import Weights, build_cache, build_training, is_slow

Section = dict[str, Any]


class Written(NamedTuple):
    """A config, and what to know of it.

    needs_weights: whether training wants `init_tok2vec`. obstacle: why there is no cache, though
    there would be one otherwise. is_slow: whether the rate is so small that heads hardly learn.
    """

    config: Config
    needs_weights: bool
    obstacle: str | None
    is_slow: bool


def build_config(choices: Choices) -> Written:
    """A config that `spacy init fill-config` would leave as it is."""
    check(choices)
    has_path = choices.encoder not in (*SHIPPED, *NEW_ENCODERS)
    source = read_source(choices.encoder) if has_path else None
    config = fill(Config(build_sections(choices, source), section_order=CONFIG_SECTION_ORDER))
    return Written(
        config,
        needs_weights=choices.encoder in NEW_ENCODERS and choices.freeze,
        obstacle=source.obstacle if source and choices.wants_cache else None,
        is_slow=not choices.freeze and is_slow(weigh(choices, source)),
    )


def build_sections(choices: Choices, source: Source | None) -> Section:
    """What differs from spaCy's defaults."""
    upstream = take(source, choices) if source else build_upstream(choices)
    tok2vec = stack_cnn(upstream.listener) if choices.wants_cnn else upstream.listener
    heads = {task: HEADS[task](copy.deepcopy(tok2vec), choices.is_small) for task in choices.tasks}
    paths: Section = {
        "train": None,
        "dev": None,
        "log": None,
        "vectors": find_vectors(choices, source),
    }
    initialize: Section = {}
    sections: Section = {}
    if choices.encoder in NEW_ENCODERS:
        paths["init_tok2vec"] = None
        initialize["init_tok2vec"] = "${paths.init_tok2vec}"
        sections["pretraining"] = build_pretraining(choices.encoder)
    if choices.wants_cache and not (source and source.obstacle):
        paths["cache"] = None
        initialize["before_init"] = build_cache(upstream.name)
    reader = {"@readers": "spacy.Corpus.v1"}
    return {
        "paths": paths,
        "system": {"seed": 0, "gpu_allocator": "pytorch" if choices.gpu else None},
        "nlp": {
            "lang": choices.lang or (source.lang if source else "en"),
            "pipeline": [upstream.name, *choices.tasks],
            "batch_size": 256,
        },
        "components": {upstream.name: upstream.section, **heads},
        "corpora": {
            # No max_length: it leaves documents out, and windows bound memory already.
            "train": {**reader, "path": "${paths.train}", "max_length": 0},
            "dev": {**reader, "path": "${paths.dev}"},
        },
        "training": build_training(choices, upstream.name, weigh(choices, source)),
        "initialize": initialize,
        **sections,
    }


def build_upstream(choices: Choices) -> Upstream:
    """A component of its own."""
    return build_shipped(choices) if choices.encoder in SHIPPED else build_new(choices)


def find_vectors(choices: Choices, source: Source | None) -> str | None:
    """Static vectors: those chosen, or those that the source was trained with."""
    if choices.vectors is None and source and source.has_vectors:
        return source.path
    return choices.vectors


def weigh(choices: Choices, source: Source | None) -> Weights | None:
    """What is known of the weights that an encoder has; None for a new one."""
    if choices.encoder in SHIPPED:
        shapes = read_shapes(SHIPPED[choices.encoder]).values()
        return Weights(sum(map(math.prod, shapes)), has_attention=False)
    return source.weights if source else None


def take(source: Source, choices: Choices) -> Upstream:
    """The component of a pipeline; several encoders have no layers in common."""
    mixes = choices.wants_mix
    if mixes and source.encoder_width is None:
        if choices.listener_mix:
            raise ValueError(Errors.E194.format(path=source.path, name=source.name))
        mixes = False
    return build_sourced(source, mixes=mixes)


def fill(config: Config) -> Config:
    """Add all settings that have defaults, and check them all."""
    nlp = load_model_from_config(config, auto_fill=True, validate=False)
    filled = load_model_from_config(nlp.config).config
    filled["components"].update(get_sourced_components(config))
    return Config(filled, section_order=CONFIG_SECTION_ORDER)
