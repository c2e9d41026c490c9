"""The pipeline component `ctxemb`."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from spacy import util
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, set_dropout_rate
from thinc.types import Floats2d, Floats3d

from . import doc_vectors
from .cache.feature_cache import FeatureCache, Features, find_obstacle
from .checkpoints.loaders import EncoderLoader
from .embedder.layer_mix import LayerWeights, ScalarMix
from .embedder.text_pooling import check_doc_pooling
from .errors import Errors
from .listeners.guarded import TENSOR, Guard, get_guard, guard, list_listeners
from .listeners.layer_mix_listener import (
    LAYERS,
    LayerMixListener,
    replace_listener,
    replace_listener_config,
)
from .listeners.pending_update import Backprop, PendingUpdate
from .pieces.load import PiecesLoader
from .stack import members
from .stack.stack import find_mix, get_members, is_stack
from .thinc_model.embedder_shim import Wanted
from .thinc_model.model import ContextualModel, begin_update_layers, get_shim
from .thinc_model.outputs import Outputs, predict_outputs, write_outputs
from .windows.docs import list_pieces

KEEP = ("tensor", "layers", "none")

#: Docs from which a model infers its shapes.
N_SAMPLE = 10


class ContextualEmbedder(Tok2Vec):
    """Writes a contextual vector for each token into doc.tensor.

    A drop-in for spaCy's `tok2vec`: components with a `spacy.Tok2VecListener.v1` read from it
    and train it.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: ContextualModel,
        name: str,
        *,
        keep: str,
        boundaries: bool = False,
        doc_pooling: str | None = None,
        normalize: bool = False,
        keep_pieces: bool = False,
        keep_attention: bool = False,
        cache: FeatureCache | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(vocab, model, name)
        members.check_model(model, name)
        if keep not in KEEP:
            raise ValueError(Errors.E024.format(keep=keep, name=name, options=list(KEEP)))
        self.keep = keep
        self.boundaries = boundaries
        self.doc_pooling = doc_pooling
        self.normalize = normalize
        self.keep_attention = keep_attention
        self.keep_pieces = keep_pieces
        check_doc_pooling(doc_pooling, normalize=normalize, component=name)
        self._check_settings()
        self._linked = self.listener_map
        self._later_writers: list[str] = []
        self._pending: PendingUpdate | None = None
        self.cache = cache
        members.use_pretrained(model, name, pretrained, lang=vocab.lang)

    def _check_settings(self) -> None:
        """Refuse what the model cannot do."""
        if is_stack(self.model):
            self._refuse_for_stack()
            return
        embedder = get_shim(self.model).embedder
        mix, encoder = embedder.mix, embedder.encoder
        if self.doc_pooling is not None and mix.whole_documents and not mix.whole_batch:
            raise ValueError(Errors.E093.format(name=self.name, doc_pooling=self.doc_pooling))
        if self.keep_attention and not encoder.has_attention:
            raise ValueError(Errors.E094.format(name=self.name, encoder=type(encoder).__name__))

    def _refuse_for_stack(self) -> None:
        """What is of one encoder cannot be kept of several."""
        wanted = {
            "keep": (self.keep == "layers", "tensor"),
            "boundaries": (self.boundaries, "false"),
            "doc_pooling": (self.doc_pooling is not None, "null"),
            "keep_pieces": (self.keep_pieces, "false"),
            "keep_attention": (self.keep_attention, "false"),
        }
        for setting, (is_wanted, default) in wanted.items():
            if is_wanted:
                advice = f"Set it to {default}, or use that encoder in a pipeline of its own."
                what = f"{setting} = {getattr(self, setting)}"
                members.refuse_stack(self.model, self.name, what, advice)

    @property
    def cache(self) -> FeatureCache | None:
        """What prediction has made of earlier Docs; None for no cache."""
        return self._cache

    @cache.setter
    def cache(self, cache: FeatureCache | None) -> None:
        if cache is not None and not isinstance(cache, FeatureCache):
            raise ValueError(Errors.E162.format(name=self.name, found=repr(cache)))
        if cache is not None:
            for name, shim in members.name_shims(self.model, self.name).items():
                obstacle = find_obstacle(shim, self._wanted)
                if obstacle:
                    warnings.warn(Errors.W006.format(name=name, reason=obstacle), stacklevel=2)
        self._cache = cache

    @property
    def counts(self) -> Counter[str]:
        """What went through the encoder since the pipeline was made.

        documents, windows, pieces; tokens; tokens_without_pieces (white space, and
        what a tokenizer drops: zero vectors); lossy_pieces (text that the vocabulary cannot spell,
        or that was cut to max_characters);
        skipped_updates (whose loss or gradients were not finite).
        With a cache also cache_hits and cache_misses, Docs that were met before and others;
        cache_full, Docs for which there was no room.
        Of a Stack those of each member, as NAME.documents and so on.
        """
        if not is_stack(self.model):
            return get_shim(self.model).counts
        shims = members.name_shims(self.model, self.name)
        return Counter(
            {
                f"{name.removeprefix(f'{self.name}.')}.{key}": n
                for name, shim in shims.items()
                for key, n in shim.counts.items()
            }
        )

    def predict(self, docs: Iterable[Doc]) -> list[Floats2d] | list[Outputs]:
        """Vectors of each Doc, (n_tokens, width), and what else is to be kept."""
        docs, wanted = list(docs), self._wanted
        if is_stack(self.model):
            self._refuse_for_stack()  # settings may have changed
            return members.predict_members(self.model, docs, self.cache)
        if self.cache is None or find_obstacle(get_shim(self.model), wanted):
            return self._encode(docs, wanted)

        def encode(docs: list[Doc]) -> list[Features]:
            return [self._to_features(found) for found in self._encode(docs, wanted)]

        shim = get_shim(self.model)
        found = self.cache.predict(shim, docs, encode, with_layers=wanted.layers)
        if wanted.layers:
            return [Outputs(*features, None, None, None) for features in found]
        return [cast(Floats2d, features.vectors) for features in found]

    def _to_features(self, found: Floats2d | Outputs) -> Features:
        if isinstance(found, Outputs):
            return Features(found.tensor, found.layers)
        return Features(cast(Any, self.model.ops.to_numpy(found)), None)

    @property
    def _wanted(self) -> Wanted:
        """What is wanted besides token vectors."""
        return Wanted(
            layers=self._wants_layers,
            boundaries=self.boundaries,
            doc_pooling=self.doc_pooling if self.keep != "none" else None,
            normalize=self.normalize,
            attention=self.keep_attention,
        )

    def _encode(self, docs: list[Doc], wanted: Wanted) -> list[Floats2d] | list[Outputs]:
        if wanted.layers or wanted.boundaries or wanted.doc_pooling or wanted.attention:
            return predict_outputs(self.model, docs, wanted)
        predicted: list[Floats2d] = self.model.predict(docs)
        return predicted

    def set_annotations(
        self, docs: Sequence[Doc], predicted: list[Floats2d] | list[Outputs]
    ) -> None:
        """Write vectors to Docs, and what else is to be kept, in the place of earlier ones."""
        if self._pending is not None and not self._pending.is_of(docs):
            self._release_listeners()
        writes_tensor = self.keep != "none" or bool(self._vector_listeners)
        if writes_tensor:
            for doc in docs:
                doc_vectors.clear(doc)
        if self.keep_pieces:
            for doc, pieces in zip(
                docs, list_pieces(docs, get_shim(self.model).pieces), strict=True
            ):
                doc._.set(doc_vectors.PIECES, pieces)
        for doc, output in zip(docs, predicted, strict=True):
            if isinstance(output, Outputs):
                doc.user_data.pop(LAYERS.counter, None)
                write_outputs(doc, output)
                output = cast(Floats2d, output.tensor)
            if not writes_tensor:
                continue
            doc.user_data.pop(TENSOR.counter, None)
            doc.tensor = cast(Any, self._place(cast(Floats2d, output)))
            if self.keep != "none" and not doc_vectors.in_pipe_worker():
                doc_vectors.attach(doc)

    def _place(self, tensor: Floats2d) -> Floats2d:
        """On the GPU only where a listener needs it there: Docs outlive batches."""
        ops = self.model.ops
        if self._vector_listeners:
            return ops.asarray2f(tensor)
        return cast(Floats2d, ops.to_numpy(tensor))

    @property
    def _wants_layers(self) -> bool:
        return self.keep == "layers" or bool(self._layer_listeners)

    @property
    def _layer_listeners(self) -> list[LayerMixListener]:
        return [node for node in self.listeners if isinstance(node, LayerMixListener)]

    @property
    def _vector_listeners(self) -> list[Tok2VecListener]:
        return [node for node in self.listeners if not isinstance(node, LayerMixListener)]

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
        if self.cache is not None:
            warnings.warn(Errors.W015.format(name=self.name), stacklevel=2)
            self.cache = None
        docs = [eg.predicted for eg in examples]
        set_dropout_rate(self.model, drop)
        self._send(docs, losses)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _send(self, docs: list[Doc], losses: dict[str, float]) -> None:
        """Give each listener what it wants of a batch, and a callback for its gradient."""
        batch_id = Tok2VecListener.get_batch_id(docs)
        vectors, layers, backprop = self._begin_update(docs)
        self._pending = pending = PendingUpdate(docs, backprop, losses, self.name)
        for listener in self._vector_listeners:
            listener.receive(batch_id, vectors, pending.collect_vectors)
        for listener in self._layer_listeners:
            listener.receive(batch_id, layers, pending.collect_layers)

    def _begin_update(self, docs: list[Doc]) -> tuple[list[Floats2d], list[Floats3d], Backprop]:
        """Vectors, and layers where anything listens to them: all layers cost memory."""
        if self._layer_listeners:
            return begin_update_layers(self.model, docs)
        vectors, backprop = self.model.begin_update(docs)
        return vectors, [], lambda d_vectors, d_layers: backprop(d_vectors)

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients that have come back so far."""
        if self._pending is not None and self._pending.arrived:
            self.flush_gradient()
        self.model.finish_update(sgd)

    def flush_gradient(self) -> None:
        """Backpropagate what listeners have sent, and end the batch for all of them."""
        pending = self._pending
        self._forget_batch()
        if pending is not None:
            pending.backpropagate()

    def _forget_batch(self) -> None:
        """Let nobody learn from the last batch any more."""
        self._pending = None
        self._release_listeners()

    def _release_listeners(self) -> None:
        """Let listeners that have not learned from the last batch read Docs again."""
        for listener in self.listeners:
            listener._batch_id = listener._outputs = listener._backprop = None

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        encoder_loader: EncoderLoader | None = None,
        pieces_loader: PiecesLoader | None = None,
        member_loaders: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        """Give the encoder its weights, and subword pieces a vocabulary where they have none.

        get_examples: the training data; without a loader a vocabulary is learned from its texts.
        encoder_loader: reads the encoder's weights, see checkpoints/loaders.py; None for random
            ones. Mix and projection get initial values.
        pieces_loader: reads or learns a vocabulary, see pieces/load.py.
        member_loaders: the same two for members of a Stack, by their names.
        """
        if nlp is not None:
            self._check_earlier(nlp)
        own = members.Loaders(encoder_loader, pieces_loader)
        loaders = members.choose_loaders(self.model, self.name, own, member_loaders)
        sample = [eg.x for eg in islice(get_examples(), N_SAMPLE)]
        if not sample:
            raise ValueError(Errors.E025.format(name=self.name))
        self._forget_batch()
        members.initialise(self.model, self.name, sample, get_examples, loaders)

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
        for listener in list_listeners(component):
            upstream = listener.upstream_name
            if upstream in self._later_writers:
                continue
            is_own = upstream in ("*", self.name)
            if not is_own or self._later_writers:
                other = upstream if not is_own else self._later_writers[-1]
                raise ValueError(Errors.E023.format(other=other, name=self.name, reader=name))
            # An earlier tok2vec takes a listener to "*" for its own whenever spaCy links
            # components, and would wait in vain for its gradient.
            listener.upstream_name = self.name
            self.add_listener(listener, name)
            self._link(listener, name)

    def _link(self, listener: Tok2VecListener, component: str) -> None:
        known = Guard(self.name, component)
        if isinstance(listener, LayerMixListener):
            advice = "Use spacy.Tok2VecListener.v1 or spacy-ctxemb.Listener.v1 there."
            what = f"The LayerMixListener of '{component}'"
            members.refuse_stack(self.model, self.name, what, advice)
            encoder = get_shim(self.model).embedder.encoder
            listener.link(known, n_layers=encoder.n_layers, width=encoder.width)
            # Only now: with these, spaCy wants every listener of a component at model.tok2vec.
            self.model.attrs["replace_listener"] = replace_listener
            self.model.attrs["replace_listener_cfg"] = replace_listener_config
        else:
            width = self.model.get_dim("nO")
            found = listener.get_dim("nO")
            if found != width:
                raise ValueError(
                    Errors.E021.format(
                        component=component, found=found, name=self.name, width=width
                    )
                )
            guard(listener, known)
        self._choose_last_readers()

    def remove_listener(self, listener: Tok2VecListener, component_name: str) -> bool:
        """Forget a listener, for instance one that was replaced."""
        # spaCy goes over this list while it removes from it.
        self.listener_map[component_name] = list(self.listener_map.get(component_name, []))
        is_removed = super().remove_listener(listener, component_name)
        self._choose_last_readers()
        return is_removed

    def _choose_last_readers(self) -> None:
        """Components are linked in their order: the last to read drops what is not to be kept."""
        for listeners, is_kept in (
            (self._vector_listeners, self.keep != "none"),
            (self._layer_listeners, self.keep == "layers"),
        ):
            guards = [get_guard(listener) for listener in listeners]
            for known in guards:
                is_last = known.component == guards[-1].component
                last = [g for g in guards if g.component == known.component]
                known.last_readers = len(last) if is_last and not is_kept else 0

    def reset_state(self) -> None:
        """Let a stateful encoder begin anew, as if it had seen nothing."""
        for shim in members.name_shims(self.model, self.name).values():
            shim.embedder.encoder.reset_state()

    def layer_weights(self) -> dict[str, LayerWeights]:
        """What is made of the encoder's layers, by names of components.

        Under this component's own name its ScalarMix, if it has one, and under NAME.MEMBER those
        of the members of a Stack; under the names of those that listen to it what each
        LayerMixListener has learned.
        """
        mixes: dict[str, ScalarMix] = {}
        for name, shim in members.name_shims(self.model, self.name).items():
            shim.check_materialised()
            if isinstance(shim.embedder.mix, ScalarMix):
                mixes[name] = shim.embedder.mix
        for listener in self._layer_listeners:
            name = component = get_guard(listener).component
            n = 1
            while name in mixes:
                n += 1
                name = f"{component} ({n})"
            mixes[name] = listener.mix
        return {name: mix.layer_weights() for name, mix in mixes.items()}

    def member_weights(self) -> dict[str, float]:
        """The share of each member in a Stack that mixes them; nothing of other models."""
        if not is_stack(self.model):
            return {}
        names = get_members(self.model)
        return {
            name: share
            for shim in find_mix(self.model)
            for name, share in zip(names, shim.get_shares(), strict=True)
        }

    def _check_earlier(self, nlp: Language) -> None:
        """Refuse components that listen to this one but come before it."""
        listened_to = {self.name, "*"}
        for name, component in nlp.pipeline[: nlp.pipe_names.index(self.name)]:
            if isinstance(component, Tok2Vec):
                listened_to.discard("*")  # that one is meant
            if any(node.upstream_name in listened_to for node in list_listeners(component)):
                raise ValueError(Errors.E044.format(component=name, upstream=self.name))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write pieces and `encoder.safetensors`, so that weights have no limit of size; for a
        Stack in a folder for each of its encoders."""
        util.to_disk(path, {"model": lambda p: members.to_disk(self.model, p)}, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "ContextualEmbedder":
        self._forget_batch()
        util.from_disk(path, {"model": lambda p: members.from_disk(self.model, p)}, exclude)
        return self
