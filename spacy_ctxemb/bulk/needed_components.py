"""Which components of a pipeline decide the vectors of its texts."""

from collections.abc import Collection

from spacy.language import Language
from spacy.pipeline import Pipe

from ..component import ContextualEmbedder
from ..errors import Errors
from ..heads.asked_component import AskedPipe
from ..thinc_model.embedder_shim import find_shims

#: Whose components annotate Docs, and leave their tokens and vectors as they are.
KNOWN = ("spacy.", "spacy_ctxemb.")


def find_embedder(nlp: Language) -> ContextualEmbedder:
    """The component whose vectors Docs have: the last one that keeps any.

    Raises E700 where there is none, E704 where a component after it replaces doc.tensor, E725
    where vectors depend on what is encoded together.
    """
    replacing: list[str] = []
    for name, pipe in reversed(nlp.pipeline):
        if not isinstance(pipe, ContextualEmbedder):
            replacing += [name] * ("doc.tensor" in nlp.get_pipe_meta(name).assigns)
        elif pipe.keep != "none":
            if replacing:
                raise ValueError(Errors.E704.format(where="any text", names=replacing))
            if any(shim.embedder.wants_whole_calls for shim in find_shims(pipe.model)):
                raise ValueError(Errors.E725.format(name=name))
            return pipe
    raise ValueError(Errors.E700.format(names=nlp.pipe_names))


def list_unneeded(nlp: Language, wanted: Collection[str]) -> list[str]:
    """The last components of a pipeline, if all that they do is to write what nobody wants.

    Those before the last one that is wanted always run: tokens and sentences may depend on them.

    wanted: attributes as components declare them, such as "doc.ents".
    """
    unneeded: list[str] = []
    for name, pipe in reversed(nlp.pipeline):
        module = type(pipe).__module__
        is_known = isinstance(pipe, Pipe | AskedPipe) and module.startswith(KNOWN)
        if not is_known or {*nlp.get_pipe_meta(name).assigns} & {*wanted}:
            break
        unneeded.append(name)
    return unneeded
