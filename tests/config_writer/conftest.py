"""Pipelines, sources and built configs, each made once for all tests."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spacy_ctxemb.config_writer.check_options import TASKS, Choices, Optimize
from spacy_ctxemb.config_writer.encoder_source import find_source
from spacy_ctxemb.config_writer.render import build_config, render, settle

from ..annotated import write_corpus
from ..pipelines import BILM, TRANSFORMER, initialised

#: All that can share a pipeline, and learn from the same corpus.
ALL = tuple(name for name in TASKS if name not in ("textcat", "qa"))

#: From an encoder and other choices to a complete config, or to one that spaCy has not filled in.
Build = Callable[..., Any]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a pipeline with each encoder."""
    folder = tmp_path_factory.mktemp("config_writer")
    write_corpus(folder, limit=40)
    for name, model in (("bilm", BILM), ("transformer", TRANSFORMER)):
        initialised(model).to_disk(folder / f"{name} pipeline")
    return folder


def choose(folder: Path, encoder: str, **changes: Any) -> Choices:
    """Choices for all tasks. encoder: as a user names it, or a pipeline in `folder`."""
    path = str(folder / encoder) if "pipeline" in encoder else encoder
    settings = {"tasks": ALL, "encoder": path, **changes}
    return Choices(**settings | {"optimize": Optimize(settings.get("optimize", "efficiency"))})


@pytest.fixture(scope="session")
def build(folder: Path) -> Build:
    """Build a complete config, or return a copy of what was built from equal choices."""
    remembered = cache(lambda choices: build_config(choices).config)
    return lambda encoder, **changes: remembered(choose(folder, encoder, **changes)).copy()


@pytest.fixture(scope="session")
def draft(folder: Path) -> Build:
    """The config before spaCy fills it in, which takes milliseconds."""
    remembered = cache(find_source)

    def draft(encoder: str, **changes: Any) -> Any:
        choices = choose(folder, encoder, **changes)
        source = remembered(choices.encoder)
        return render(settle(choices, source), source)

    return draft
