"""`python -m spacy ctxemb cache`"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from .messages import showing_errors

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.training import Example

    from ..component import ContextualEmbedder

Corpus = Callable[["Language"], Iterable["Example"]]


def cache(
    pipeline: str = typer.Argument(
        ..., help="Path or name of a pipeline, or a config for `spacy train`"
    ),
    arguments: list[str] = typer.Argument(
        None,
        metavar="[DATA]... [OVERRIDES]...",
        help=".spacy files or directories; by default the corpora of the config. For a config, "
        "then overrides as for `spacy train`, such as --paths.train",
    ),
    component: str = typer.Option("ctxemb", help="Component whose cache to fill"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Encode the texts of a corpus ahead of training, into the cache of a frozen encoder.

    The settings of the config's readers hold. What is there already is not computed again, so
    that an interrupted run goes on where it stopped.
    """
    from spacy import util
    from spacy.cli._util import setup_gpu
    from tqdm import tqdm
    from wasabi import msg

    from ..errors import Errors

    given = arguments or []
    paths = [Path(x) for x in takewhile(lambda x: not x.startswith("--"), given)]
    with showing_errors():
        setup_gpu(gpu_id)
        corpora: Iterable[Iterable[Doc]]
        if Path(pipeline).suffix == ".cfg":
            nlp = load_config_pipeline(Path(pipeline), given[len(paths) :], gpu_id)
            pipe = find_component(nlp, component)
            if component not in nlp.config["training"]["frozen_components"]:
                raise ValueError(Errors.E087.format(name=component))
            corpora = read_corpora(nlp, component, paths)
        else:
            nlp = util.load_model(pipeline)
            pipe = find_component(nlp, component)
            corpora = read_files(nlp, component, paths)
        before = pipe.counts.copy()
        for docs in corpora:
            batches = util.minibatch(tqdm(docs, unit=" documents", disable=None), nlp.batch_size)
            for batch in batches:
                pipe.predict(batch)
    found = pipe.counts - before
    hits, misses, full = (
        sum(n for key, n in found.items() if key.endswith(f"cache_{name}"))  # of all encoders
        for name in ("hits", "misses", "full")
    )
    show = msg.warn if full else msg.good
    size = f"{pipe.cache.megabytes:.1f} MB" if pipe.cache else ""
    show(f"{hits} hits, {misses} misses, {full} without room, {size}")


def load_config_pipeline(path: Path, overrides: Sequence[str], gpu_id: int) -> "Language":
    """The pipeline as `spacy train` has it before the first step."""
    from spacy.cli._util import parse_config_overrides
    from spacy.training.initialize import init_nlp
    from spacy.util import load_config

    config = load_config(path, overrides=parse_config_overrides(list(overrides)))
    return init_nlp(config, use_gpu=gpu_id)


def find_component(nlp: "Language", name: str) -> "ContextualEmbedder":
    """The component of a pipeline, which must have a cache on disk."""
    from ..component import ContextualEmbedder
    from ..errors import Errors

    names = [n for n, pipe in nlp.components if isinstance(pipe, ContextualEmbedder)]
    if name not in names:
        raise ValueError(Errors.E167.format(name=name, names=names))
    pipe = cast(ContextualEmbedder, nlp.get_pipe(name))
    if pipe.cache is None or pipe.cache.path is None:
        found = "null" if pipe.cache is None else "in memory"
        raise ValueError(Errors.E165.format(name=name, found=found))
    return pipe


def read_corpora(
    nlp: "Language", component: str, paths: Sequence[Path]
) -> "Iterator[Iterable[Doc]]":
    """The Docs of training as they come to a component: of files, read as the training corpus is,
    or of the training and the development corpus."""
    from spacy.schemas import ConfigSchemaTraining
    from spacy.util import dot_to_object, registry, resolve_dot_names

    config = nlp.config.interpolate()
    training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    names = [training["train_corpus"], training["dev_corpus"]]
    annotating = training["annotating_components"]
    if paths:
        reader = dot_to_object(config, names[0])
        corpora = [build_corpus(reader, path) for path in paths]
        readers = [(corpus, annotating) for corpus in corpora]
    else:
        # Evaluation runs all components.
        train, dev = resolve_dot_names(config, names)
        readers = [(train, annotating), (dev, nlp.pipe_names)]
    for corpus, active in readers:
        yield annotate(nlp, component, (eg.predicted for eg in corpus(nlp)), active)


def read_files(nlp: "Language", component: str, paths: Sequence[Path]) -> "Iterator[Iterable[Doc]]":
    """The Docs of files as a whole pipeline has them."""
    from ..errors import Errors

    if not paths:
        raise ValueError(Errors.E166)
    for path in paths:
        corpus = build_corpus({"@readers": "spacy.Corpus.v1", "gold_preproc": False}, path)
        yield annotate(nlp, component, (eg.predicted for eg in corpus(nlp)), nlp.pipe_names)


def build_corpus(reader: dict[str, Any], path: Path) -> Corpus:
    """What a section of a config says, with another path."""
    from spacy.util import registry

    corpus: Corpus = registry.resolve({"corpus": {**reader, "path": str(path)}})["corpus"]
    return corpus


def annotate(
    nlp: "Language", component: str, docs: "Iterable[Doc]", active: Sequence[str]
) -> "Iterable[Doc]":
    """Docs as those active components leave them that come before a component."""
    from spacy.util import _pipe

    position = nlp.component_names.index(component)
    for name, pipe in nlp.components[:position]:
        if name in active and name in nlp.pipe_names:
            settings = {"batch_size": nlp.batch_size}
            docs = _pipe(docs, cast(Any, pipe), name, nlp.default_error_handler, settings)
    return docs
