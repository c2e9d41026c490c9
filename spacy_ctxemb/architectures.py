"""Registered builders: what a config may name. No maths."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import get_lang_class
from spacy.vocab import Vocab

from .bridge import ContextualModel, build_tok2vec
from .doc_windows import DocWindowing
from .embedder import Embedder
from .encoders import BiLM, Encoder, ModernTransformerEncoder, TransformerEncoder
from .errors import Errors
from .layer_mix import BuildMix, ChosenLayer, ConcatLayers, LastLayers, ScalarMix, TokenMix
from .layer_training import LayerTraining
from .listeners import Listener
from .mix_listener import LayerMixListener
from .objectives import BiLMObjective, MaskedLMObjective
from .objectives.bilm import N_SPECIAL, build_vocabulary
from .pieces import CharacterPieces, Pieces
from .pretraining_objective import ObjectiveModel, build_objective_model, get_pretrained_shim
from .subword_pieces import BytePairPieces, SubwordPieces, WordPieces
from .unfreezing import Schedule, as_function
from .windows import N_BOUNDARIES, Windowing

#: Pieces of a window where the config does not say.
DEFAULT_WINDOW = 512

#: Pieces that windows share where the config does not say, if they are a quarter of a window at
#: most: so a piece has 32 others at least on either side, where there are so many.
DEFAULT_OVERLAP = 64

#: A character CNN of 256 filters, an eighth of ELMo's.
FILTERS = ((1, 16), (2, 16), (3, 32), (4, 48), (5, 64), (6, 80))


def build_contextual_tok2vec(
    *,
    encoder: Encoder,
    pieces: Pieces,
    mix: BuildMix,
    pooling: str = "mean",
    width: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    split_sentences: bool = True,
    batch_pieces: int = 4096,
    precision: str = "fp32",
    dropout: float | None = None,
    freeze_layers: int | Schedule = 0,
    layer_decay: float = 1.0,
    learn_rate_factor: float = 1.0,
    training_precision: str = "fp32",
    checkpoint_gradients: bool = False,
) -> ContextualModel:
    """`spacy-ctxemb.ContextualTok2Vec.v1`: contextual vectors of the tokens of each Doc.

    encoder: BiLM or Transformer.
    pieces: CharacterPieces for a BiLM; else WordPieces, BytePairPieces or SubwordPieces.
    mix: ScalarMix, Layer, LastLayers or ConcatLayers.
    pooling: "mean", "first", "last" or "max" of a token's pieces.
    width: of the vectors; a linear projection is learned where it differs from the mix's width.
        Null for the mix's width.
    window: in pieces; see windows.py. Null for 512, or what the encoder's max_length allows.
    stride: in pieces; null for the window less 64, or less a quarter of it if that is fewer.
    split_sentences: where a Doc has sentence boundaries, no window crosses them.
    batch_pieces: padded pieces of one pass through the encoder; bounds its memory.
    precision: of inference: "fp32"; "bf16", which is faster where the CPU computes in bf16
        (AVX-512 BF16, AMX) and changes vectors by some thousandths of their size; or, with a
        Transformer, "medium", with products in bf16 and all else in fp32, or "int8", with
        products in 8 bits, for CPUs without bf16; changes vectors by some hundredths.
    dropout: the encoder's rate; null to follow training.dropout.
    freeze_layers: the lowest layers that training leaves as they are: 1 for the context-free one,
        2 for the first block or LSTM layer too, the encoder's number of layers for all of it, so
        that only mix and projection learn. 0 for none. Or a schedule of this number: see
        unfreezing.py.
    layer_decay: the learning rate of a layer as a share of that of the layer above it. 0.8 to 1.0.
    learn_rate_factor: the learning rate of the encoder, not of mix and projection, as a share of
        that of the optimizer. It acts on the step, so that Adam, which is blind to the size of
        gradients, does not cancel it; to weigh components against each other take `grad_factor`
        of Listener.v1. 0.01 to 1.0.
        Pretraining trains all layers, and all alike.
    training_precision: "fp32"; "bf16", with products of the encoder in bf16 and all else in fp32,
        which is faster on a GPU, and on a CPU that computes in bf16 (AVX-512 BF16, AMX); or "fp16",
        on a GPU alone, with a scale of the loss that adapts itself.
    checkpoint_gradients: whether the backward pass computes inner values of the encoder again,
        block by block, in place of keeping them: less memory, a third more time.
    """
    if window is None:
        longest = encoder.max_length
        window = min(DEFAULT_WINDOW, longest - N_BOUNDARIES) if longest else DEFAULT_WINDOW
    encoder.set_precision(precision)
    frozen = freeze_layers if isinstance(freeze_layers, int) else as_function(freeze_layers)
    with torch.device("meta"):
        embedder = Embedder(
            encoder,
            mix,
            pooling=pooling,
            width=width,
            training_precision=training_precision,
            checkpoint_gradients=checkpoint_gradients,
        )
    windowing = Windowing(
        window=window,
        stride=stride or window - min(window // 4, DEFAULT_OVERLAP),
        batch_pieces=batch_pieces,
        max_padding=encoder.max_padding,
        keep_empty=embedder.wants_whole_calls,
        whole_sequences=encoder.stateful,
    )
    return build_tok2vec(
        embedder,
        pieces,
        DocWindowing(windowing, split_sentences),
        layer_training=LayerTraining(frozen, layer_decay, learn_rate_factor),
        dropout=dropout,
    )


def build_bilm(
    *,
    width: int = 256,
    hidden_width: int = 512,
    n_lstm_layers: int = 2,
    filters: Sequence[Sequence[int]] = FILTERS,
    character_width: int = 16,
    max_characters: int = 50,
    activation: str = "relu",
    n_highways: int = 1,
    cell_clip: float | None = 3.0,
    projection_clip: float | None = 3.0,
    skip_connections: bool = True,
    project_filters: bool | None = None,
    project_hidden: bool | None = None,
    word_cache: int = 20000,
    stateful: bool = False,
    warm_start: str | None = None,
) -> Encoder:
    """`spacy-ctxemb.BiLM.v1`: see encoders/bilm.py.

    warm_start: a text, one sentence a line, tokens between spaces; tokens_to_add are spelt in it
        like other words.
    """
    pieces = CharacterPieces(max_characters)
    sentences = [line.split() for line in (warm_start or "").splitlines() if line.strip()]
    ids = [torch.from_numpy(pieces.encode_sequence(words)) for words in sentences]
    with torch.device("meta"):
        return BiLM(
            width=width,
            hidden_width=hidden_width,
            n_lstm_layers=n_lstm_layers,
            filters=[(size, count) for size, count in filters],
            n_characters=CharacterPieces.n_ids,
            character_width=character_width,
            max_characters=max_characters,
            activation=activation,
            n_highways=n_highways,
            cell_clip=cell_clip,
            projection_clip=projection_clip,
            skip_connections=skip_connections,
            project_filters=project_filters,
            project_hidden=project_hidden,
            word_cache=word_cache,
            stateful=stateful,
            warm_start=ids,
        )


def build_transformer(
    *,
    vocab_size: int = 8000,
    width: int = 256,
    n_blocks: int = 4,
    n_heads: int = 4,
    feedforward_width: int = 1024,
    max_length: int = 128,
    n_segments: int = 2,
    embedding_width: int | None = None,
    n_groups: int | None = None,
    n_position_buckets: int | None = None,
    activation: str = "gelu",
    pre_norm: bool = False,
    layer_norm_epsilon: float = 1e-12,
) -> Encoder:
    """`spacy-ctxemb.Transformer.v1`: see encoders/transformer.py."""
    with torch.device("meta"):
        return TransformerEncoder(
            n_ids=vocab_size,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward_width=feedforward_width,
            max_length=max_length,
            n_segments=n_segments,
            embedding_width=embedding_width,
            n_groups=n_groups,
            n_position_buckets=n_position_buckets,
            activation=activation,
            pre_norm=pre_norm,
            layer_norm_epsilon=layer_norm_epsilon,
        )


def build_modern_transformer(
    *,
    vocab_size: int = 8000,
    width: int = 256,
    n_blocks: int = 6,
    n_heads: int = 4,
    feedforward_width: int = 384,
    max_length: int = 1024,
    local_window: int = 128,
    global_every: int = 3,
    global_theta: float = 160000.0,
    local_theta: float = 10000.0,
    activation: str = "gelu",
    layer_norm_epsilon: float = 1e-5,
) -> Encoder:
    """`spacy-ctxemb.ModernTransformer.v1`: see encoders/modern_transformer.py."""
    with torch.device("meta"):
        return ModernTransformerEncoder(
            n_ids=vocab_size,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward_width=feedforward_width,
            max_length=max_length,
            local_window=local_window,
            global_every=global_every,
            global_theta=global_theta,
            local_theta=local_theta,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
        )


def build_huggingface(*, config: dict[str, Any]) -> Encoder:
    """`spacy-ctxemb.HuggingFace.v1`: see encoders/huggingface.py.

    config: what a model's config.json says; `import bert --wrap` writes it.
    """
    from .encoders.huggingface import HuggingFaceEncoder

    with torch.device("meta"):
        return HuggingFaceEncoder(config)


def build_character_pieces(
    *, max_characters: int = 50, tokens_to_add: Sequence[Sequence[str | int]] | None = None
) -> Pieces:
    """`spacy-ctxemb.CharacterPieces.v1`: a word is one piece, of max_characters characters.

    tokens_to_add: [word, id] each, words that are one character of their own; ids below 32 are
        rare in text. Not an object: as its keys, spaCy's configs could not hold all words.
    """
    added = {str(word): int(i) for word, i in tokens_to_add or ()}
    for word in added:
        if "$" in word:
            raise ValueError(Errors.E085.format(word=word))
    return CharacterPieces(max_characters, tokens_to_add=added)


def build_word_pieces(*, vocab_size: int = 8000, lowercase: bool = False) -> Pieces:
    """`spacy-ctxemb.WordPieces.v1`: parts of words from a vocabulary of at most vocab_size.

    lowercase: whether a vocabulary learned from training examples folds case and accents.
    """
    return WordPieces(vocab_size, lowercase=lowercase)


def build_byte_pair_pieces(*, vocab_size: int = 8000) -> Pieces:
    """`spacy-ctxemb.BytePairPieces.v1`: stretches of bytes from a vocabulary of at most vocab_size.

    vocab_size: at least 261. 4,000 to 50,000.
    """
    return BytePairPieces(vocab_size)


def build_subword_pieces(*, vocab_size: int) -> Pieces:
    """`spacy-ctxemb.SubwordPieces.v1`: pieces by any tokenizer.json of the `tokenizers` library.

    vocab_size: of the encoder's table, not smaller than the tokenizer's vocabulary.
    """
    return SubwordPieces(vocab_size)


def build_bilm_objective(
    *,
    corpus: Callable[[Language], Iterable[Example]],
    vocab_size: int = 20000,
    sample_above: int = 10000,
    n_samples: int = 4096,
) -> Callable[[Vocab, ContextualModel], ObjectiveModel]:
    """`spacy-ctxemb.BiLMObjective.v1`: forward and backward likelihood of words.

    corpus: where the vocabulary is counted, usually ${corpora.pretrain}.
    vocab_size: its most frequent words; others are <UNK> as targets. 10,000 to 800,000.
    sample_above: with a larger vocabulary than this the softmax is sampled in training.
    n_samples: negatives a batch and direction. 1,024 to 8,192.
    """

    def create(vocab: Vocab, tok2vec: ContextualModel) -> ObjectiveModel:
        shim = get_pretrained_shim(tok2vec)
        vocabulary = build_vocabulary(read_words(corpus, vocab), size=vocab_size)
        if len(vocabulary) == N_SPECIAL:
            raise RuntimeError(Errors.E034)
        sampled = n_samples if len(vocabulary) > sample_above else None
        encoder = shim.embedder.encoder
        return build_objective_model(tok2vec, BiLMObjective(encoder, vocabulary, n_samples=sampled))

    return create


def build_masked_lm_objective(
    *,
    corpus: Callable[[Language], Iterable[Example]],
    share: float = 0.15,
    whole_words: bool = False,
    spans: bool = False,
) -> Callable[[Vocab, ContextualModel], ObjectiveModel]:
    """`spacy-ctxemb.MaskedLMObjective.v1`: predict hidden pieces.

    corpus: the text, usually ${corpora.pretrain}; looked at for whether there is any.
    share: of pieces to predict; of these 80 % are hidden, 10 % replaced, 10 % left. 0.15.
    whole_words: hide all pieces of a token together.
    spans: hide runs of 1 to 10 tokens, 3.8 on average, together.
    """

    def create(vocab: Vocab, tok2vec: ContextualModel) -> ObjectiveModel:
        shim = get_pretrained_shim(tok2vec)
        if not any(word for words in read_words(corpus, vocab) for word in words):
            raise RuntimeError(Errors.E034)
        encoder, pieces = shim.embedder.encoder, shim.pieces
        if not isinstance(pieces, SubwordPieces):
            raise RuntimeError(
                Errors.E030.format(
                    objective="MaskedLMObjective",
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
        )
        return build_objective_model(tok2vec, objective)

    return create


def read_words(
    corpus: Callable[[Language], Iterable[Example]], vocab: Vocab
) -> Iterator[list[str]]:
    """The words of each document, as the language's own tokenizer splits them."""
    nlp = get_lang_class(vocab.lang)(vocab=vocab)
    for eg in corpus(nlp):
        yield [token.text for token in eg.reference if not token.is_space]


def build_scalar_mix(*, layer_norm: str | None = None) -> BuildMix:
    """`spacy-ctxemb.ScalarMix.v1`: learned softmax weights of all layers, times gamma.

    layer_norm: "document", "batch" or null; see layer_mix.py.
    """
    return partial(ScalarMix, layer_norm=layer_norm)


def build_token_mix(*, layer_norm: str | None = None) -> BuildMix:
    """`spacy-ctxemb.TokenMix.v1`: as ScalarMix, after pooling.

    layer_norm: "document" or null; see layer_mix.py.
    """
    return partial(TokenMix, layer_norm=layer_norm)


def build_layer_mix_listener(
    *,
    width: int,
    upstream: str = "*",
    layer_norm: str | None = None,
    grad_factor: float = 1.0,
) -> LayerMixListener:
    """`spacy-ctxemb.LayerMixListener.v1`: each component mixes the encoder's layers its own way.

    width: of the encoder, ${components.ctxemb.model.encoder.width}.
    upstream: the name of the component `ctxemb`, or "*" for the one that comes before.
    layer_norm: "document" for normalised layers, or null; see layer_mix.py.
    grad_factor: of the gradient for the encoder, not for the weights of the mix; see Listener.v1.
    """
    return LayerMixListener(upstream, width, layer_norm=layer_norm, grad_factor=grad_factor)


def build_listener(*, width: int, upstream: str = "*", grad_factor: float = 1.0) -> Listener:
    """`spacy-ctxemb.Listener.v1`: spaCy's Tok2VecListener, with a weight.

    width: of the vectors, ${components.ctxemb.model.encoder.width} unless these are projected.
    upstream: the name of the component `ctxemb`, or "*" for the one that comes before.
    grad_factor: of the gradient that this component sends to the encoder: its weight beside other
        components that train the same encoder; 0 if it is not to train it. For all components
        together a factor changes nothing under Adam, which is blind to the size of gradients: for
        that take learn_rate_factor of ContextualTok2Vec.v1. 0.1 to 10.
    """
    return Listener(upstream, width, grad_factor=grad_factor)


def build_layer(*, layer: int = -1) -> BuildMix:
    """`spacy-ctxemb.Layer.v1`: one layer; 0 is the context-free one, -1 the last."""
    return partial(ChosenLayer, layer=layer)


def build_last_layers(*, n: int = 4) -> BuildMix:
    """`spacy-ctxemb.LastLayers.v1`: the average of the last n layers."""
    return partial(LastLayers, n=n)


def build_concat_layers(*, layers: Sequence[int] | None = None) -> BuildMix:
    """`spacy-ctxemb.ConcatLayers.v1`: layers side by side; null for all."""
    return partial(ConcatLayers, layers=layers)
