"""Callbacks of `spacy train` that carry what stands on an encoder from one program to another.

    python -m spacy train CONFIG --code tests/benchmarks/head_weights.py --initialize.after_init \
        '{"@callbacks": "benchmark.LoadHead.v1", "component": "ner", "path": "head.npz"}'

spaCy imports one file, so this one brings step_log.py along.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from spacy import registry
from spacy.language import Language
from spacy.util import import_file
from thinc.api import Model

import_file("step_log", Path(__file__).with_name("step_log.py"))


@registry.callbacks("benchmark.SaveHead.v1")
def build_save_head(component: str, path: str) -> Callable[[Language], Language]:
    """For training.before_to_disk. path: of an .npz file with a component's own parameters."""

    def save_head(nlp: Language) -> Language:
        arrays = [model.get_param(name) for model, name in list_parameters(nlp, component)]
        np.savez(path, *arrays)
        return nlp

    return save_head


@registry.callbacks("benchmark.LoadHead.v1")
def build_load_head(component: str, path: str) -> Callable[[Language], Language]:
    """For initialize.after_init. path: what SaveHead wrote for a component of the same labels."""

    def load_head(nlp: Language) -> Language:
        with np.load(path) as file:
            arrays = list(file.values())
        for (model, name), array in zip(list_parameters(nlp, component), arrays, strict=True):
            if model.get_param(name).shape != array.shape:
                raise ValueError(f"{model.name}.{name}: {array.shape} of {path} do not fit")
            model.set_param(name, model.ops.asarray(array))
        return nlp

    return load_head


def list_parameters(nlp: Language, component: str) -> Iterator[tuple[Model, str]]:
    """Those of a component. What listens to an encoder has none, in any program."""
    for model in nlp.get_pipe(component).model.walk():  # type: ignore[attr-defined] # trainable
        for name in model.param_names:
            if model.has_param(name):
                yield model, name
