"""A published head behind an encoder of a pipeline."""

from typing import TYPE_CHECKING, Any, cast

from spacy.language import Language

from ..component import ContextualEmbedder
from ..errors import Errors
from ..stack.name_encoders import require_single
from ..thinc_model.embedder_shim import get_shim
from .head_pipe import HeadPipe
from .token_labels import find_scheme

if TYPE_CHECKING:
    from ..checkpoints.bert.heads import PublishedHead

#: The component for each task.
FACTORIES = {"token": "ctxemb_ner", "text": "ctxemb_textcat"}


def add_head(
    nlp: Language,
    head: "PublishedHead",
    *,
    name: str | None = None,
    upstream: str = "ctxemb",
    **settings: Any,
) -> HeadPipe:
    """Add the component for a published head, with its weights and labels.

    name: of the component; None for that of its factory. upstream: the component with the encoder.
    settings: of the component; without them entities are those of transformers'
        `TokenClassificationPipeline(aggregation_strategy="simple")`.
    Returns the component. Raises E617 for a head of another task, E618 where there is no such
    encoder, E619 for an encoder of another kind or width.
    """
    if head.task not in FACTORIES:
        raise ValueError(Errors.E617.format(task=head.task, options=list(FACTORIES)))
    check_upstream(nlp, head, upstream)
    own = {k: v for k, v in head.settings.items() if k not in ("width", "n_classes")}
    listener = {"@architectures": "spacy-ctxemb.PieceStatesListener.v1", "upstream": upstream}
    model = {
        "@architectures": "spacy-ctxemb.Head.v1",
        "reads": head.reads,
        **own,
        "tok2vec": {**listener, "width": head.settings["width"]},
    }
    if head.task == "token":
        scheme = find_scheme(head.labels)
        usual: dict[str, Any] = {"aggregation": "simple", "constrained": False, "scheme": scheme}
    else:
        usual = {"kind": head.kind}
    factory = FACTORIES[head.task]
    config = {**usual, **settings, "model": model}
    pipe = cast(HeadPipe, nlp.add_pipe(factory, name=name, config=config))
    pipe.take_head(head.labels, head.tensors)
    return pipe


def check_upstream(nlp: Language, head: "PublishedHead", upstream: str) -> None:
    """Raise E618, E044 or E619 where an encoder is not one that a published head may read."""
    pipe = dict(nlp.components).get(upstream)
    if not isinstance(pipe, ContextualEmbedder):
        raise ValueError(Errors.E618.format(name=upstream, found=nlp.component_names))
    require_single(pipe.model, upstream, "A head", "Add it behind the encoder of its own model.")
    encoder, width = get_shim(pipe.model).embedder.encoder, head.settings["width"]
    if not encoder.has_attention or encoder.width != width:
        found = f"{type(encoder).__name__} of width {encoder.width}"
        raise ValueError(Errors.E619.format(head=head.architecture, width=width, found=found))
