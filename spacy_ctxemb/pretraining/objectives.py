"""What `[pretrain.objective]` may name."""

from ..encoders import BiLM, Encoder
from ..errors import Errors
from ..objectives import BiLMObjective
from ..pieces import CharacterPieces, Pieces
from .bilm_task import BiLMTask
from .bilm_text import BiLMText, choose_vocabulary
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
