"""Where the encoder of a config comes from: new, from the package's weights, or from a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spacy.util import load_config, load_model
from thinc.api import Config

from ..cache.feature_cache import find_obstacle
from ..checkpoints.elmo.find_files import find_elmo_files
from ..component import ContextualEmbedder
from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from ..pretrained import DEFAULT, MINILM, get_model
from ..thinc_model.embedder_shim import find_shims
from . import recipes
from .recipes import Recipe

if TYPE_CHECKING:
    from ..embedder.embedder import Embedder

#: Encoders that begin with random weights, or with those that `init_tok2vec` reads.
NEW_ENCODERS = ("bilm", "transformer")

#: Encoders that begin with weights of the package: the names of these weights, and the recipe.
SHIPPED = {
    "english": (DEFAULT, recipes.ENGLISH),
    DEFAULT: (DEFAULT, recipes.ENGLISH),
    MINILM: (MINILM, recipes.MINILM),
}


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
    recipe: how tasks are trained on it; None for random weights.
    cache_obstacle: why the encoder cannot have a cache.
    has_subwords: whether it is one encoder that reads subwords, as questions need it.
    """

    component: str = "ctxemb"
    lang: str = "en"
    path: str | None = None
    pretrained: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    width: int | None = None
    layer_width: int | None = None
    vectors: str | None = None
    recipe: Recipe | None = None
    cache_obstacle: str | None = None
    has_subwords: bool = True

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

        find_source("english").pretrained  # "en_transformer_sm"
    """
    if encoder in NEW_ENCODERS:
        return Source(has_subwords=encoder != "bilm")
    if encoder in SHIPPED:
        name, recipe = SHIPPED[encoder]
        return Source(pretrained=name, model=get_model(name), recipe=recipe)
    check_pipeline(Path(encoder))
    return read_pipeline(str(Path(encoder).resolve()))  # the config may be used elsewhere


def read_pipeline(path: str) -> Source:
    """Load the one component `ctxemb` of a pipeline, and look at it."""
    config = load_config(Path(path) / "config.cfg")
    name = find_component(config, path)
    nlp = load_model(path, exclude=[other for other in config["nlp"]["pipeline"] if other != name])
    pipe = cast(ContextualEmbedder, nlp.get_pipe(name))
    shims = find_shims(pipe.model)
    single = shims[0] if len(shims) == 1 else None
    return Source(
        component=name,
        lang=str(nlp.lang),
        path=path,
        width=pipe.model.get_dim("nO"),
        layer_width=single.embedder.encoder.width if single else None,
        vectors=path if 0 not in nlp.vocab.vectors.shape else None,
        recipe=find_recipe([shim.embedder for shim in shims]),
        cache_obstacle=find_obstacle(single, pipe._wanted) if single else None,
        has_subwords=single is not None and isinstance(single.pieces, SubwordPieces),
    )


def find_component(config: Config, path: str) -> str:
    """The name of the one component of the factory `ctxemb`."""
    names = list(config.get("nlp", {}).get("pipeline", []))
    sections = config.get("components", {})
    found = [name for name in names if sections.get(name, {}).get("factory") == "ctxemb"]
    if len(found) != 1:
        raise ValueError(Errors.E507.format(path=path, names=names, found=found))
    return str(found[0])


def find_recipe(embedders: "Sequence[Embedder]") -> Recipe:
    """The recipe for encoders that have weights."""
    if not any(embedder.encoder.has_attention for embedder in embedders):
        return recipes.BILM
    n_parameters = sum(p.numel() for embedder in embedders for p in embedder.parameters())
    is_large = n_parameters > recipes.N_LARGE
    return recipes.LARGE_TRANSFORMER if is_large else recipes.TRANSFORMER


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
