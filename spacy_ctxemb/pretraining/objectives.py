"""What `[pretrain.objective]` may name."""

from ..encoders import BiLM, Encoder
from ..errors import Errors
from ..objectives import BiLMObjective, MaskedLMObjective
from ..pieces import CharacterPieces, Pieces
from ..subword_pieces import SubwordPieces
from .bilm_task import BiLMTask
from .bilm_text import BiLMText, choose_vocabulary
from .masked_lm_task import MaskedLMTask
from .settings import BuildTask
from .task import Task
from .token_store import TokenStore


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

    def build(
        encoder: Encoder, pieces: Pieces, *, store: TokenStore, held_out: TokenStore, seed: int
    ) -> Task:
        if not isinstance(encoder, BiLM) or not isinstance(pieces, CharacterPieces):
            raise ValueError(
                Errors.E030.format(
                    objective="PretrainBiLM", wanted="BiLM", found=type(encoder).__name__
                )
            )
        vocabulary = choose_vocabulary(store, size=vocab_size, min_count=min_count)
        sampled = n_samples if n_samples is not None and n_samples < len(vocabulary) else None
        objective = BiLMObjective(encoder, vocabulary, n_samples=sampled)
        return BiLMTask(
            encoder,
            objective,
            text=BiLMText(store, pieces, vocabulary),
            held_out=BiLMText(held_out, pieces, vocabulary),
            n_rows=n_rows,
            n_steps=n_steps,
            max_sentences=max_sentences,
            carries_state=carries_state,
            seed=seed,
        )

    return build


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

    def build(
        encoder: Encoder, pieces: Pieces, *, store: TokenStore, held_out: TokenStore, seed: int
    ) -> Task:
        if not isinstance(pieces, SubwordPieces):
            raise ValueError(
                Errors.E030.format(
                    objective="PretrainMaskedLM",
                    wanted="Transformer",
                    found=type(encoder).__name__,
                )
            )
        objective = MaskedLMObjective(
            encoder,
            mask_id=pieces.mask_id,
            special_ids=pieces.special_ids,
            n_pieces=pieces.n_trained,
            share=share,
            whole_words=whole_words,
            spans=spans,
            next_sentence=next_sentence,
        )
        return MaskedLMTask(
            encoder,
            objective,
            boundaries=pieces.boundaries,
            store=store,
            held_out=held_out,
            batch_size=batch_size,
            max_pieces=max_pieces,
            seed=seed,
        )

    return build
