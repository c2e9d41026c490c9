"""The pipeline that an encoder is taken from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from spacy.util import load_config, load_model
from thinc.api import Config

from ..cache.feature_cache import find_obstacle
from ..component import ContextualEmbedder
from ..errors import Errors
from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from .training import Weights


class Source(NamedTuple):
    """What a config must know of it.

    name: of the component. width: of its vectors. encoder_width: of its layers, None where there
    are several encoders. weights: of all encoders. obstacle: why it cannot have a cache, if so.
    has_vectors: whether its vocabulary has static vectors, which its component may read.
    """

    path: str
    name: str
    lang: str
    width: int
    encoder_width: int | None
    weights: Weights
    obstacle: str | None
    has_vectors: bool


def read_source(path: str) -> Source:
    """The one component `ctxemb` of a pipeline."""
    folder = Path(path)
    check_pipeline(folder)
    config = load_config(folder / "config.cfg")
    name = find_name(config, path)
    others = [other for other in config["nlp"]["pipeline"] if other != name]
    nlp = load_model(folder, exclude=others)
    pipe = cast(ContextualEmbedder, nlp.get_pipe(name))
    shims = find_shims(pipe.model)
    return Source(
        path=path,
        name=name,
        lang=str(nlp.lang),
        width=pipe.model.get_dim("nO"),
        encoder_width=shims[0].embedder.encoder.width if len(shims) == 1 else None,
        weights=weigh(shims),
        obstacle=find_obstacle(shims[0], pipe._wanted) if len(shims) == 1 else None,
        has_vectors=0 not in nlp.vocab.vectors.shape,
    )


def weigh(shims: Sequence[EmbedderShim]) -> Weights:
    """What a learning rate depends on."""
    return Weights(
        sum(p.numel() for shim in shims for p in shim.embedder.parameters()),
        has_attention=any(shim.embedder.encoder.has_attention for shim in shims),
        learn_rate_factor=max((s.layer_training.learn_rate_factor for s in shims), default=1.0),
    )


def find_name(config: Config, path: str) -> str:
    """The one component of the factory `ctxemb`."""
    names = list(config["nlp"]["pipeline"])
    found = [name for name in names if config["components"][name].get("factory") == "ctxemb"]
    if len(found) != 1:
        raise ValueError(Errors.E190.format(path=path, names=names, found=found))
    return str(found[0])


def check_pipeline(path: Path) -> None:
    """Refuse what is no pipeline; published models are to be imported first."""
    if (path / "config.cfg").is_file():
        return
    if any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise ValueError(Errors.E188.format(path=path, output=f"{path.name}-pipeline"))
    files = list(find_elmo_files(path))
    if files:
        arguments = " ".join(str(file) for file in files)
        raise ValueError(Errors.E189.format(path=path, files=arguments))
    raise ValueError(Errors.E187.format(path=path))


def find_elmo_files(path: Path) -> Iterator[Path]:
    """The files of a published ELMo model, as `import elmo` wants them: one ZIP file, or two."""
    if path.suffix == ".zip" and path.is_file():
        yield path
    elif path.is_dir():
        options, weights = sorted(path.glob("*options.json")), sorted(path.glob("*.hdf5"))
        if options and weights:
            yield from (options[0], weights[0])
        else:
            yield from sorted(path.glob("*.zip"))[:1]
