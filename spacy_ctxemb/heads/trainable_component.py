"""What components with a head have in common: classes, training, serialisation."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, set_dropout_rate
from thinc.types import Floats2d
from torch import Tensor

from ..checkpoints.bert.read_head import PublishedHead
from ..errors import Errors
from ..listeners.listener import guard, list_listeners
from ..read_files import reading
from ..thinc_model.arrays_and_tensors import join, split, to_array
from ..torch_state import in_ordinary_torch
from .head_as_thinc_model import HeadModel, Scored
from .head_shim import HeadShim, find_width, get_head

#: Docs from which a model infers its shapes.
N_SAMPLE = 10


class HeadPipe(TrainablePipe):  # type: ignore[misc] # spaCy's compiled code has no types
    """A component whose model is a `spacy-ctxemb.Head.v1`.

    classes: of the head, in order. task, kind: as `PublishedHead` has them.
    """

    task: ClassVar[str]
    kind: str = "single_label"

    def __init__(self, vocab: Vocab, model: HeadModel, name: str) -> None:
        if not any(isinstance(shim, HeadShim) for shim in getattr(model, "shims", ())):
            raise ValueError(Errors.E605.format(name=name, found=getattr(model, "name", model)))
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {"classes": []}

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.cfg["classes"])

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes

    @property
    def label_data(self) -> list[str]:
        """What `init labels` writes, and `initialize` takes."""
        return list(self.labels)

    @abstractmethod
    def name_classes(self, label: str) -> list[str]:
        """The classes that a label needs."""

    @abstractmethod
    def list_labels(self, example: Example) -> Iterable[str]:
        """The labels of the gold annotations."""

    @abstractmethod
    def compute_loss(
        self, examples: Sequence[Example], scored: Sequence[Scored], scores: Tensor
    ) -> Tensor:
        """The loss of a batch, of which scores has all rows; it may depend on none of them."""

    def take_head(self, classes: Iterable[str], tensors: dict[str, Tensor]) -> None:
        """Take the weights of a published head, and the names of its classes."""
        get_head(self.model).load(tensors)
        self.cfg["classes"] = list(classes)
        self.check_classes("The head")
        for label in self.labels:
            self.vocab.strings.add(label)

    def publish(self) -> PublishedHead | None:
        """The head as other programs know it; None without weights."""
        shim = get_head(self.model)
        if not shim.is_materialised:
            return None
        settings = {n: value for n, value in shim.settings.items() if n != "dropout"}
        tensors, n_classes = shim.get_tensors(), len(self.classes)
        return PublishedHead(
            task=self.task,
            settings={"width": find_width(tensors), "n_classes": n_classes, **settings},
            tensors=tensors,
            labels=list(self.classes),
            kind=self.kind,
            reads=self.model.attrs["reads"],
        )

    def add_label(self, label: str) -> int:
        """Add a label; a head that has weights gets random ones for it. Returns 1, or 0 where the
        label is there already."""
        if not isinstance(label, str) or not label:
            raise ValueError(Errors.E606.format(label=label, name=self.name))
        new = [name for name in self.name_classes(label) if name not in self.classes]
        if not new:
            return 0
        self.cfg["classes"] = [*self.classes, *new]
        self.vocab.strings.add(label)
        shim = get_head(self.model)
        if shim.is_materialised:
            shim.grow(len(self.classes))
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Take labels, those of the examples where none are given, and draw the head's weights.

        Raises E607 where there are none, or one where one is to be chosen.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        found = labels or sorted({one for eg in get_examples() for one in self.list_labels(eg)})
        for label in found:
            self.add_label(label)
        n_needed = 2 if self.kind == "single_label" else 1
        if len(self.classes) < n_needed or not self.labels:
            found = {"labels": list(self.labels), "n": n_needed}
            raise ValueError(Errors.E607.format(name=self.name, **found))
        sample = [eg.x for eg in islice(get_examples(), N_SAMPLE)]
        self.model.initialize(X=sample, Y=cast(Any, np.zeros((1, len(self.classes)), dtype="f")))

    def score_docs(self, docs: Iterable[Doc]) -> list[Scored]:
        """What the head makes of some Docs, in NumPy."""
        self.check_weights()
        scored = self.model.predict(list(docs))
        return [one._replace(scores=self.model.ops.to_numpy(one.scores)) for one in scored]

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, f"{type(self).__name__}.update")
        examples = list(examples)
        if not examples:
            return losses
        self.check_weights()
        set_dropout_rate(self.model, drop)
        scored, backprop = self.model.begin_update([eg.predicted for eg in examples])
        loss, d_scores = self.get_loss(examples, scored)
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    @in_ordinary_torch
    def get_loss(
        self, examples: Iterable[Example], scored: Sequence[Scored]
    ) -> tuple[float, list[Floats2d]]:
        """The mean loss of what is annotated, and the gradient of each Doc's scores."""
        sizes = [len(one.scores) for one in scored]
        scores = join([one.scores for one in scored], axis=0, device=get_head(self.model).device)
        with torch.enable_grad():
            scores = scores.detach().requires_grad_()
            loss = self.compute_loss(list(examples), scored, scores)
        gradient = torch.zeros_like(scores)
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, scores)
        return loss.item(), split(to_array(gradient, self.model.ops), sizes, axis=0)

    def check_weights(self) -> None:
        """Raise E608 where the head has no weights."""
        for listener in list_listeners(self):
            if not guard(listener).is_linked:  # so that its errors can name this component
                guard(listener).component = self.name
        if not get_head(self.model).is_materialised:
            raise RuntimeError(Errors.E608.format(name=self.name))

    def check_classes(self, source: str) -> None:
        """Raise E609 where there are not as many names as classes."""
        shim, names = get_head(self.model), list(self.classes)
        if shim.is_materialised and shim.n_classes != len(names):
            found = {"source": source, "n": shim.n_classes, "names": names}
            raise ValueError(Errors.E609.format(name=self.name, **found))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "HeadPipe":
        """Raises E163 for what is damaged, E609 for classes of another head."""
        with reading("What was stored", f"the component '{self.name}'"):
            super().from_bytes(bytes_data, exclude=exclude)
        self.check_classes("What was stored")
        return self

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "HeadPipe":
        """Raises E163 for files that are damaged, E609 for classes of another head."""
        with reading(Path(path), f"the folder of the component '{self.name}'"):
            super().from_disk(path, exclude=exclude)
        self.check_classes(str(path))
        return self
