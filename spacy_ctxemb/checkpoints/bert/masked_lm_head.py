"""The head of masked language modelling, under the names that transformers has for it."""

from ...encoders import Encoder, TransformerEncoder
from ...errors import Errors
from ...objectives import MaskedLMObjective, Objective
from .checkpoint import Head

#: By model_type, the names of the model with a head, and of the head's dense layer, norm and bias.
NAMES = {
    "bert": (
        "BertForMaskedLM",
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
    "roberta-prelayernorm": (
        "RobertaPreLayerNormForMaskedLM",
        "lm_head.dense",
        "lm_head.layer_norm",
        "lm_head.bias",
    ),
}


def build_head(objective: Objective, encoder: Encoder) -> Head:
    """The head that an encoder was pretrained with. Its scores are the same in transformers.

    Raises E349 for a head that transformers does not have.
    """
    if not isinstance(objective, MaskedLMObjective):
        raise ValueError(Errors.E349.format(reason=f"it is that of a {type(objective).__name__}"))
    is_pre_norm = isinstance(encoder, TransformerEncoder) and encoder.final_norm is not None
    model_type = "roberta-prelayernorm" if is_pre_norm else "bert"
    architecture, dense, norm, bias = NAMES[model_type]
    activation = getattr(encoder, "activation", "gelu")
    if not is_pre_norm and activation != "gelu":
        reason = f"there it has the encoder's activation, {activation}; this head has gelu"
        raise ValueError(Errors.E349.format(reason=reason))
    tensors = {
        f"{name}.{parameter}": value
        for name, module in ((dense, objective.dense), (norm, objective.norm))
        for parameter, value in module.state_dict().items()
    }
    # The matrix of the scores is the table of pieces, which the file has once.
    tensors[bias] = objective.bias.detach()
    copies = {name: value.float().cpu().contiguous() for name, value in tensors.items()}
    return Head(model_type, architecture, copies, objective.n_pieces)
