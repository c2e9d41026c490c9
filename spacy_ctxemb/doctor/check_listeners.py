"""Who reads whose vectors?"""

from collections.abc import Iterator

from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener

from ..errors import Errors
from ..listeners.layer_mix_listener import LayerMixListener
from ..listeners.listener import guard
from ..listeners.piece_states_listener import PieceStatesListener
from .build_components import Part, Plan
from .findings import Finding, error, ok


def check_wiring(plan: Plan) -> Iterator[Finding]:
    """Report what cannot be built or linked, what each listener reads, and what is overwritten."""
    yield from plan.errors
    embedders: list[str] = []
    for part in (part for part in plan.parts if part.is_enabled):
        if part.encoders and not part.is_embedder:
            yield ok(f"'{part.name}' has an encoder of its own")
        if part.is_linked:
            yield from (check_listener(listener, part) for listener in part.listeners)
        writes = "doc.tensor" in part.nlp.get_pipe_meta(part.name).assigns
        if embedders and writes and not isinstance(part.pipe, Tok2Vec):  # these were linked
            yield error(Errors.E026.format(other=part.name, name=embedders[-1]))
        if part.is_embedder:
            embedders.append(part.name)


def check_listener(listener: Tok2VecListener, reader: Part) -> Finding:
    """Say what a listener reads. spaCy lets one read zeros if nothing is there."""
    for upstream in reader.plan.parts:
        if any(listener is node for _, node in upstream.linked):
            kinds = {LayerMixListener: "layers", PieceStatesListener: "states"}
            what = kinds.get(type(listener), "vectors")
            width = listener.get_dim("nO")
            return ok(f"'{reader.name}' reads the {what} of '{upstream.name}', width {width}")
    obstacle = guard(listener).obstacle
    if obstacle.startswith(Errors.E022[:6]):  # what comes before has written over it
        return error(obstacle)
    name = listener.upstream_name
    wanted = "any component" if name == "*" else f"'{name}'"
    return error(
        f"'{reader.name}' listens to {wanted}, but no such component comes before it and writes "
        "vectors: it would read zeros.",
        f"Put a component 'ctxemb' before '{reader.name}', take it out of nlp.disabled, or correct "
        "`upstream` of the listener.",
    )
