"""Which component reads whose vectors, and whether they fit."""

from collections.abc import Iterator, Sequence

from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..component import ContextualEmbedder
from ..listeners.layer_mix_listener import LayerMixListener
from ..stack.stack import get_members, is_stack
from .build_parts import Part, Plan
from .findings import Finding, error, ok


def check_wiring(plan: Plan) -> Iterator[Finding]:
    """All components and all their listeners."""
    yield from plan.errors
    for i, part in enumerate(plan.parts):
        if not part.is_enabled:
            continue
        for listener in part.listeners:
            yield check_listener(listener, i, plan.parts)
        if part.shims and not isinstance(part.pipe, ContextualEmbedder):
            yield ok(f"'{part.name}' has an encoder of its own")
        if isinstance(part.pipe, ContextualEmbedder):
            yield from check_later_writers(i, plan.parts)


def check_listener(listener: Tok2VecListener, i: int, parts: Sequence[Part]) -> Finding:
    """One listener of the component i."""
    reader, name = parts[i].name, listener.upstream_name
    j = find_upstream(name, i, parts)
    if j is None:
        return explain_missing(name, i, parts)
    upstream = parts[j]
    between = [part.name for part in parts[j + 1 : i] if part.writes_tensor and part.is_enabled]
    if between:
        return error(
            f"'{reader}' listens to '{upstream.name}', but would read the doc.tensor of "
            f"'{between[-1]}', which comes between them.",
            f"Remove '{between[-1]}', or put it behind '{reader}'.",
        )
    return check_width(listener, reader, upstream)


def find_upstream(name: str, i: int, parts: Sequence[Part]) -> int | None:
    """Which component a listener of the component i reads, as spaCy finds it."""
    candidates = [
        j
        for j, part in enumerate(parts[:i])
        if isinstance(part.pipe, Tok2Vec) and part.is_enabled and name in ("*", part.name)
    ]
    return candidates[-1] if candidates else None


def explain_missing(name: str, i: int, parts: Sequence[Part]) -> Finding:
    """Why a listener of the component i has nothing to read."""
    reader = parts[i].name
    later = [p for p in parts[i + 1 :] if isinstance(p.pipe, Tok2Vec) and name in ("*", p.name)]
    known = {part.name: part for part in parts}
    if later:
        return error(
            f"'{reader}' listens to '{later[0].name}' but comes before it.",
            f"Put '{later[0].name}' before '{reader}' in nlp.pipeline.",
        )
    if name in known and not known[name].is_enabled:
        return error(
            f"'{reader}' listens to '{name}', which is in nlp.disabled: it would read zeros.",
            f"Take '{name}' out of nlp.disabled.",
        )
    meant = "any component" if name == "*" else f"'{name}'"
    return error(
        f"'{reader}' listens to {meant}, and none before it writes vectors: it would read zeros.",
        f"Put a component 'ctxemb' before '{reader}', or correct `upstream` of its listener.",
    )


def check_width(listener: Tok2VecListener, reader: str, upstream: Part) -> Finding:
    """Whether a listener expects what its upstream makes."""
    found = listener.get_dim("nO")
    what = "vectors"
    expected: int = upstream.pipe.model.get_dim("nO")
    if isinstance(listener, LayerMixListener):
        if not isinstance(upstream.pipe, ContextualEmbedder):
            return error(
                f"'{reader}' mixes the layers of '{upstream.name}', which has none.",
                "Use spacy.Tok2VecListener.v1, or a component of the factory ctxemb.",
            )
        if is_stack(upstream.pipe.model):
            return error(
                f"'{reader}' mixes the layers of '{upstream.name}', whose model is a Stack of "
                f"{list(get_members(upstream.pipe.model))}: they have no layers in common.",
                "Use spacy.Tok2VecListener.v1 or spacy-ctxemb.Listener.v1 there.",
            )
        what = "layers"
        (shim,) = upstream.shims
        expected = shim.embedder.encoder.width
    if found != expected:
        return error(
            f"'{reader}' expects {what} of width {found}, '{upstream.name}' makes {expected}.",
            f"Set the width of its listener to {expected}.",
        )
    return ok(f"'{reader}' reads the {what} of '{upstream.name}', width {found}")


def check_later_writers(i: int, parts: Sequence[Part]) -> Iterator[Finding]:
    """Whoever comes after an embedder and replaces its vectors."""
    name = parts[i].name
    for part in parts[i + 1 :]:
        is_other = part.writes_tensor and not isinstance(part.pipe, ContextualEmbedder)
        if is_other and part.is_enabled:
            yield error(
                f"'{part.name}' ({part.factory}) writes doc.tensor after '{name}', whose vectors "
                "are lost.",
                f"Remove '{part.name}', or put '{name}' and its readers behind it.",
            )
