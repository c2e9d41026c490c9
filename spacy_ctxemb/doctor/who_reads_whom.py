"""Who reads whose vectors?"""

from collections.abc import Iterator, Sequence

from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..errors import Errors
from ..listeners.layer_mix_listener import LayerMixListener
from .build_parts import Part, Plan
from .findings import Finding, error, ok


def check_wiring(plan: Plan) -> Iterator[Finding]:
    """Report what cannot be built or linked, and what each listener reads."""
    yield from plan.errors
    parts = [part for part in plan.parts if part.is_enabled]
    for i, part in enumerate(parts):
        if part.encoders and not part.is_embedder:
            yield ok(f"'{part.name}' has an encoder of its own")
        if part.name not in plan.unlinked:
            yield from (check_listener(listener, part, plan) for listener in part.listeners)
        yield from check_overwritten(part, parts[:i])


def check_listener(listener: Tok2VecListener, reader: Part, plan: Plan) -> Finding:
    """Say what a listener reads, or why it has nothing to read."""
    for upstream in plan.parts:
        if any(listener is node for _, node in plan.find_listeners(upstream)):
            break
    else:
        return explain_missing(listener.upstream_name, reader, plan)
    is_mix = isinstance(listener, LayerMixListener)
    if is_mix and not upstream.is_embedder:
        return error(
            f"'{reader.name}' mixes the layers of '{upstream.name}', which has none.",
            "Use spacy.Tok2VecListener.v1, or a component of the factory ctxemb.",
        )
    what, width = "layers" if is_mix else "vectors", listener.get_dim("nO")
    return ok(f"'{reader.name}' reads the {what} of '{upstream.name}', width {width}")


def explain_missing(upstream: str, reader: Part, plan: Plan) -> Finding:
    """Say why a listener has nothing to read. spaCy would let it read zeros."""
    meant = [
        part
        for part in plan.parts
        if isinstance(part.pipe, Tok2Vec) and upstream in ("*", part.name) and part is not reader
    ]
    for part in meant:
        if part.is_enabled:
            return error(Errors.E044.format(component=reader.name, upstream=part.name))
    for part in meant:
        return error(
            f"'{reader.name}' listens to '{part.name}', which is in nlp.disabled: it would read "
            "zeros.",
            f"Take '{part.name}' out of nlp.disabled.",
        )
    name = "any component" if upstream == "*" else f"'{upstream}'"
    return error(
        f"'{reader.name}' listens to {name}, and none before it writes vectors: it would read "
        "zeros.",
        f"Put a component 'ctxemb' before '{reader.name}', or correct `upstream` of its listener.",
    )


def check_overwritten(part: Part, earlier: Sequence[Part]) -> Iterator[Finding]:
    """Find a component, other than a tok2vec, that writes over the vectors of an earlier one."""
    embedders = [one.name for one in earlier if one.is_embedder]
    writes = "doc.tensor" in part.nlp.get_pipe_meta(part.name).assigns
    if embedders and writes and not isinstance(part.pipe, Tok2Vec):
        yield error(Errors.E046.format(other=part.name, name=embedders[-1]))
