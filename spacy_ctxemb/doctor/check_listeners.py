"""Who reads whose vectors?"""

from collections.abc import Iterator, Sequence

from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..errors import Errors
from ..listeners.layer_mix_listener import LayerMixListener
from .build_components import Part, Plan
from .findings import Finding, error, ok


def check_wiring(plan: Plan) -> Iterator[Finding]:
    """Report what cannot be built or linked, and what each listener reads."""
    yield from plan.errors
    parts = [part for part in plan.parts if part.is_enabled]
    for i, part in enumerate(parts):
        if part.encoders and not part.is_embedder:
            yield ok(f"'{part.name}' has an encoder of its own")
        if part.is_linked:
            yield from (check_listener(listener, part, plan) for listener in part.listeners)
        yield from check_overwritten(part, parts[:i])


def check_listener(listener: Tok2VecListener, reader: Part, plan: Plan) -> Finding:
    """Say what a listener reads. spaCy lets one read zeros if nothing is there."""
    for upstream in plan.parts:
        if any(listener is node for _, node in plan.find_listeners(upstream)):
            what = "layers" if isinstance(listener, LayerMixListener) else "vectors"
            width = listener.get_dim("nO")
            return ok(f"'{reader.name}' reads the {what} of '{upstream.name}', width {width}")
    name = listener.upstream_name
    wanted = "any component" if name == "*" else f"'{name}'"
    return error(
        f"'{reader.name}' listens to {wanted}, but no such component comes before it and writes "
        "vectors: it would read zeros.",
        f"Put a component 'ctxemb' before '{reader.name}', take it out of nlp.disabled, or correct "
        "`upstream` of the listener.",
    )


def check_overwritten(part: Part, earlier: Sequence[Part]) -> Iterator[Finding]:
    """Find a component, other than a tok2vec, that writes over the vectors of an earlier one."""
    embedders = [one.name for one in earlier if one.is_embedder]
    writes = "doc.tensor" in part.nlp.get_pipe_meta(part.name).assigns
    if embedders and writes and not isinstance(part.pipe, Tok2Vec):
        yield error(Errors.E026.format(other=part.name, name=embedders[-1]))
