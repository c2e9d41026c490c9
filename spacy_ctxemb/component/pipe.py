"""The component: prediction, training, and what stands beside them."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, set_dropout_rate

from .. import doc_vectors
from ..cache.feature_cache import FeatureCache
from ..checkpoints.encoder_loader_type import EncoderLoader
from ..embedder.layer_mix import LayerWeights, ScalarMix
from ..embedder.memory_budget import parse_bytes
from ..embedder.output_types import Wanted
from ..errors import Errors
from ..listeners.collected_gradients import PendingUpdate
from ..listeners.layer_mix_listener import LayerMixListener
from ..listeners.listener import forget_batch, guard
from ..listeners.piece_states_listener import PieceStatesListener
from ..pieces.registered_vocabulary_loaders import PiecesLoader
from ..pretrained import AUTO, is_published
from ..read_files import naming, reading
from ..stack.join_members import find_mix
from ..stack.load_initial_weights import (
    Loaders,
    choose_loaders,
    initialise,
    use_pretrained,
    warn_of_random_weights,
)
from ..stack.name_encoders import check_model, name_encoders
from ..stack.stack import embed, get_members
from ..stack.to_disk import from_disk, to_disk
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.docs_to_outputs import Outputs
from .cfg_file import check_cfg, read_cfg, write_cfg
from .check_has_weights import check_weights
from .follow_pretrained import ConfigChange
from .link_listeners import (
    check_links,
    choose_last_readers,
    is_refused,
    link_listener,
    list_own_listeners,
)
from .note_origins import Notes, note_origins
from .what_to_keep import Setting, Settings, warn_of_useless_cache

#: Where spaCy's compiled code has the name of a component.
NAME: Any = cast(Any, Tok2Vec).name

#: Docs from which a model infers its shapes.
N_SAMPLE = 10


class ContextualEmbedder(Tok2Vec):
    """Writes a contextual vector for each token into doc.tensor.

    A drop-in for spaCy's `tok2vec`: components with a `spacy.Tok2VecListener.v1` read from it
    and train it. See factory.py for the settings.

        nlp = spacy.blank("en")
        pipe = nlp.add_pipe("ctxemb")
        doc = nlp("the bank of the river")  # doc.tensor: (n_tokens, width)
    """

    _former_name = ""

    #: What the config is to say too, as soon as the component is in a pipeline.
    config_change: ConfigChange | None = None

    #: Where the weights come from, as the pipeline has noted it.
    notes: Notes | None = None

    keep = Setting[str]()
    boundaries = Setting[bool]()
    doc_pooling = Setting[str | None]()
    normalize = Setting[bool]()
    keep_pieces = Setting[bool]()
    keep_attention = Setting[bool]()
    cache = Setting[FeatureCache | None]()
    max_memory = Setting[int | str | None]()

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
        max_memory: int | str | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(vocab, model, name)
        check_model(model, name)
        self._pending: PendingUpdate | None = None
        of_texts = (doc_pooling, normalize)
        of_pieces = (keep_pieces, keep_attention)
        self.use_settings(Settings(keep, boundaries, *of_texts, *of_pieces, cache, max_memory))
        self.pretrained = pretrained
        use_pretrained(model, name, pretrained, lang=vocab.lang)

    def use_settings(self, settings: Settings) -> None:
        """Take settings that may be new. Raises ValueError where they do not fit the model."""
        settings.validate(self.model, self.name)
        for shim in name_encoders(self.model, self.name).values():
            shim.max_memory = parse_bytes(settings.max_memory)
        before, self.settings = getattr(self, "settings", None), settings
        if before is None or before.cache is not settings.cache:
            warn_of_useless_cache(settings.cache, self.model, self.name, self._wanted)
        self._choose_last_readers()

    @property
    def listener_map(self) -> dict[str, list[Tok2VecListener]]:
        """The listeners of each later component."""
        return self._listener_map

    @listener_map.setter
    def listener_map(self, listeners: dict[str, list[Tok2VecListener]]) -> None:
        """spaCy puts an empty one here, and then links anew all components that are enabled."""
        for listener in chain(*getattr(self, "_listener_map", {}).values()):
            if guard(listener).sender == self.model.id:
                guard(listener).sender = 0
        self._listener_map = listeners
        self._later_writers: list[str] = []
        self._refused: list[Any] = []  # components directly behind, with a listener that is unknown
        if self.config_change is not None and self.config_change.write(self):
            self.config_change = None

    @property
    def name(self) -> str:
        """The name in the pipeline. spaCy gives a component that is there twice each in turn."""
        return cast(str, NAME.__get__(self))

    @name.setter
    def name(self, name: str) -> None:
        former = self.name
        NAME.__set__(self, name)
        if former not in (None, name):
            self._former_name = former
            if self.notes is not None:
                self.notes.rename(self, former, name)

    @property
    def counts(self) -> Counter[str]:
        """What went through the encoder since the pipeline was made.

        documents, windows, pieces; tokens; tokens_without_pieces (white space, and
        what a tokenizer drops: zero vectors); lossy_pieces (text that the vocabulary cannot spell,
        or that was cut to max_characters);
        skipped_updates (whose loss or gradients were not finite).
        With a cache also cache_hits and cache_misses, Docs that were met before and others;
        cache_full, Docs that are not kept: there was no room, or nothing could be written.
        Sums over all encoders of a Stack; `encoder_counts` has each one's.
        """
        total: Counter[str] = Counter()
        for counts in self.encoder_counts().values():
            total.update(counts)
        return total

    def encoder_counts(self) -> dict[str, Counter[str]]:
        """These counts of each encoder, by the component's name or as NAME.MEMBER of a Stack."""
        encoders = name_encoders(self.model, self.name)
        return {name: Counter(shim.counts) for name, shim in encoders.items()}

    def predict(self, docs: Iterable[Doc]) -> list[Outputs]:
        """Vectors of each Doc, (n_tokens, width), and what else is to be kept."""
        check_weights(self.model, self.name, self.pretrained, lang=self.vocab.lang)
        found = embed(self.model, list(docs), self._wanted, is_train=False, cache=self.cache)
        return found[0]

    def set_annotations(self, docs: Sequence[Doc], outputs: list[Outputs]) -> None:
        """Write vectors to Docs, and what else is to be kept, in the place of earlier ones."""
        if self._pending is not None and not self.is_learning_from(docs):
            self._release_listeners()
        is_listened_to, ops = bool(self.vector_listeners), self.model.ops
        keeps, is_pooled = self.keep != "none", self.doc_pooling is not None
        # On the GPU only where a listener needs it there: Docs outlive batches.
        place: Callable[[Any], Any] = ops.asarray2f if is_listened_to else ops.to_numpy
        for doc, output in zip(docs, outputs, strict=True):
            tensor = place(output.vectors) if keeps or is_listened_to else None
            doc_vectors.write(doc, vars(output), tensor, keeps=keeps, is_pooled=is_pooled)

    @property
    def _wanted(self) -> Wanted:
        return self.settings.want(
            layers_listened_to=bool(self.layer_listeners),
            states_listened_to=bool(self.state_listeners),
        )

    @property
    def layer_listeners(self) -> list[LayerMixListener]:
        """Those that read all layers of the encoder."""
        return [node for node in self.listeners if isinstance(node, LayerMixListener)]

    @property
    def state_listeners(self) -> list[PieceStatesListener]:
        """Those that read the states of pieces."""
        return [node for node in self.listeners if isinstance(node, PieceStatesListener)]

    @property
    def vector_listeners(self) -> list[Tok2VecListener]:
        """Those that read token vectors."""
        others = LayerMixListener | PieceStatesListener
        return [node for node in self.listeners if not isinstance(node, others)]

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
            warnings.warn(Errors.W007.format(name=self.name), stacklevel=2)
        check_weights(self.model, self.name, self.pretrained, lang=self.vocab.lang)
        docs = [eg.predicted for eg in examples]
        set_dropout_rate(self.model, drop)
        self._send(docs, losses)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _send(self, docs: list[Doc], losses: dict[str, float]) -> None:
        """Give each listener what it wants of a batch, and a callback for its gradient."""
        batch_id = Tok2VecListener.get_batch_id(docs)
        listeners: dict[str, Sequence[Tok2VecListener]] = {
            "vectors": self.vector_listeners,
            "layers": self.layer_listeners,
            "states": self.state_listeners,
        }
        # All layers cost memory.
        wanted = Wanted(layers=bool(listeners["layers"]), states=bool(listeners["states"]))
        # Those that are asked by name run the encoder themselves.
        listened_to = docs if self.listeners else []
        outputs, backprop = embed(self.model, listened_to, wanted, is_train=True)
        self._pending = pending = PendingUpdate(docs, backprop, losses, self.name)
        for of, readers in listeners.items():
            sent = [getattr(one, of) for one in outputs]
            for listener in readers:
                listener.receive(batch_id, sent, partial(pending.collect, of))

    def is_learning_from(self, docs: Iterable[Doc]) -> bool:
        """Whether a batch of some of these Docs is under way, to learn from."""
        return self._pending is not None and self._pending.is_of(docs)

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients that have come back so far.

        `nlp.update` asks for this before listeners have learned. Then it is done when the batch
        ends: weights that changed before that would spoil its gradient.
        """
        pending = self._pending
        if pending is None or not (pending.arrived or self.listeners):
            self.model.finish_update(sgd)
            return
        pending.optimizer = sgd
        if pending.arrived:
            self.flush_gradient()

    def flush_gradient(self) -> None:
        """Backpropagate what listeners have sent, and end the batch for all of them."""
        pending = self._pending
        self._forget_batch()
        if pending is not None:
            pending.backpropagate()
            if pending.optimizer is not None:
                self.model.finish_update(pending.optimizer)

    def _forget_batch(self) -> None:
        """Let nobody learn from the last batch any more."""
        self._pending = None
        self._release_listeners()

    def _release_listeners(self) -> None:
        """Let listeners that have not learned from the last batch read Docs again."""
        for listener in self.listeners:
            forget_batch(listener)

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
        encoder_loader: reads the encoder's weights, see registered_checkpoint_loaders.py in
            checkpoints; None for those of a published model that `pretrained` names, else for
            random ones. Mix and projection get initial values.
        pieces_loader: reads or learns a vocabulary, see registered_vocabulary_loaders.py in
            pieces.
        member_loaders: the same two for members of a Stack, by their names.
        """
        if nlp is not None:
            check_links(nlp, self.name)
        if encoder_loader is None and is_published(self.pretrained):
            from ..checkpoints.registered_checkpoint_loaders import build_bert_weights

            path = str(self.pretrained)
            setting = naming(f"pretrained in [components.{self.name}]")
            encoder_loader = setting(build_bert_weights(path=path))
        own = Loaders(encoder_loader, pieces_loader)
        loaders = choose_loaders(self.model, self.name, own, member_loaders)
        sample = [eg.x for eg in islice(get_examples(), N_SAMPLE)]
        if not sample:
            raise ValueError(Errors.E009.format(name=self.name))
        self._forget_batch()
        random, origins = initialise(self.model, self.name, sample, get_examples, loaders)
        if nlp is not None:
            for encoder, found in origins.items():
                note_origins(nlp, encoder, found)
        if self.pretrained == AUTO and not (nlp is not None and self.loads_later(nlp)):
            warn_of_random_weights(random, self.vocab.lang)

    def loads_later(self, nlp: Language) -> bool:
        """Whether nlp.initialize loads weights of pretraining, by init_tok2vec, in the end."""
        config = nlp.config.interpolate()
        is_meant = config.get("pretraining", {}).get("component") == self.name
        return is_meant and bool(config["initialize"].get("init_tok2vec"))

    def find_listeners(self, component: Any) -> None:
        """Link the listeners of a later component, and check that they fit. A component with a
        method `take_encoder`, as those that are asked by name, gets this one.

        Raises E026 or E022 where two components write doc.tensor for the same readers; see
        `link_listener` for listeners that do not fit.
        """
        name = getattr(component, "name", "")
        if isinstance(component, Tok2Vec) and not isinstance(component, ContextualEmbedder):
            raise ValueError(Errors.E026.format(other=name, name=self.name))
        self._link(component, self._later_writers)
        if hasattr(component, "take_encoder"):
            component.take_encoder(self, self.cfg.setdefault("former_names", {}))
        if isinstance(component, ContextualEmbedder):
            other = self._former_name if component is self else name
            self._later_writers = [*self._later_writers, other]
        elif not self._later_writers and is_refused(component):
            self._refused.append(component)

    def _link(self, component: Any, later_writers: Sequence[str]) -> None:
        reader = getattr(component, "name", "")
        former_names = self.cfg.setdefault("former_names", {})
        is_ready = any(s.is_materialised for s in name_encoders(self.model, self.name).values())
        for listener in list_own_listeners(
            component,
            self.name,
            former_names,
            later_writers,
            sender=self.model.id,
            is_ready=is_ready,
        ):
            link_listener(self.model, listener, self.name, reader)
            if isinstance(listener, PieceStatesListener) and not self.state_listeners:
                wanted = self._wanted._replace(states=True)
                warn_of_useless_cache(self.cache, self.model, self.name, wanted)
            self.add_listener(listener, reader)
        self._choose_last_readers()

    def _link_refused(self) -> None:
        """Link what former names tell, once they are loaded: spaCy does so without the components
        that are disabled, and not when they are enabled."""
        refused, self._refused = self._refused, []
        for component in refused:
            self._link(component, [])

    def remove_listener(self, listener: Tok2VecListener, component_name: str) -> bool:
        """Forget a listener, for instance one that was replaced."""
        # spaCy goes over this list while it removes from it.
        self.listener_map[component_name] = list(self.listener_map.get(component_name, []))
        is_removed = super().remove_listener(listener, component_name)
        self._choose_last_readers()
        return is_removed

    def _choose_last_readers(self) -> None:
        choose_last_readers(self.vector_listeners, is_kept=self.keep != "none")
        choose_last_readers(self.layer_listeners, is_kept=self.keep == "layers")
        choose_last_readers(self.state_listeners, is_kept=False)

    def reset_state(self) -> None:
        """Let a stateful encoder begin anew, as if it had seen nothing."""
        for shim in name_encoders(self.model, self.name).values():
            shim.embedder.encoder.reset_state()

    def layer_weights(self) -> dict[str, LayerWeights]:
        """What is made of the encoder's layers, by names of components.

        Under this component's own name its ScalarMix, if it has one, and under NAME.MEMBER those
        of the members of a Stack; under the names of those that listen to it what each
        LayerMixListener has learned.
        """
        mixes: dict[str, ScalarMix] = {}
        for name, shim in name_encoders(self.model, self.name).items():
            shim.check_materialised()
            if isinstance(shim.embedder.mix, ScalarMix):
                mixes[name] = shim.embedder.mix
        for listener in self.layer_listeners:
            name = component = guard(listener).component
            n = 1
            while name in mixes:
                n += 1
                name = f"{component} ({n})"
            mixes[name] = listener.mix
        return {name: mix.layer_weights() for name, mix in mixes.items()}

    def member_weights(self) -> dict[str, float]:
        """The share of each member in a Stack that mixes them; nothing of other models."""
        shim = find_mix(self.model)
        if shim is None:
            return {}
        return dict(zip(get_members(self.model), shim.get_shares(), strict=True))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "ContextualEmbedder":
        """Read what `to_bytes` has made. Raises E163 where the model is missing or damaged,
        E036 where the former names are."""
        self._forget_batch()
        self._check_version()
        with reading("What was stored", f"the component '{self.name}'"):
            stored = srsly.msgpack_loads(bytes_data)
            if "model" not in exclude:
                self.model.from_bytes(stored["model"])
            if "cfg" in stored and "cfg" not in exclude:
                cfg = srsly.json_loads(stored["cfg"])
                self.cfg.update(check_cfg(cfg, f"What was stored of '{self.name}'"))
            super().from_bytes(bytes_data, exclude=[*exclude, "model", "cfg"])
        self._link_refused()
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write pieces and `encoder.safetensors`, so that weights have no limit of size; for a
        Stack in a folder for each of its encoders."""
        files = {
            "cfg": lambda p: write_cfg(p, self.cfg),
            "model": lambda p: to_disk(self.model, p),
        }
        util.to_disk(path, files, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "ContextualEmbedder":
        self._forget_batch()
        self._check_version()
        files = {
            "cfg": lambda p: self.cfg.update(read_cfg(p)),
            "model": lambda p: from_disk(self.model, p),
        }
        util.from_disk(path, files, exclude)
        self._link_refused()
        return self

    def _check_version(self) -> None:
        if self.notes is not None:
            self.notes.check_version()
