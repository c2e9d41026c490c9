"""Objectives of language modelling as the Thinc models that `spacy pretrain` wants.

`spacy pretrain` calls the model's forward pass, then its loss, then its backward pass. The loss
is inside PyTorch here: the forward pass returns it, and its gradient is 1. Each batch of windows
runs backward before the next one runs forward, so memory is bounded by one of them.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.pretrain import get_tok2vec_ref
from spacy.util import get_lang_class, load_config, load_model_from_config
from spacy.vocab import Vocab
from thinc.api import Model, Ops
from torch import Tensor

from ..errors import Errors
from ..objectives import BiLMObjective, MaskedLMObjective, Objective
from ..objectives.base import NO_TARGET, Losses, Sums, add_losses
from ..objectives.bilm_loss import N_SPECIAL, build_vocabulary
from ..read_files import reading
from ..stack.stack import ALONE, get_members
from ..thinc_model.build_model import ContextualModel
from ..thinc_model.docs_to_outputs import set_encoder_dropout
from ..thinc_model.embedder_shim import EmbedderShim, find_shims
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import encode_docs
from ..windows.pieces_to_windows import PieceBatch
from .tasks.masked_lm.task import make_masking

ObjectiveModel = Model[list[Doc], float]


def build_objective_model(tok2vec: ContextualModel, objective: Objective) -> ObjectiveModel:
    """Put an objective on an embedder, in the form that `spacy pretrain` trains.

    Raises what get_pretrained_shim raises.
    """
    attach_objective(get_pretrained_shim(tok2vec), objective)
    objective.eval()
    return Model(
        "ctxemb-pretraining",
        forward,
        layers=[tok2vec],
        refs={"tok2vec": tok2vec},
        attrs={"loss": get_loss, "rng": np.random.default_rng(np.random.randint(2**31))},
    )


def attach_objective(shim: EmbedderShim, objective: Objective) -> None:
    """Give an objective its first weights, and store it beside the encoder from now on."""
    objective.to_empty(device=shim.device)
    objective.reset_parameters()
    shim.objective = objective
    shim.keeps_objective = True


def get_pretrained_shim(tok2vec: ContextualModel) -> EmbedderShim:
    """Get the embedder to pretrain.

    Raises E046 for a Stack of several, E432 for a model without exactly one embedder, E123 if its
    pieces have no vocabulary.
    """
    members = list(get_members(tok2vec))
    if members != [ALONE]:
        raise RuntimeError(Errors.E046.format(members=members))
    shims = find_shims(tok2vec)
    if len(shims) != 1:
        raise RuntimeError(Errors.E432.format(name=tok2vec.name))
    if shims[0].pieces_from_sample:
        raise RuntimeError(Errors.E123.format(pieces=type(shims[0].pieces).__name__))
    return shims[0]


@in_ordinary_torch
def forward(
    model: ObjectiveModel, docs: list[Doc], is_train: bool
) -> tuple[float, Callable[[float], list[Doc]]]:
    """Compute the sum of negative log-likelihoods of a batch of documents, in nats."""
    tok2vec = model.get_ref("tok2vec")
    (shim,) = find_shims(tok2vec)
    set_encoder_dropout(tok2vec)
    with shim.training_mode() if is_train else nullcontext():
        scores = score_docs(shim, docs, model.attrs["rng"], is_train=is_train)
    return math.fsum(nll for nll, _ in scores.values()) / max(len(scores), 1), backprop


def backprop(d_loss: float) -> list[Doc]:
    """Do nothing: gradients were computed in the forward pass, batch by batch."""
    return []


def get_loss(ops: Ops, docs: Iterable[Doc], loss: float) -> tuple[float, float]:
    """Return the loss and its gradient, as `spacy pretrain` asks for between the passes."""
    return loss, 1.0


@in_ordinary_torch
def score_docs(
    shim: EmbedderShim, docs: Sequence[Doc], rng: np.random.Generator, *, is_train: bool
) -> Sums:
    """Add up nats and targets of documents by name, with the full softmax and without dropout.

    In training both are as in training, and the gradient of the mean is left in parameters. Raises
    E433 if a loss is not finite outside training.
    """
    objective, pieces, windowing = shim.objective, shim.pieces, shim.windowing
    assert objective is not None
    encoded = encode_docs(docs, pieces, split_sentences=windowing.split_sentences)
    ids, targets, (begin, end) = objective.make_targets(encoded.pieces, encoded.texts.words, rng)
    inputs = encoded.cut(ids, pieces.boundaries, windowing)
    boundaries = np.array(begin, dtype=np.int32), np.array(end, dtype=np.int32)
    outputs = encoded.cut(targets, boundaries, windowing)
    n_targets = int((targets != NO_TARGET).sum())
    sums: Sums = {}
    for source, target in zip(inputs.batches, outputs.batches, strict=True):
        with torch.set_grad_enabled(is_train):
            losses = score_batch(shim, objective, source, target, n_targets)
        if losses is not None:
            add_losses(sums, losses)
    return sums


def score_batch(
    shim: EmbedderShim, objective: Objective, source: PieceBatch, target: PieceBatch, n_targets: int
) -> Losses | None:
    """Run one batch of windows forward and, with gradients enabled, backward. None where a loss
    in training is not finite: else the loss that spaCy reports would never be finite again."""
    mask = source.mask.to(shim.device)
    targets = torch.where(find_owned_steps(target), target.ids, NO_TARGET)
    with shim.embedder.cast_products():
        layers = shim.embedder.encoder(source.ids.to(shim.device), mask)
        losses = objective(layers, targets.to(shim.device), mask)
    total = torch.stack(list(losses.nll.values())).mean()
    if not bool(torch.isfinite(total)):
        if not torch.is_grad_enabled():
            raise RuntimeError(Errors.E433.format(loss=float(total.detach())))
        shim.spoil_update()
        return None
    if torch.is_grad_enabled() and n_targets:
        (total / n_targets * shim.scale).backward()
    return losses


def find_owned_steps(batch: PieceBatch) -> Tensor:
    """Find the steps to predict: the pieces that a window owns, so that none is predicted twice
    where windows overlap, and its boundaries where it owns the piece beside them. (B, T)"""
    is_owned = torch.zeros(int(batch.mask.sum()), dtype=torch.bool)  # (N,)
    is_owned[batch.rows] = True
    owned = torch.zeros_like(batch.mask).masked_scatter(batch.mask, is_owned)
    owned[:, 0] = owned[:, 1]
    windows, ends = torch.arange(len(owned)), batch.mask.sum(dim=1) - 1  # (B,)
    owned[windows, ends] = owned[windows, ends - 1]
    return owned


def read_pretraining(config_path: Path) -> tuple[Language, dict[str, Any]]:
    """Build the pipeline of a config of `spacy pretrain` or of `ctxemb pretrain`.

    Returns it with the section that says which model is pretrained. Raises E438 without one, E163
    for what is no config.
    """
    with reading(config_path, "a config"):
        config = load_config(config_path)
    section = config.pop("pretrain", {}) or config.get("pretraining", {})
    if "component" not in section:
        raise ValueError(Errors.E438.format(path=config_path))
    return load_model_from_config(config, auto_fill=True), {"layer": "", **section}


def load_pretrained(nlp: Language, pretraining: dict[str, Any], path: Path) -> EmbedderShim:
    """Load the embedder and the objective that pretraining saved.

    nlp, pretraining: see read_pretraining. path: one of the model*.bin files. Raises E436 if it
    has no objective, E163 if it is damaged.

    Example:
        nlp, section = read_pretraining(Path("bilm.cfg"))
        shim = load_pretrained(nlp, section, Path("pretraining/model-last.bin"))
    """
    component = pretraining["component"]
    if component not in nlp.component_names:
        raise ValueError(Errors.E454.format(component=component, names=nlp.component_names))
    tok2vec = get_tok2vec_ref(nlp, pretraining)
    shim = get_pretrained_shim(tok2vec)
    shim.keeps_objective = True
    with reading(path, "weights of pretraining"):
        tok2vec.from_bytes(path.read_bytes())
    if shim.objective is None:
        raise ValueError(Errors.E436.format(path=path))
    return shim


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

    @in_ordinary_torch
    def create(vocab: Vocab, tok2vec: ContextualModel) -> ObjectiveModel:
        shim = get_pretrained_shim(tok2vec)
        vocabulary = build_vocabulary(read_words(corpus, vocab), size=vocab_size)
        if len(vocabulary) == N_SPECIAL:
            raise RuntimeError(Errors.E435)
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

    @in_ordinary_torch
    def create(vocab: Vocab, tok2vec: ContextualModel) -> ObjectiveModel:
        shim = get_pretrained_shim(tok2vec)
        if not any(word for words in read_words(corpus, vocab) for word in words):
            raise RuntimeError(Errors.E435)
        encoder, name = shim.embedder.encoder, "MaskedLMObjective"
        masking = make_masking(shim.pieces, encoder, name, share, whole_words, spans)
        return build_objective_model(tok2vec, MaskedLMObjective(encoder, masking))

    return create


def read_words(
    corpus: Callable[[Language], Iterable[Example]], vocab: Vocab
) -> Iterator[list[str]]:
    """Read the words of each document, as the language's own tokenizer splits them."""
    nlp = get_lang_class(vocab.lang)(vocab=vocab)
    for eg in corpus(nlp):
        yield [token.text for token in eg.reference if not token.is_space]
