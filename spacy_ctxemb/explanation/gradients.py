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
from ..heads.head_as_thinc_model import has_encoder
from ..heads.head_shim import get_head
from ..heads.read_states import READS
from ..heads.trainable_component import HeadPipe
from ..pieces.subwords import SubwordPieces
from ..silver_labels import read_up_to
from ..thinc_model.docs_to_outputs import cut_docs
from ..thinc_model.embedder_shim import EmbedderShim, get_shim
from ..thinc_model.piece_states import list_states
from ..torch_state import in_ordinary_torch
from ..windows.docs_to_pieces import DocPieces
from .attribution import Attribution
from .given_rows import embed_pieces, give_rows
from .occlusion import copy_tokens
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
    reading = read_text(nlp, pipe, doc)
    found = []
    for target in targets:
        score = Score(pipe, reading, target)
        ends = torch.stack([reading.rows, reading.hidden])
        top, bottom = (score(one[None]).item() for one in ends)
        for n_steps in STEPS:
            shares: Tensor = IntegratedGradients(score).attribute(
                ends[:1],
                baselines=ends[1:],
                n_steps=n_steps,
                internal_batch_size=reading.n_at_once,
            )[0]
            error = abs(float(shares.sum()) - (top - bottom))
            if error <= TOLERANCE * max(abs(top - bottom), LEAST):
                break
        of_rows = shares.sum(dim=1).double().cpu().numpy()
        values, elsewhere = share_out(of_rows, reading)
        found.append(Attribution(doc, name, target, "gradients", top, values, bottom, elsewhere))
    return found


class Reading(NamedTuple):
    """A text, ready for its encoder.

    pieces: (N,), the piece of each step of all windows, window by window; -1 for boundaries.
    rows: (N, d), of these steps. hidden: the same with every piece hidden: by the piece that hides
        others where the vocabulary has one, else zeros.
    sizes: steps of each window. n_at_once: how often the text fits into one pass.
    """

    shim: EmbedderShim
    doc: Doc
    encoded: DocPieces
    pieces: NDArray[np.int64]
    rows: Tensor
    hidden: Tensor
    sizes: list[int]
    n_at_once: int


def read_text(nlp: Language, pipe: HeadPipe, doc: Doc) -> Reading:
    name, first, shim = find_encoder(nlp, pipe)
    encoder = shim.embedder.encoder
    if encoder.stateful:
        raise ValueError(Errors.E748.format(name=name))
    (bare,) = read_up_to(nlp, first, [copy_tokens(doc)])
    encoded, windows = cut_docs(shim, [bare], keep_empty=True)
    shim.check_materialised()
    n_steps, most = sum(batch.mask.numel() for batch in windows.batches), windows.budget
    if n_steps > most:
        raise ValueError(Errors.E737.format(found=n_steps, most=most, name=name))
    by_window = {
        window: row[real]
        for batch in windows.batches
        for window, row, real in zip(batch.windows.tolist(), batch.ids, batch.mask, strict=True)
    }
    sizes = [len(by_window[i]) for i in range(len(by_window))]
    first_pieces = zip(windows.first_pieces.tolist(), sizes, strict=True)
    places = [[-1, *range(start, start + n - 2), -1] for start, n in first_pieces]
    pieces = np.concatenate(places)
    ids = torch.cat([by_window[i] for i in range(len(sizes))]).to(shim.device)
    is_piece = torch.from_numpy(pieces >= 0).to(shim.device)
    with torch.no_grad():
        rows = embed_pieces(encoder, ids)
        hidden = torch.zeros_like(rows)
        if isinstance(shim.pieces, SubwordPieces) and shim.pieces.special.mask is not None:
            hidden = embed_pieces(encoder, torch.full_like(ids, shim.pieces.special.mask))
        hidden = torch.where(is_piece[:, None], hidden, rows)
    # Half of the room, since windows of several texts may be padded more.
    n_at_once = max(most // (2 * n_steps), 1)
    return Reading(shim, bare, encoded, pieces, rows.clone(), hidden, sizes, n_at_once)


def find_encoder(nlp: Language, pipe: HeadPipe) -> tuple[str, Any, EmbedderShim]:
    """The encoder of a head: the name and the component that has it, and what holds it."""
    (tok2vec,) = pipe.model.layers
    if has_encoder(tok2vec):
        return pipe.name, pipe, get_shim(tok2vec)
    for name, other in nlp.pipeline:
        if isinstance(other, ContextualEmbedder) and tok2vec in other.state_listeners:
            return name, other, get_shim(other.model)
    raise RuntimeError(Errors.E600.format(upstream=getattr(tok2vec, "upstream_name", "ctxemb")))


@dataclass
class Score:
    """The score of a label as a function of the rows of all steps."""

    pipe: HeadPipe
    reading: Reading
    target: Target

    def __call__(self, rows: Tensor) -> Tensor:
        """(k, N, d) to (k,), as for k texts in one pass."""
        shim, sizes, n = self.reading.shim, self.reading.sizes, len(self.reading.sizes)
        encoded, windows = cut_docs(shim, [self.reading.doc] * len(rows), keep_empty=True)
        parts = [one.split(sizes) for one in rows]
        given = (
            torch.cat([parts[window // n][window % n] for window in batch.windows.tolist()])
            for batch in windows.batches
        )
        made = give_rows(shim.embedder, given)(windows, Wanted(states=True)).states
        states = list_states(np.zeros((len(made), 0)), encoded, windows)
        head, reads = get_head(self.pipe.model), READS[self.pipe.model.attrs["reads"]]
        scores = head.score(reads(made.to(head.device), states), None, is_train=False)
        of_texts = scores.view(len(rows), -1, scores.size(1))
        return torch.stack(
            [
                score_by_head(self.pipe, one, state, self.target)
                for one, state in zip(of_texts, states, strict=True)
            ]
        )


def share_out(of_rows: NDArray[np.float64], reading: Reading) -> tuple[NDArray[np.float64], float]:
    """What the tokens add, and what pieces add that are of none. Tokens that share a piece get
    equal parts."""
    texts, is_piece = reading.encoded.pieces, reading.pieces >= 0
    of_pieces, n_owners = np.zeros((2, len(texts.offsets)))
    np.add.at(of_pieces, reading.pieces[is_piece], of_rows[is_piece])
    spans = [slice(s, s + n) for s, n in zip(texts.starts, texts.lengths, strict=True)]
    for span in spans:
        n_owners[span] += 1
    shared = of_pieces / np.maximum(n_owners, 1)
    values = np.array([shared[span].sum() for span in spans])
    return values, float(of_pieces[n_owners == 0].sum())
