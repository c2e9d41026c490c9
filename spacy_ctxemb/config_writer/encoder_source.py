"""Where the encoder of a config comes from: new, from the package's weights, or from a pipeline."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from spacy.util import load_config, load_model
from thinc.api import Config

from ..cache.feature_cache import find_obstacle
from ..component import ContextualEmbedder
from ..errors import Errors
from ..pretrained import DEFAULT, MINILM, TRANSFORMER, read_model
from ..thinc_model.embedder_shim import find_shims

#: Encoders that begin with random weights, or with those that `init_tok2vec` reads.
NEW_ENCODERS = ("bilm", "transformer")

#: Encoders that begin with weights of the package, and the names of these weights.
SHIPPED = {"english": DEFAULT, TRANSFORMER: TRANSFORMER, MINILM: MINILM}

#: The largest learning rate of an encoder that has weights.
BILM_RATE, TRANSFORMER_RATE, LARGE_RATE = 5e-4, 1e-4, 5e-5

#: A Transformer with more parameters needs LARGE_RATE.
LARGE = 15_000_000


@dataclass(frozen=True)
class Source:
    """What a config must know about the source of its encoder.

    component: the name of the encoder's component.
    path: of the pipeline that has the encoder; else None.
    pretrained: the name of the package's weights; else None.
    model: the section of the model that these weights are for.
    width, layer_width: of the vectors and of the layers of a pipeline; layer_width is None where
        there are several encoders.
    vectors: the path of the pipeline if it has static vectors.
    rate: the largest learning rate of the encoder; None for random weights.
    is_transformer: whether it is a Transformer with weights.
    cache_obstacle: why the encoder cannot have a cache.
    """

    component: str = "ctxemb"
    lang: str = "en"
    path: str | None = None
    pretrained: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    width: int | None = None
    layer_width: int | None = None
    vectors: str | None = None
    rate: float | None = None
    is_transformer: bool = False
    cache_obstacle: str | None = None

    @property
    def is_new(self) -> bool:
        """Whether the encoder has no weights yet."""
        return self.path is None and self.pretrained is None

    @property
    def has_layers(self) -> bool:
        """Whether a task can mix the layers: several encoders have none in common."""
        return self.path is None or self.layer_width is not None


def find_source(encoder: str) -> Source:
    """Find out about an encoder: one of SHIPPED or NEW_ENCODERS, or the path of a pipeline.

    Raises E504 for a path without a pipeline, E505 and E506 for a published model that is to be
    imported first, E507 for a pipeline with no or several components `ctxemb`.

        find_source("english").pretrained  # "en_bilm_sm"
    """
    if encoder in NEW_ENCODERS:
        return Source()
    if encoder in SHIPPED:
        return find_shipped(SHIPPED[encoder])
    check_pipeline(Path(encoder))
    return read_pipeline(str(Path(encoder).resolve()))  # the config may be used elsewhere


def find_shipped(name: str) -> Source:
    """The source of weights that `pretrained` names."""
    model = read_model(name)
    rate = {DEFAULT: BILM_RATE, TRANSFORMER: TRANSFORMER_RATE, MINILM: LARGE_RATE}[name]
    return Source(pretrained=name, model=model, rate=rate, is_transformer=name != DEFAULT)


def read_pipeline(path: str) -> Source:
    """Load the one component `ctxemb` of a pipeline, and look at it."""
    config = load_config(Path(path) / "config.cfg")
    name = find_component(config, path)
    nlp = load_model(path, exclude=[other for other in config["nlp"]["pipeline"] if other != name])
    pipe = cast(ContextualEmbedder, nlp.get_pipe(name))
    shims = find_shims(pipe.model)
    single = shims[0] if len(shims) == 1 else None
    has_attention = any(shim.embedder.encoder.has_attention for shim in shims)
    return Source(
        component=name,
        lang=str(nlp.lang),
        path=path,
        width=pipe.model.get_dim("nO"),
        layer_width=single.embedder.encoder.width if single else None,
        vectors=path if 0 not in nlp.vocab.vectors.shape else None,
        rate=find_rate(
            sum(p.numel() for shim in shims for p in shim.embedder.parameters()),
            has_attention=has_attention,
        ),
        is_transformer=has_attention,
        cache_obstacle=find_obstacle(single, pipe._wanted) if single else None,
    )


def find_component(config: Config, path: str) -> str:
    """The name of the one component of the factory `ctxemb`."""
    names = list(config.get("nlp", {}).get("pipeline", []))
    sections = config.get("components", {})
    found = [name for name in names if sections.get(name, {}).get("factory") == "ctxemb"]
    if len(found) != 1:
        raise ValueError(Errors.E507.format(path=path, names=names, found=found))
    return str(found[0])


def find_rate(n_parameters: int, *, has_attention: bool) -> float:
    """The largest learning rate of an encoder that has weights."""
    if not has_attention:
        return BILM_RATE
    return LARGE_RATE if n_parameters > LARGE else TRANSFORMER_RATE


def check_pipeline(path: Path) -> None:
    """Raise E504 where there is no pipeline, E505 or E506 for a model to be imported first."""
    if (path / "config.cfg").is_file():
        return
    if any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise ValueError(Errors.E505.format(path=path, output=f"{path.name}-pipeline"))
    files = find_elmo_files(path)
    if files:
        raise ValueError(Errors.E506.format(path=path, files=" ".join(map(str, files))))
    raise ValueError(Errors.E504.format(path=path))


def find_elmo_files(path: Path) -> list[Path]:
    """The files of a published ELMo model, as `import elmo` wants them: one ZIP file, or two."""
    if path.suffix == ".zip" and path.is_file():
        return [path]
    options, weights = sorted(path.glob("*options.json")), sorted(path.glob("*.hdf5"))
    if options and weights:
        return [options[0], weights[0]]
    return sorted(path.glob("*.zip"))[:1]
