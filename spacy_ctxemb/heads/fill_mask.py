"""The component `ctxemb_fill_mask`: which pieces of the vocabulary might stand for a token."""

from typing import NamedTuple, cast

import torch
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from ..pieces.subwords import SubwordPieces
from .asked_component import AskedPipe


class Filled(NamedTuple):
    """A piece as text, and its probability."""

    text: str
    score: float


class FillMask(AskedPipe):
    """Predicts tokens by the head of masked language modelling.

    Source: Devlin et al. 2019, "BERT", section 3.1.
    """

    task = "masked"

    def fill_mask(self, doc: Doc, i: int, n: int = 5) -> list[Filled]:
        """The n most probable pieces in the place of token i, the best one first.

        Raises E383 for a token that is not there, E127 for a vocabulary without a mask.
        """
        if not -len(doc) <= i < len(doc):
            raise ValueError(Errors.E383.format(i=i, n_tokens=len(doc)))
        shim, token = self.shim, doc[i]
        pieces = cast(SubwordPieces, shim.pieces)
        tokenizer, mask = pieces.tokenizer, pieces.mask_id
        before, after = doc.text[: token.idx], doc.text[token.idx + len(token) :]
        encoding = tokenizer.encode(before + str(tokenizer.id_to_token(mask)) + after)
        places = [
            place
            for place, (_, end) in enumerate(encoding.offsets)
            if encoding.ids[place] == mask and end > token.idx
        ]
        ids, place = choose_window(encoding.ids, places[0], shim.embedder.encoder.max_length)
        window = torch.tensor([ids, [0] * len(ids)])
        scores = self.score_windows(shim, [window])[0][place].softmax(dim=0)
        best = scores.topk(min(n, len(scores)))
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [Filled(tokenizer.decode([piece]).strip(), score) for piece, score in found]


def fill_mask(nlp: Language, doc: Doc, i: int, n: int = 5) -> list[Filled]:
    """The n most probable pieces in the place of token i, by the component that has the head.

    Raises E386 for a pipeline without one.

        doc = nlp("The capital of France is Paris.")
        fill_mask(nlp, doc, 5)  # [Filled(text='paris', score=0.4), ...]
    """
    for _, pipe in nlp.components:
        if isinstance(pipe, FillMask):
            return pipe.fill_mask(doc, i, n)
    raise ValueError(Errors.E386.format(name="ctxemb_fill_mask"))


def choose_window(ids: list[int], place: int, longest: int | None) -> tuple[list[int], int]:
    """The pieces around a place, between those that begin and end a text, and the place there."""
    if longest is None or len(ids) <= longest:
        return ids, place
    room = longest - 2
    start = min(max(place - room // 2, 1), len(ids) - 1 - room)
    return [ids[0], *ids[start : start + room], ids[-1]], place - start + 1
