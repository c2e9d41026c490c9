"""The encoder that a component reads by the name of the encoder's component, without a listener."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import ref

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from ..component import ContextualEmbedder
from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from ..stack.name_encoders import is_of, list_encoders, name_encoders
from ..thinc_model.docs_to_outputs import set_encoder_dropout
from ..thinc_model.embedder_shim import EmbedderShim


class Source(NamedTuple):
    """A component with an encoder. member: of its Stack, as ".MEMBER"; "" for the only encoder."""

    pipe: Any
    member: str


class EncoderLink:
    """Leads from a component to the encoder that it reads.

    reader: the component that reads. encoder: the component that it names, or COMPONENT.MEMBER.
    """

    def __init__(self, nlp: Language, reader: str, encoder: str) -> None:
        self.reader = reader
        self.encoder = encoder
        self._nlp = ref(nlp)
        self._source: Source | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy or a pickle brings the component with the encoder along, but no pipeline."""
        return {**self.__dict__, "_nlp": find_none, "_source": self.find_source()}

    def take(self, pipe: Any, former_names: dict[str, list[str]]) -> None:
        """Read the encoder of a component that comes before the reader, if it is the one that is
        meant. Once it was, it stays so under other names.

        former_names: those that the component had, by its readers; brought up to date.
        """
        names = former_names.get(self.reader, [])
        if is_of(self.encoder, pipe.name):
            self._source = Source(pipe, self.encoder.removeprefix(pipe.name))
        elif self._source is None:
            self._source = self._choose(pipe, names)
        elif self._source.pipe is pipe:
            former = self.encoder.removesuffix(self._source.member)
            former_names[self.reader] = list(dict.fromkeys([*names, former]))

    def _choose(self, pipe: Any, names: Iterable[str]) -> Source | None:
        """An encoder of a component that is or was called by these names, if one is meant."""
        meant = (name for name in names if is_of(self.encoder, name))
        return next((Source(pipe, self.encoder.removeprefix(name)) for name in meant), None)

    def find_source(self) -> Source | None:
        """What was taken. Where spaCy links nothing, as for components that are disabled or come
        first, what the pipeline has that built the reader."""
        nlp = self._nlp()
        if self._source is not None or nlp is None:
            return self._source
        for name, pipe in nlp.components:
            former_names = getattr(pipe, "cfg", {}).get("former_names", {}).get(self.reader, [])
            if isinstance(getattr(pipe, "model", None), Model):
                if source := self._choose(pipe, [name, *former_names]):
                    return source
        return None

    def find_shim(self) -> EmbedderShim:
        """What holds the encoder and its pieces. Raises E387 where there is no such encoder."""
        source = self.find_source()
        named = {} if source is None else name_encoders(source.pipe.model, source.pipe.name)
        # The component may have another name by now.
        meant = None if source is None else f"{source.pipe.name}{source.member}"
        chosen = [shim for name, shim in named.items() if is_of(name, meant)]
        if len(chosen) != 1 or not isinstance(chosen[0].pieces, SubwordPieces):
            nlp = self._nlp()
            known = named.items() if named or nlp is None else list_encoders(nlp)
            names = [name for name, shim in known if isinstance(shim.pieces, SubwordPieces)]
            raise ValueError(
                Errors.E387.format(name=self.reader, encoder=self.encoder, found=names)
            )
        chosen[0].check_materialised()
        return chosen[0]

    def find_learning(self, docs: Sequence[Doc]) -> str | None:
        """The name of the component with the encoder, if it learns from these Docs now; its
        dropout is then that of the batch."""
        source = self.find_source()
        if source is None or not isinstance(source.pipe, ContextualEmbedder):
            return None
        if not source.pipe.is_learning_from(docs):
            return None
        shim = self.find_shim()
        for node in source.pipe.model.walk():
            if shim in node.shims:
                set_encoder_dropout(node)
        return source.pipe.name


def find_none() -> None:
    """In place of a reference to a pipeline, which no pickle holds."""
