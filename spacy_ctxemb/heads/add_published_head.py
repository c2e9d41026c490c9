"""A published head as a component of a pipeline."""

from typing import Any, cast

from spacy.language import Language

from ..checkpoints.bert.read_head import PublishedHead
from .asked_pipe import AskedPipe

#: The components that are asked by name, by tasks.
COMPONENTS = {"question": "ctxemb_qa", "masked": "ctxemb_fill_mask"}


def add_published_head(
    nlp: Language, published: PublishedHead, *, encoder: str = "ctxemb"
) -> AskedPipe:
    """Add the component for the head of question answering or masked language modelling.

    encoder: the component with the model's encoder. An output that is the encoder's table of
    pieces is not stored again.
    """
    pipe = cast(AskedPipe, nlp.add_pipe(COMPONENTS[published.task], config={"encoder": encoder}))
    table = cast(Any, pipe.shim.embedder.encoder).piece_embedding.weight
    pipe.take(published.settings, published.tie(table).tensors)
    return pipe
