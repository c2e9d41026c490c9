"""Integrated gradients: what the pieces of each token add to a score.

Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor

from ..component import ContextualEmbedder
from ..embedder.output_types import Wanted
from ..errors import Errors
from ..heads.head_as_thinc_model import READS, get_head, has_encoder
from ..heads.trainable_component import HeadPipe
from ..pieces.subwords import SubwordPieces
from ..silver_labels import read_up_to
from ..thinc_model.docs_to_outputs import cut_docs
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..thinc_model.piece_states import list_states
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import DocPieces
from ..windows.pieces_to_windows import Windows
from .attribution import Attribution
from .given_rows import embed_pieces, give_rows
from .occlusion import rebuild
from .scores import score_by_head
from .targets import Target

#: Points on the way from the baseline to the text: more of them while the error is too large.
STEPS = (32, 128, 512)

#: The error that is small enough, as a share of what is to be explained, and at least of this.
TOLERANCE, LEAST = 0.01, 0.05


@in_ordinary_torch
def integrate(nlp: Language, name: str, doc: Doc, targets: Sequence[Target]) -> list[Attribution]:
    """Raises E734 for a component that is no head of this package, E736 without captum, E737 for
    a text that is too long, E748 for an encoder with a state."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError as lacking:
        raise ImportError(Errors.E736) from lacking
    pipe = nlp.get_pipe(name)
    if not isinstance(pipe, HeadPipe):
        raise ValueError(Errors.E734.format(name=name, found=type(pipe).__name__))
    pipe.check_weights()
    reading = read(nlp, pipe, doc)
    found = []
    for target in targets:
        score = Score(pipe, reading, target)
        ends = torch.stack([reading.rows, reading.hidden])
        top, bottom = score(ends).tolist()
        for n_steps in STEPS:
            shares: Tensor = IntegratedGradients(score).attribute(
                ends[:1], baselines=ends[1:], n_steps=n_steps, internal_batch_size=1
            )[0]
            error = abs(float(shares.sum()) - (top - bottom))
            if error <= TOLERANCE * max(abs(top - bottom), LEAST):
                break
        of_rows = shares.sum(dim=1).double().cpu().numpy()
        values, elsewhere = share_out(of_rows, reading, len(doc))
        found.append(Attribution(doc, name, target, "gradients", top, values, bottom, elsewhere))
    return found


class Reading(NamedTuple):
    """A text, ready for its encoder.

    rows: (N, d), of the N steps of all windows, in the order of batches. hidden: the same with
    every piece hidden: by the piece that hides others where the vocabulary has one, else zeros.
    """

    shim: EmbedderShim
    encoded: DocPieces
    windows: Windows
    rows: Tensor
    hidden: Tensor


def read(nlp: Language, pipe: HeadPipe, doc: Doc) -> Reading:
    name, first, shim = find_encoder(nlp, pipe)
    if shim.embedder.encoder.stateful:
        raise ValueError(Errors.E748.format(name=name))
    encoded, windows = cut_docs(shim, read_up_to(nlp, first, [rebuild(doc)]), keep_empty=True)
    shim.check_materialised()
    n_steps = sum(batch.mask.numel() for batch in windows.batches)
    if n_steps > windows.budget:
        raise ValueError(Errors.E737.format(found=n_steps, most=windows.budget, name=name))
    ids = torch.cat([batch.ids[batch.mask] for batch in windows.batches]).to(shim.device)
    encoder, is_piece = shim.embedder.encoder, mark_pieces(windows).to(shim.device)
    with torch.no_grad():
        rows = embed_pieces(encoder, ids)
        hidden = torch.zeros_like(rows)
        if isinstance(shim.pieces, SubwordPieces) and shim.pieces.special.mask is not None:
            hidden = embed_pieces(encoder, torch.full_like(ids, shim.pieces.special.mask))
        hidden = torch.where(is_piece[:, None], hidden, rows)
    return Reading(shim, encoded, windows, rows.clone(), hidden)


def find_encoder(nlp: Language, pipe: HeadPipe) -> tuple[str, Any, EmbedderShim]:
    """The encoder of a head: the name and the component that has it, and what holds it."""
    (tok2vec,) = pipe.model.layers
    if has_encoder(tok2vec):
        return pipe.name, pipe, get_shim(tok2vec)
    for name, other in nlp.pipeline:
        if isinstance(other, ContextualEmbedder) and tok2vec in other.state_listeners:
            return name, other, get_shim(other.model)
    raise RuntimeError(Errors.E600.format(upstream=getattr(tok2vec, "upstream_name", "ctxemb")))


def mark_pieces(windows: Windows) -> Tensor:
    """Which steps are pieces, not boundaries of windows. (N,)"""
    parts = []
    for batch in windows.batches:
        is_piece = batch.mask.clone()
        is_piece[:, 0] = False
        is_piece[torch.arange(len(is_piece)), batch.mask.sum(dim=1) - 1] = False
        parts.append(is_piece[batch.mask])
    return torch.cat(parts)


@dataclass
class Score:
    """The score of a label as a function of the rows of all steps."""

    pipe: HeadPipe
    reading: Reading
    target: Target

    def __call__(self, rows: Tensor) -> Tensor:
        """(k, N, d) to (k,), each by itself, so that memory is that of one pass."""
        return torch.stack([self.score(one) for one in rows])

    def score(self, rows: Tensor) -> Tensor:
        """(N, d) to one number."""
        shim, encoded, windows, *_ = self.reading
        parts = rows.split([int(batch.mask.sum()) for batch in windows.batches])
        embedded = give_rows(shim.embedder, parts)(windows, Wanted(states=True))
        (states,) = list_states(np.zeros((len(embedded.states), 0)), encoded, windows)
        head, reads = get_head(self.pipe.model), READS[self.pipe.model.attrs["reads"]]
        scores = head.score(reads(embedded.states.to(head.device), [states]), None, is_train=False)
        return score_by_head(self.pipe, scores, states, self.target)


def share_out(
    of_rows: NDArray[np.float64], reading: Reading, n_tokens: int
) -> tuple[NDArray[np.float64], float]:
    """What the tokens add, and what pieces add that are of none. Tokens that share a piece get
    equal parts."""
    windows, pieces = reading.windows, reading.encoded.pieces
    of_pieces = np.zeros(windows.n_pieces)
    places = []
    for batch in windows.batches:
        for window, n in zip(batch.windows.tolist(), batch.mask.sum(dim=1).tolist(), strict=True):
            first = int(windows.first_pieces[window])
            places += [-1, *range(first, first + n - 2), -1]
    is_piece = np.array(places) >= 0
    np.add.at(of_pieces, np.array(places)[is_piece], of_rows[is_piece])
    n_owners = np.zeros(len(of_pieces))
    spans = [slice(s, s + n) for s, n in zip(pieces.starts, pieces.lengths, strict=True)]
    for span in spans:
        n_owners[span] += 1
    shared = of_pieces / np.maximum(n_owners, 1)
    values = np.array([shared[span].sum() for span in spans])
    return values[:n_tokens], float(of_pieces[n_owners == 0].sum())
