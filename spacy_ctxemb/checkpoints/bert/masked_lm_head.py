"""The head of masked language modelling, under the names that transformers has for it."""

from typing import NamedTuple

from ...encoders import Encoder, TransformerEncoder
from ...errors import Errors
from ...objectives import MaskedLMObjective, Objective
from .checkpoint import Head


class HeadNames(NamedTuple):
    """The model with a head, and the names of the head's parts."""

    architecture: str
    dense: str
    norm: str
    bias: str


BERT = HeadNames(
    "BertForMaskedLM",
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
)
ROBERTA_PRELAYERNORM = HeadNames(
    "RobertaPreLayerNormForMaskedLM",
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
)


def build_head(objective: Objective, encoder: Encoder) -> Head:
    """The head that an encoder was pretrained with. Its scores are the same in transformers.

    Raises E349 for a head that transformers does not have.
    """
    if not isinstance(objective, MaskedLMObjective):
        raise ValueError(Errors.E349.format(reason=f"it is that of a {type(objective).__name__}"))
    is_pre_norm = isinstance(encoder, TransformerEncoder) and encoder.final_norm is not None
    names = ROBERTA_PRELAYERNORM if is_pre_norm else BERT
    activation = getattr(encoder, "activation", "gelu")
    if names is BERT and activation != "gelu":
        reason = f"there it has the encoder's activation, {activation}; this head has gelu"
        raise ValueError(Errors.E349.format(reason=reason))
    tensors = {
        f"{name}.{parameter}": value
        for name, module in ((names.dense, objective.dense), (names.norm, objective.norm))
        for parameter, value in module.state_dict().items()
    }
    # The matrix of the scores is the table of pieces, which the file has once.
    tensors[names.bias] = objective.bias.detach()
    copies = {name: value.float().cpu().contiguous() for name, value in tensors.items()}
    model_type = "roberta-prelayernorm" if is_pre_norm else "bert"
    return Head(model_type, names.architecture, copies, objective.n_pieces)
