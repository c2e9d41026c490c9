"""`python -m spacy ctxemb cache`"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from .use_gpu import use_gpu

if TYPE_CHECKING:
    from collections import Counter

    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.training import Example

    from ..cache.feature_cache import FeatureCache
    from ..component import ContextualEmbedder

Corpus = Callable[["Language"], Iterable["Example"]]

#: A corpus, and the names of the components that run on its Docs.
Reader = tuple[Corpus, Sequence[str]]


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

    The settings of the config's readers apply. Texts that the cache has are not encoded again, so
    an interrupted run goes on where it stopped. Exits with code 1 unless all are in the cache then.
    """
    from spacy import util
    from spacy.cli._util import parse_config_overrides
    from spacy.training.initialize import init_nlp
    from tqdm import tqdm

    from ..errors import Errors
    from ..read_files import check_text

    given = arguments or []
    paths = [Path(x) for x in takewhile(lambda x: not x.startswith("--"), given)]
    use_gpu(gpu_id)
    is_config = Path(pipeline).suffix == ".cfg"
    if is_config:
        check_text(Path(pipeline), "a config")
        config = util.load_config(pipeline, parse_config_overrides(given[len(paths) :]))
        if "training" not in config:
            raise ValueError(Errors.E520.format(reason="the section [training] is missing."))
        nlp = init_nlp(config, use_gpu=gpu_id)  # as `spacy train` has it before the first step
    else:
        nlp = util.load_model(pipeline)
    pipe = find_component(nlp, component)
    if is_config and component not in nlp.config["training"]["frozen_components"]:
        raise ValueError(Errors.E254.format(name=component))
    readers = read_training(nlp, paths) if is_config else read_files(nlp, paths)
    before = pipe.counts.copy()
    for corpus, active in readers:
        examples = read_examples(corpus, nlp)
        docs = annotate(nlp, component, (eg.predicted for eg in examples), active)
        progress = tqdm(docs, unit=" documents", disable=None)
        for batch in util.minibatch(progress, nlp.batch_size):
            pipe.predict(batch)
    where = ", ".join(map(str, paths)) or "the corpora of the config"
    show_result(cast("FeatureCache", pipe.cache), pipe.counts - before, component, where)


def show_result(cache: "FeatureCache", counts: "Counter[str]", name: str, where: str) -> None:
    """Say what became of the Docs. Raises E258 where there were none, E259 if some are not kept.

    counts: of all encoders of the component together. name: of the component. where: the texts are.
    """
    from wasabi import msg

    from ..errors import Errors

    hits, misses, n_left_out = (
        sum(n for key, n in counts.items() if key.endswith(f"cache_{kind}"))
        for kind in ("hits", "misses", "full")
    )
    if not hits + misses:
        reason = f"there are no texts to encode in {where}"
        raise ValueError(Errors.E258.format(name=name, reason=reason))
    found = f"{hits} hits, {misses} misses, {n_left_out} not kept, {cache.megabytes:.1f} MB"
    if not n_left_out:
        msg.good(found)
        return
    msg.warn(found)
    reason = cache.store.failure or (
        f"max_megabytes is {cache.max_megabytes}, values are too large for {cache.dtype}, or "
        "another process was writing all the time"
    )
    message = Errors.E259.format(
        n_left_out=n_left_out, n=hits + misses, path=cache.path, reason=reason
    )
    raise ValueError(message)


def find_component(nlp: "Language", name: str) -> "ContextualEmbedder":
    """Find the component.

    Raises E257 without it, E255 if its cache is not on disk, E258 if it cannot be used.
    """
    from ..cache.feature_cache import find_obstacle
    from ..errors import Errors
    from ..initialize_callbacks import get_embedder
    from ..stack.name_encoders import name_encoders

    pipe = get_embedder(nlp, name)
    if pipe.cache is None or pipe.cache.path is None:
        found = "null" if pipe.cache is None else "in memory"
        raise ValueError(Errors.E255.format(name=name, found=found))
    shims = name_encoders(pipe.model, name).values()
    obstacles = [find_obstacle(shim, pipe._wanted) for shim in shims]
    if all(obstacles):
        raise ValueError(Errors.E258.format(name=name, reason="; ".join(map(str, obstacles))))
    return pipe


def read_training(nlp: "Language", paths: Sequence[Path]) -> "list[Reader]":
    """The corpora of a config; or files, read as the training corpus is."""
    from spacy.util import dot_to_object, resolve_dot_names

    config = nlp.config.interpolate()
    training = config["training"]
    annotating = training["annotating_components"]
    if paths:
        section = dot_to_object(config, training["train_corpus"])
        return [(build_corpus(section, path), annotating) for path in paths]
    train, dev = resolve_dot_names(config, [training["train_corpus"], training["dev_corpus"]])
    return [(train, annotating), (dev, nlp.pipe_names)]  # evaluation runs all components


def read_files(nlp: "Language", paths: Sequence[Path]) -> "list[Reader]":
    """Files for a whole pipeline. Raises E256 without any."""
    from ..errors import Errors

    if not paths:
        raise ValueError(Errors.E256)
    section = {"@readers": "spacy.Corpus.v1", "gold_preproc": False}
    return [(build_corpus(section, path), nlp.pipe_names) for path in paths]


def build_corpus(section: dict[str, Any], path: Path) -> Corpus:
    """Build the reader of a config's section, with another path."""
    from spacy.util import registry

    corpus: Corpus = registry.resolve({"corpus": {**section, "path": str(path)}})["corpus"]
    return corpus


def read_examples(corpus: Corpus, nlp: "Language") -> "Iterator[Example]":
    """The examples of a corpus. Raises E163 for a file of documents that cannot be read."""
    from spacy.training.corpus import walk_corpus

    try:
        yield from corpus(nlp)
    except Exception:  # spaCy does not say in which file
        path = getattr(corpus, "path", None)
        for file in walk_corpus(path, ".spacy") if isinstance(path, Path) else ():
            check_docs(file)
        raise


def check_docs(path: Path) -> None:
    """Raise E163 for a file that holds no documents as spaCy stores them."""
    from spacy.tokens import DocBin

    from ..errors import Errors
    from ..read_files import REPLACE, describe, find_damage

    try:
        DocBin().from_disk(path)
    except Exception as error:
        reason = find_damage(path) or describe(error)
        expected = "documents as spaCy stores them"
        message = Errors.E163.format(path=path, expected=expected, reason=reason, advice=REPLACE)
        raise ValueError(message) from error


def annotate(
    nlp: "Language", component: str, docs: "Iterable[Doc]", active: Sequence[str]
) -> "Iterable[Doc]":
    """Run those active components that come before a component."""
    from spacy.util import _pipe

    position = nlp.component_names.index(component)
    for name, pipe in nlp.components[:position]:
        if name in active and name in nlp.pipe_names:
            settings = {"batch_size": nlp.batch_size}
            docs = _pipe(docs, cast(Any, pipe), name, nlp.default_error_handler, settings)
    return docs
