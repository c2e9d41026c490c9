"""A published head behind an encoder of a pipeline."""

from typing import Any, cast

from spacy.language import Language

from ..checkpoints.bert.read_head import PublishedHead
from ..component import ContextualEmbedder
from ..errors import Errors
from ..stack.name_encoders import require_single
from ..thinc_model.embedder_shim import get_shim
from .asked_component import AskedPipe
from .token_labels import find_scheme
from .trainable_component import HeadPipe

#: The component for each task; those that are asked by name come last.
FACTORIES = {"token": "ctxemb_ner", "text": "ctxemb_textcat"}
ASKED = {"question": "ctxemb_qa", "masked": "ctxemb_fill_mask"}


def add_head(
    nlp: Language,
    head: PublishedHead,
    *,
    name: str | None = None,
    upstream: str = "ctxemb",
    **settings: Any,
) -> HeadPipe | AskedPipe:
    """Add the component for a published head, with its weights and labels.

    name: of the component; None for that of its factory. upstream: the component with the encoder.
    settings: of the component; without them entities are those of transformers'
        `TokenClassificationPipeline(aggregation_strategy="simple")`.
    Returns the component. Raises E617 for a head of another task, E618 where there is no such
    encoder, E619 for an encoder of another kind or width.
    """
    if head.task not in FACTORIES | ASKED:
        raise ValueError(Errors.E617.format(task=head.task, options=list(FACTORIES | ASKED)))
    check_upstream(nlp, head, upstream)
    if head.task in ASKED:
        config = {**settings, "encoder": upstream}
        asked = cast(AskedPipe, nlp.add_pipe(ASKED[head.task], name=name, config=config))
        encoder: Any = asked.shim.embedder.encoder
        # An output that is the encoder's table of pieces is not stored again.
        asked.take(head.settings, head.tie(encoder.piece_embedding.weight).tensors)
        return asked
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


def check_upstream(nlp: Language, head: PublishedHead, upstream: str) -> None:
    """Raise E618, E044 or E619 where an encoder is not one that a published head may read."""
    pipe = dict(nlp.components).get(upstream)
    if not isinstance(pipe, ContextualEmbedder):
        raise ValueError(Errors.E618.format(name=upstream, found=nlp.component_names))
    require_single(pipe.model, upstream, "A head", "Add it behind the encoder of its own model.")
    encoder, width = get_shim(pipe.model).embedder.encoder, head.settings["width"]
    if not encoder.has_attention or encoder.width != width:
        found = f"{type(encoder).__name__} of width {encoder.width}"
        raise ValueError(Errors.E619.format(head=head.architecture, width=width, found=found))
