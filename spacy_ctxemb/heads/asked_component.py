"""Components with a trained head on the encoder of another component, which are asked by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import safetensors.torch
import srsly
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import get_torch_default_device
from torch import Tensor
from torch.func import functional_call

from ..atomic_files import replacing
from ..checkpoints.bert.read_head import WEIGHT, PublishedHead
from ..errors import Errors
from ..read_files import read_tensors, reading
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.parameter_values import describe_differences, describe_shapes
from ..torch_state import in_ordinary_torch
from .encode_windows import count_windows_a_batch, encode_windows
from .find_encoder import EncoderLink
from .head_layers import Head

FILE = "head.safetensors"


class AskedPipe:
    """A component that lets Docs pass unchanged, and scores the states of an encoder when asked.

    task: what the head is for, as `PublishedHead` names it. link: leads to the encoder.
    head: None until there is one. Its output may share the encoder's table of pieces.
    """

    task: ClassVar[str]

    def __init__(self, nlp: Language, name: str, *, encoder: str) -> None:
        self.name = name
        self.link = EncoderLink(nlp, name, encoder)
        self.use_head(None, {})

    def use_head(self, head: Head | None, settings: dict[str, Any]) -> None:
        """settings: arguments of `Head`."""
        self.head, self.head_settings = head, settings

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        yield from stream

    def take_encoder(self, pipe: Any, former_names: dict[str, list[str]]) -> None:
        """What a component with an encoder calls when it comes before this one."""
        self.link.reader = self.name
        self.link.take(pipe, former_names)

    @in_ordinary_torch
    def take(self, settings: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Use a head: arguments of `Head`, and the values of its parameters, of which the table of
        pieces may be left out. Raises E162 for values of another head."""
        with torch.device("meta"):
            head = Head(**settings)
        expected, found = describe_shapes(head.state_dict()), describe_shapes({**tensors})
        if expected != {WEIGHT: expected[WEIGHT]} | found:
            raise ValueError(Errors.E162.format(differences=describe_differences(expected, found)))
        device = get_torch_default_device()
        copies = {
            name: value.to(device, torch.float32, copy=True) for name, value in tensors.items()
        }
        head.load_state_dict(copies, strict=False, assign=True)
        self.use_head(head.eval(), dict(settings))

    @property
    def shim(self) -> EmbedderShim:
        """What holds the encoder and its pieces. Raises E387 where there is no such encoder,
        E621 for one of another width than the head."""
        shim = self.link.find_shim()
        found = shim.embedder.encoder.width
        width = self.head_settings.get("width", found)
        if found != width:
            names = {"name": self.name, "encoder": self.link.encoder}
            raise ValueError(Errors.E621.format(**names, found=found, width=width))
        return shim

    @in_ordinary_torch
    def score_windows(self, shim: EmbedderShim, windows: Sequence[Tensor]) -> list[Tensor]:
        """The scores of the states of windows, in one pass for as many as fit into a batch.

        windows: ids and segments, (2, T) each. Returns (T, C) each, on the CPU.
        """
        found: list[Tensor] = []
        n = count_windows_a_batch(shim, windows)
        with torch.inference_mode():
            for batch in (windows[start : start + n] for start in range(0, len(windows), n)):
                scores = self.apply_head(shim, encode_windows(shim, batch, self.name))
                found += scores.cpu().split([window.size(1) for window in batch])
        return found

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
            self.use_head(None, {})
