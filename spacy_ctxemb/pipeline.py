"""The pipeline component `ctxemb`."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from spacy import util
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from . import vectors
from .bridge import (
    ContextualModel,
    Layers,
    get_shim,
    needs_vocabulary,
    predict_layers,
    train_pieces,
)
from .errors import Errors
from .listeners import Guard, get_guard, guard
from .loaders import EncoderLoader

KEEP = ("tensor", "layers", "none")

#: Docs from which a model infers its shapes.
N_SAMPLE = 10


@dataclass
class PendingUpdate:
    """A batch whose gradients are on their way back. arrived: whether any has come."""

    backprop: Callable[[list[Floats2d]], Any]
    d_vectors: list[Floats2d]
    arrived: bool = False


class ContextualEmbedder(Tok2Vec):
    """Writes a contextual vector for each token into doc.tensor.

    A drop-in for spaCy's `tok2vec`: components with a `spacy.Tok2VecListener.v1` read from it
    and train it.
    """

    def __init__(self, vocab: Vocab, model: ContextualModel, name: str, *, keep: str) -> None:
        super().__init__(vocab, model, name)
        if keep not in KEEP:
            raise ValueError(Errors.E024.format(keep=keep, name=name, options=list(KEEP)))
        self.keep = keep
        self._linked = self.listener_map
        self._later_writers: list[str] = []
        self._pending: PendingUpdate | None = None

    @property
    def counts(self) -> Counter[str]:
        """What went through the encoder since the pipeline was made.

        documents, windows, pieces; tokens; tokens_without_pieces (white space: zero vectors);
        lossy_pieces (text that the vocabulary cannot spell, or that was cut to max_characters).
        """
        return get_shim(self.model).counts

    def predict(self, docs: Iterable[Doc]) -> list[Floats2d] | list[Layers]:
        """Vectors of each Doc, (n_tokens, width), and its layers where they are to be kept."""
        docs = list(docs)
        if self.keep == "layers":
            return predict_layers(self.model, docs)
        predicted: list[Floats2d] = self.model.predict(docs)
        return predicted

    def set_annotations(
        self, docs: Sequence[Doc], predicted: list[Floats2d] | list[Layers]
    ) -> None:
        """Write vectors to Docs."""
        if self.keep == "none" and not self.listeners:
            return
        for doc, output in zip(docs, predicted, strict=True):
            if isinstance(output, Layers):
                doc._.set(vectors.LAYERS, output.layers)
                output = cast(Floats2d, output.tensor)
            doc.tensor = cast(Any, self._place(cast(Floats2d, output)))
            if self.keep != "none" and not in_pipe_worker():
                vectors.attach(doc)

    def _place(self, tensor: Floats2d) -> Floats2d:
        """On the GPU only where a listener needs it there: Docs outlive batches."""
        ops = self.model.ops
        return ops.asarray2f(tensor) if self.listeners else cast(Floats2d, ops.to_numpy(tensor))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Send vectors to all listeners, and collect the gradients that come back.

        spaCy's own `tok2vec` learns only if the last listener sends a gradient, which it does
        not where it is frozen, or has no annotations to learn from. Here any of them will do.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, "ContextualEmbedder.update")
        self.flush_gradient()
        docs = [eg.predicted for eg in examples]
        set_dropout_rate(self.model, drop)
        vectors, backprop = self.model.begin_update(docs)
        pending = PendingUpdate(backprop, [self.model.ops.alloc2f(*v.shape) for v in vectors])

        def collect(d_vectors: list[Floats2d]) -> list[Doc]:
            pending.arrived = True
            for total, d in zip(pending.d_vectors, d_vectors, strict=True):
                total += d
                losses[self.name] += float((cast(Any, d) ** 2).sum())
            return []

        self._pending = pending
        for listener in self.listeners:
            listener.receive(Tok2VecListener.get_batch_id(docs), vectors, collect)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients that have come back so far."""
        if self._pending is not None and self._pending.arrived:
            self.flush_gradient()
        self.model.finish_update(sgd)

    def flush_gradient(self) -> None:
        """Backpropagate what listeners have sent, and end the batch for all of them."""
        pending, self._pending = self._pending, None
        for listener in self.listeners:
            listener._batch_id = listener._outputs = listener._backprop = None
        if pending is not None and pending.arrived:
            pending.backprop(pending.d_vectors)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        encoder_loader: EncoderLoader | None = None,
    ) -> None:
        """Give the encoder its weights, and word pieces a vocabulary where they have none.

        get_examples: the training data; a vocabulary is learned from its words.
        encoder_loader: reads the encoder's weights, see loaders.py; None for random ones. Mix and
            projection get initial values.
        """
        if nlp is not None:
            self._check_earlier(nlp)
        shim = get_shim(self.model)
        sample = [eg.x for eg in islice(get_examples(), N_SAMPLE)]
        if not sample:
            raise ValueError(Errors.E025.format(name=self.name))
        tensors = None
        if encoder_loader is not None:
            section = f"components.{self.name}.model"
            tensors = encoder_loader(shim.embedder.encoder, shim.pieces, section)
        if needs_vocabulary(shim):
            train_pieces(shim, [eg.x for eg in get_examples()])
        shim.discard_parameters()
        self.model.initialize(X=sample)
        if tensors is not None:
            shim.load_encoder(tensors)

    def find_listeners(self, component: Any) -> None:
        """Link the listeners of a later component, and check that they fit."""
        name = getattr(component, "name", "")
        if self.listener_map is not self._linked:  # spaCy links all components anew
            self._linked = self.listener_map
            self._later_writers = []
        if isinstance(component, ContextualEmbedder):
            self._later_writers.append(name)
        elif isinstance(component, Tok2Vec):
            raise ValueError(Errors.E046.format(other=name, name=self.name))
        for listener in _listeners_of(component):
            upstream = listener.upstream_name
            if upstream in self._later_writers:
                continue
            is_own = upstream in ("*", self.name)
            if not is_own or self._later_writers:
                other = upstream if not is_own else self._later_writers[-1]
                raise ValueError(Errors.E023.format(other=other, name=self.name, reader=name))
            self.add_listener(listener, name)
            self._link(listener, name)

    def _link(self, listener: Tok2VecListener, component: str) -> None:
        width = self.model.get_dim("nO")
        if listener.get_dim("nO") != width:
            raise ValueError(
                Errors.E021.format(
                    component=component, found=listener.get_dim("nO"), name=self.name, width=width
                )
            )
        # Components are linked in their order: the last to read may drop the vectors. One with
        # several listeners reads more than once.
        is_only_one = len(self.listener_map[component]) == 1
        for earlier in self.listeners:
            if earlier is not listener:
                get_guard(earlier).releases = False
        guard(listener, Guard(self.name, component, self.keep == "none" and is_only_one))

    def _check_earlier(self, nlp: Language) -> None:
        """Refuse components that listen to this one but come before it."""
        listened_to = {self.name, "*"}
        for name, component in nlp.pipeline[: nlp.pipe_names.index(self.name)]:
            if isinstance(component, Tok2Vec):
                listened_to.discard("*")  # that one is meant
            if any(node.upstream_name in listened_to for node in _listeners_of(component)):
                raise ValueError(Errors.E044.format(component=name, upstream=self.name))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write pieces and `encoder.safetensors`, so that weights have no limit of size."""
        shim = get_shim(self.model)
        util.to_disk(path, {"model": lambda p: shim.to_disk(p)}, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "ContextualEmbedder":
        shim = get_shim(self.model)
        util.from_disk(path, {"model": cast(Any, shim.from_disk)}, exclude)
        return self


def in_pipe_worker() -> bool:
    """Whether this process serves `nlp.pipe(n_process=...)`.

    Docs go back from there as bytes, which cannot hold hooks: spaCy would warn for each.
    """
    target = getattr(multiprocessing.current_process(), "_target", None)
    return getattr(target, "__module__", "") == "spacy.language"


def _listeners_of(component: Any) -> list[Tok2VecListener]:
    model = getattr(component, "model", None)
    if not isinstance(model, Model):
        return []
    return [node for node in model.walk() if isinstance(node, Tok2VecListener)]
