"""Components with a trained head on the encoder of another component, which are asked by name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from weakref import ref

import safetensors.torch
import srsly
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor
from torch.func import functional_call

from ..atomic_files import replacing
from ..checkpoints.bert.read_head import WEIGHT, PublishedHead
from ..encoders import Encoder, ModernTransformerEncoder, TransformerEncoder
from ..encoders.bert_transformer import N_SEGMENTS
from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from ..read_files import read_tensors, reading
from ..stack.name_encoders import is_of, list_encoders, name_encoders
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.parameter_values import describe_differences, describe_shapes
from ..torch_state import in_ordinary_torch
from .head_layers import Head

FILE = "head.safetensors"


class AskedPipe:
    """A component that lets Docs pass unchanged, and scores the states of an encoder when asked.

    task: what the head is for, as `PublishedHead` names it. encoder: the component that has it.
    head: None until there is one. Its output may share the encoder's table of pieces.
    """

    task: ClassVar[str]

    def __init__(self, nlp: Language, name: str, *, encoder: str) -> None:
        self.name = name
        self.encoder = encoder
        self.head: Head | None = None
        self.head_settings: dict[str, Any] = {}
        self._nlp = ref(nlp)
        self._source: Source | None = None

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def __getstate__(self) -> dict[str, Any]:
        """A copy or a pickle brings the component with the encoder along, but no pipeline."""
        return {**self.__dict__, "_nlp": find_none, "_source": self.find_source()}

    def take_encoder(self, pipe: Any, former_names: dict[str, list[str]]) -> None:
        """Read the encoder of a component that comes before this one, if it is the one that is
        meant. Once it was, it stays so under other names.

        former_names: those that the component had, by its readers; brought up to date.
        """
        names = former_names.get(self.name, [])
        if is_of(self.encoder, pipe.name):
            self._source = Source(pipe, self.encoder.removeprefix(pipe.name))
        elif self._source is None:
            self._source = self.choose(pipe, names)
        elif self._source.pipe is pipe:
            former = self.encoder.removesuffix(self._source.member)
            former_names[self.name] = list(dict.fromkeys([*names, former]))

    def choose(self, pipe: Any, names: Iterable[str]) -> "Source | None":
        """An encoder of a component that is or was called by these names, if one is meant."""
        meant = (name for name in names if is_of(self.encoder, name))
        return next((Source(pipe, self.encoder.removeprefix(name)) for name in meant), None)

    def find_source(self) -> "Source | None":
        """What was taken. Where spaCy links nothing, as for components that are disabled or come
        first, what the pipeline has that built this component."""
        nlp = self._nlp()
        if self._source is not None or nlp is None:
            return self._source
        for name, pipe in nlp.components:
            former_names = getattr(pipe, "cfg", {}).get("former_names", {}).get(self.name, [])
            if isinstance(getattr(pipe, "model", None), Model):
                if source := self.choose(pipe, [name, *former_names]):
                    return source
        return None

    @in_ordinary_torch
    def take(self, settings: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Use a head: arguments of `Head`, and the values of its parameters, of which the table of
        pieces may be left out. Raises E162 for values of another head."""
        with torch.device("meta"):
            head = Head(**settings)
        expected, found = describe_shapes(head.state_dict()), describe_shapes({**tensors})
        if expected != {WEIGHT: expected[WEIGHT]} | found:
            raise ValueError(Errors.E162.format(differences=describe_differences(expected, found)))
        copies = {name: value.float().clone() for name, value in tensors.items()}
        head.load_state_dict(copies, strict=False, assign=True)
        self.head, self.head_settings = head.eval(), dict(settings)

    @property
    def shim(self) -> EmbedderShim:
        """What holds the encoder and its pieces. Raises E387 where there is no such encoder,
        E621 for one of another width than the head."""
        source = self.find_source()
        named = {} if source is None else name_encoders(source.pipe.model, source.pipe.name)
        # The component may have another name by now.
        meant = None if source is None else f"{source.pipe.name}{source.member}"
        chosen = [shim for name, shim in named.items() if is_of(name, meant)]
        if len(chosen) != 1 or not isinstance(chosen[0].pieces, SubwordPieces):
            nlp = self._nlp()
            known = named.items() if named or nlp is None else list_encoders(nlp)
            names = [name for name, shim in known if isinstance(shim.pieces, SubwordPieces)]
            raise ValueError(Errors.E387.format(name=self.name, encoder=self.encoder, found=names))
        chosen[0].check_materialised()
        self.check_width(chosen[0].embedder.encoder)
        return chosen[0]

    def check_width(self, encoder: Encoder) -> None:
        """Raise E621 where the head is for an encoder of another width."""
        width = self.head_settings.get("width", encoder.width)
        if encoder.width != width:
            names = {"name": self.name, "encoder": self.encoder, "found": encoder.width}
            raise ValueError(Errors.E621.format(**names, width=width))

    @in_ordinary_torch
    def score_windows(self, shim: EmbedderShim, windows: Sequence[Tensor]) -> list[Tensor]:
        """The scores of the states of windows, in one pass for as many as fit into a batch.

        windows: ids and segments, (2, T) each. Returns (T, C) each, on the CPU.
        """
        n = max(shim.windowing.batch_pieces // max(window.size(1) for window in windows), 1)
        batches = [windows[start : start + n] for start in range(0, len(windows), n)]
        with torch.inference_mode():
            return [x.cpu() for batch in batches for x in self.score_batch(shim, batch)]

    def score_batch(self, shim: EmbedderShim, windows: Sequence[Tensor]) -> list[Tensor]:
        """The same in one pass, on the encoder's device, with gradients where they are wanted."""
        lengths = [window.size(1) for window in windows]
        padded = torch.zeros(2, len(windows), max(lengths), dtype=torch.long)
        for i, window in enumerate(windows):
            padded[:, i, : lengths[i]] = window
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        ids, segments = padded.to(shim.device)
        inputs = (ids, mask.to(shim.device), *self.list_segments(shim, segments))
        states = shim.embedder.encoder(*inputs)[-1].float()
        return list(self.apply_head(shim, states).split(lengths))

    def list_segments(self, shim: EmbedderShim, segments: Tensor) -> list[Tensor]:
        """What the encoder takes of segments: these, or nothing where it has one kind alone.

        Raises E388 for an encoder that may have more, and does not take them.
        """
        encoder = shim.embedder.encoder
        if isinstance(encoder, TransformerEncoder):
            return [segments] if encoder.settings["n_segments"] >= N_SEGMENTS else []
        if not isinstance(encoder, ModernTransformerEncoder) and bool(segments.any()):
            raise ValueError(Errors.E388.format(name=self.name, encoder=type(encoder).__name__))
        return []

    def apply_head(self, shim: EmbedderShim, states: Tensor) -> Tensor:
        """(n, D) to (n, C). Raises E386 without a head."""
        if self.head is None:
            raise ValueError(Errors.E386.format(name=self.name))
        encoder: Any = shim.embedder.encoder
        values = {
            name: encoder.piece_embedding.weight if values.is_meta else values.to(states.device)
            for name, values in self.head.named_parameters()
        }
        return functional_call(self.head, values, (states,))

    def publish(self) -> PublishedHead | None:
        """The head as other programs know it; None without one."""
        if self.head is None:
            return None
        return PublishedHead(
            task=self.task,
            settings=self.head_settings,
            tensors=self.get_tensors(),
            labels=[],
            kind="single_label",
            reads="pieces",
        )

    def get_tensors(self) -> dict[str, Tensor]:
        """The values of the head's parameters, but for a table that is the encoder's."""
        values = {} if self.head is None else self.head.state_dict()
        return {n: value.contiguous() for n, value in values.items() if not value.is_meta}

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        weights = safetensors.torch.save(self.get_tensors())
        data: bytes = srsly.msgpack_dumps({"cfg": self.head_settings, "weights": weights})
        return data

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "AskedPipe":
        """Raises E163 for what is damaged."""
        with reading("What was stored", f"the component '{self.name}'"):
            stored = srsly.msgpack_loads(data)
            self.load(stored["cfg"], safetensors.torch.load(stored["weights"]))
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the settings of the head as JSON, and its weights as safetensors."""

        def write(path: Path) -> None:
            with replacing(path) as temporary:
                safetensors.torch.save_file(self.get_tensors(), temporary)

        files = {"cfg": lambda p: srsly.write_json(p, self.head_settings), FILE: write}
        util.to_disk(path, files, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "AskedPipe":
        """Raises E163 for files that are lost or damaged."""
        path = Path(path)
        with reading(path / "cfg", "the settings of a head"):
            settings = srsly.read_json(path / "cfg")
        with reading(path, "a head"):
            self.load(settings, read_tensors(path / FILE, "the weights of a head"))
        return self

    def load(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        if tensors:
            self.take(settings, tensors)
        else:
            self.head, self.head_settings = None, {}


class Source(NamedTuple):
    """A component with an encoder. member: of its Stack, as ".MEMBER"; "" for the only encoder."""

    pipe: Any
    member: str


def find_none() -> None:
    """In place of a reference to a pipeline, which no pickle holds."""
