"""The vocabulary of subword pieces, as training would have it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.training.pretrain import get_tok2vec_ref
from spacy.util import registry

from ..bridge import needs_vocabulary, train_pieces
from ..errors import Errors
from ..shim import EmbedderShim
from ..subword_pieces import SubwordPieces
from .findings import Finding, error, ok
from .parts import Part, Plan

CALLBACK = "spacy-ctxemb.LoadPieces.v1"


def give_vocabulary(part: Part, plan: Plan, docs: Sequence[Doc]) -> Iterator[Finding]:
    """Let pieces have what training gives them, or learn one from a sample."""
    try:
        load_weights(part, plan)
        run_loaders(part, plan)
        load_by_callback(part.shims, plan.initialize.get("before_init"))
    except (ValueError, OSError, ImportError, RuntimeError, KeyError) as reason:
        advice = f"Correct what gives '{part.name}' its weights and vocabulary."
        yield error(f"Initialising '{part.name}' would fail: {reason}", advice)
    for shim in part.shims:
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
    if part.is_frozen or part.is_sourced or len(part.shims) != 1:
        return
    (shim,), place = part.shims, f"components.{part.name}.model"
    kept = {key: section[key] for key in ("pieces_loader", "encoder_loader") if section.get(key)}
    loaders = registry.resolve(kept)
    if "pieces_loader" in loaders:
        loaders["pieces_loader"](shim.pieces, place)
    if "encoder_loader" in loaders:
        loaders["encoder_loader"](shim.embedder.encoder, shim.pieces, place)


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
