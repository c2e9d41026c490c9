"""What `[pretrain.objective]` may name."""

from dataclasses import dataclass

import torch

from ...encoders import BiLM, Encoder
from ...errors import Errors
from ...objectives import BiLMObjective, MaskedLMObjective
from ...objectives.bilm_loss import N_SPECIAL
from ...pieces.base import Pieces
from ...pieces.characters import CharacterPieces
from ...pieces.subwords import SubwordPieces
from ..settings import BuildTask
from ..text.token_store import TokenStore
from .bilm_batches import BiLMText, choose_vocabulary
from .bilm_task import BiLMTask
from .masked_lm_task import LEAST, MaskedLMTask, check_sizes
from .task import Task


def build_pretrain_bilm(
    *,
    n_rows: int = 128,
    n_steps: int = 20,
    vocab_size: int = 50000,
    min_count: int = 3,
    n_samples: int | None = 4096,
    max_sentences: int = 1,
    carries_state: bool = False,
) -> BuildTask:
    """`spacy-ctxemb.PretrainBiLM.v1`: the likelihoods of the next and of the previous word.

    n_rows: texts that a micro-batch reads beside each other. 32 to 256; ELMo: 128.
    n_steps: words of each that it reads. 20 to 40; ELMo: 20.
    vocab_size: words to predict, at most; others are <UNK>. ELMo: 793,471.
    min_count: how often the text has a word to predict, at least. 2 to 5.
    n_samples: words that a micro-batch's targets are told from in training; null for the whole
        vocabulary. 1024 to 8192; ELMo: 8192.
    max_sentences, carries_state: see BiLMTask. ELMo: 1 and true.
    """
    check_least(n_rows=(n_rows, 1), n_steps=(n_steps, 1), vocab_size=(vocab_size, N_SPECIAL + 1))
    check_least(min_count=(min_count, 1), max_sentences=(max_sentences, 1))
    if n_samples is not None:
        check_least(n_samples=(n_samples, 1))
    return PretrainBiLM(
        n_rows=n_rows,
        n_steps=n_steps,
        vocab_size=vocab_size,
        min_count=min_count,
        n_samples=n_samples,
        max_sentences=max_sentences,
        carries_state=carries_state,
    )


@dataclass(frozen=True, kw_only=True)
class PretrainBiLM:
    """See build_pretrain_bilm."""

    n_rows: int
    n_steps: int
    vocab_size: int
    min_count: int
    n_samples: int | None
    max_sentences: int
    carries_state: bool

    def check(self, encoder: Encoder, pieces: Pieces) -> None:
        require_bilm(encoder, pieces)

    def __call__(
        self,
        encoder: Encoder,
        pieces: Pieces,
        *,
        store: TokenStore,
        held_out: TokenStore,
        seed: int,
    ) -> Task:
        encoder, pieces = require_bilm(encoder, pieces)
        vocabulary = choose_vocabulary(store, size=self.vocab_size, min_count=self.min_count)
        if len(vocabulary) == N_SPECIAL:
            raise ValueError(Errors.E088.format(min_count=self.min_count))
        n_samples = self.n_samples
        sampled = n_samples if n_samples is not None and n_samples < len(vocabulary) else None
        return BiLMTask(
            encoder,
            BiLMObjective(encoder, vocabulary, n_samples=sampled),
            text=BiLMText(store, pieces, vocabulary),
            held_out=BiLMText(held_out, pieces, vocabulary),
            n_rows=self.n_rows,
            n_steps=self.n_steps,
            max_sentences=self.max_sentences,
            carries_state=self.carries_state,
            seed=seed,
        )


def require_bilm(encoder: Encoder, pieces: Pieces) -> tuple[BiLM, CharacterPieces]:
    """The same two, if they are what PretrainBiLM trains."""
    if not isinstance(encoder, BiLM) or not isinstance(pieces, CharacterPieces):
        found = type(encoder).__name__
        raise ValueError(Errors.E030.format(objective="PretrainBiLM", wanted="BiLM", found=found))
    return encoder, pieces


def build_pretrain_masked_lm(
    *,
    batch_size: int = 32,
    max_pieces: int = 128,
    share: float = 0.15,
    whole_words: bool = False,
    spans: bool = False,
    next_sentence: bool = False,
) -> BuildTask:
    """`spacy-ctxemb.PretrainMaskedLM.v1`: predict hidden pieces.

    batch_size: sequences of a micro-batch. 16 to 256.
    max_pieces: of a sequence, boundaries included. 128 to 512; at most the encoder's max_length.
    share, whole_words, spans: what is hidden, see MaskedLMObjective.
    next_sentence: learn from pairs of texts too whether one follows the other, see SentencePairs;
        else sequences are neighbouring sentences.
    """
    check_least(batch_size=(batch_size, 1), max_pieces=(max_pieces, LEAST))
    return PretrainMaskedLM(
        batch_size=batch_size,
        max_pieces=max_pieces,
        share=share,
        whole_words=whole_words,
        spans=spans,
        next_sentence=next_sentence,
    )


@dataclass(frozen=True, kw_only=True)
class PretrainMaskedLM:
    """See build_pretrain_masked_lm."""

    batch_size: int
    max_pieces: int
    share: float
    whole_words: bool
    spans: bool
    next_sentence: bool

    def check(self, encoder: Encoder, pieces: Pieces) -> None:
        with torch.device("meta"):  # no memory, and no random numbers
            objective = self._build_objective(encoder, require_subwords(encoder, pieces))
        check_sizes(encoder, objective, batch_size=self.batch_size, max_pieces=self.max_pieces)

    def __call__(
        self,
        encoder: Encoder,
        pieces: Pieces,
        *,
        store: TokenStore,
        held_out: TokenStore,
        seed: int,
    ) -> Task:
        pieces = require_subwords(encoder, pieces)
        return MaskedLMTask(
            encoder,
            self._build_objective(encoder, pieces),
            boundaries=pieces.boundaries,
            store=store,
            held_out=held_out,
            batch_size=self.batch_size,
            max_pieces=self.max_pieces,
            seed=seed,
        )

    def _build_objective(self, encoder: Encoder, pieces: SubwordPieces) -> MaskedLMObjective:
        return MaskedLMObjective(
            encoder,
            mask_id=pieces.mask_id,
            special_ids=pieces.special_ids,
            n_pieces=pieces.n_trained,
            share=self.share,
            whole_words=self.whole_words,
            spans=self.spans,
            next_sentence=self.next_sentence,
        )


def require_subwords(encoder: Encoder, pieces: Pieces) -> SubwordPieces:
    """The pieces, if they are what PretrainMaskedLM trains."""
    if not isinstance(pieces, SubwordPieces):
        found = type(encoder).__name__
        raise ValueError(
            Errors.E030.format(objective="PretrainMaskedLM", wanted="Transformer", found=found)
        )
    return pieces


def check_least(**settings: tuple[int, int]) -> None:
    """Refuse settings that are too low. settings: the value and the least one, by name."""
    for name, (value, least) in settings.items():
        if value < least:
            raise ValueError(Errors.E171.format(name=name, value=value, least=least))
