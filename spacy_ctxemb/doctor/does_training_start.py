"""The vocabulary of subword pieces, as training would have it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.training.pretrain import get_tok2vec_ref
from spacy.util import registry

from ..component import ContextualEmbedder
from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from ..stack.members import Loaders, choose_loaders, find_section, name_shims
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.model import needs_vocabulary, train_pieces
from .build_parts import Part, Plan
from .findings import Finding, error, ok

CALLBACK = "spacy-ctxemb.LoadPieces.v1"

#: Settings of [initialize.components.NAME] that read files.
LOADERS = ("pieces_loader", "encoder_loader", "member_loaders")


def give_weights(part: Part, plan: Plan) -> Iterator[Finding]:
    """Let pieces, and a Stack's members, have what training reads from files."""
    try:
        load_weights(part, plan)
        run_loaders(part, plan)
        load_by_callback(part.shims, plan.initialize.get("before_init"))
    except (ValueError, OSError, ImportError, RuntimeError, KeyError) as reason:
        advice = f"Correct what gives '{part.name}' its weights and vocabulary."
        yield error(f"Initialising '{part.name}' would fail: {reason}", advice)


def give_vocabulary(shim: EmbedderShim, part: Part, docs: Sequence[Doc]) -> Iterator[Finding]:
    """Let the pieces of one encoder learn a vocabulary from a sample, if training does."""
    pieces = shim.pieces
    if needs_vocabulary(shim) and docs and not part.is_frozen:
        train_pieces(shim, docs)
        found = f"{shim.pieces.n_trained:,} pieces"  # type: ignore[attr-defined] # SubwordPieces
        yield ok(f"A vocabulary is learned from the training texts; here {found} of a sample")
    elif isinstance(pieces, SubwordPieces) and not pieces.is_trained:
        message = Errors.E007.format(pieces=type(pieces).__name__)
        yield error(message, "Give them a vocabulary in one of these ways.")
    elif isinstance(pieces, SubwordPieces):
        yield ok(f"The vocabulary has {pieces.n_trained:,} pieces")


def load_weights(part: Part, plan: Plan) -> None:
    """Read what `init_tok2vec` names, if it is for this component."""
    path, section = plan.initialize.get("init_tok2vec"), plan.config.get("pretraining") or {}
    if path and section.get("component") == part.name and Path(path).is_file():
        layer: Any = get_tok2vec_ref(part.nlp, section)
        layer.from_bytes(Path(path).read_bytes())


def run_loaders(part: Part, plan: Plan) -> None:
    """Run the loaders of [initialize.components], which check that files fit the config."""
    section = plan.initialize["components"].get(part.name, {})
    if part.is_frozen or part.is_sourced or not isinstance(part.pipe, ContextualEmbedder):
        return
    given = registry.resolve({key: section[key] for key in LOADERS if section.get(key)})
    own = Loaders(given.get("encoder_loader"), given.get("pieces_loader"))
    chosen = choose_loaders(part.pipe.model, part.name, own, given.get("member_loaders"))
    for name, shim in name_shims(part.pipe.model, part.name).items():
        loaders, place = chosen[name], find_section(part.name, name)
        if loaders.pieces is not None:
            loaders.pieces(shim.pieces, place)
        if loaders.encoder is not None:
            loaders.encoder(shim.embedder.encoder, shim.pieces, place)


def load_by_callback(shims: Sequence[EmbedderShim], section: Any) -> None:
    """Do what the callback LoadPieces would do."""
    if not section or section.get("@callbacks") != CALLBACK:
        return
    path = section.get("path")
    if path is None or not Path(path).exists():
        raise ValueError(Errors.E036.format(path=path))
    for shim in shims:
        if isinstance(shim.pieces, SubwordPieces) and not shim.is_materialised:
            shim.pieces.load(Path(path).read_text(encoding="utf8"), source=str(path))
