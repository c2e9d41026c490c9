"""The head of masked language modelling, under the names it has in BertForMaskedLM."""

from torch import nn

from ..encoders import TransformerEncoder
from ..errors import Errors
from ..objectives import MaskedLMObjective, Objective
from .bert import Head

PREDICTIONS = "cls.predictions"


def build_head(objective: Objective, encoder: nn.Module) -> Head:
    """The head that an encoder was pretrained with. Its scores are the same in transformers."""
    if not isinstance(objective, MaskedLMObjective):
        raise ValueError(Errors.E123.format(reason=f"it is that of a {type(objective).__name__}"))
    if isinstance(encoder, TransformerEncoder) and encoder.activation != "gelu":
        reason = f"there it would have the encoder's activation, {encoder.activation}, not gelu"
        raise ValueError(Errors.E123.format(reason=reason))
    modules = {"transform.dense": objective.dense, "transform.LayerNorm": objective.norm}
    tensors = {
        f"{PREDICTIONS}.{name}.{parameter}": value.detach().float().cpu().contiguous()
        for name, module in modules.items()
        for parameter, value in module.state_dict().items()
    }
    # The matrix of the scores is the table of pieces, which the file has once.
    tensors[f"{PREDICTIONS}.bias"] = objective.bias.detach().float().cpu()
    return Head("bert", "BertForMaskedLM", "bert.", tensors, objective.n_pieces)
