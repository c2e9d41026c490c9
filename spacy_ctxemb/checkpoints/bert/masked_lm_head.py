"""The head of masked language modelling, as transformers has it."""

from ...encoders import Encoder, TransformerEncoder
from ...errors import Errors
from ...objectives import MaskedLMObjective, Objective
from .read_head import PublishedHead
from .write_head import name_architecture


def build_head(objective: Objective, encoder: Encoder) -> PublishedHead:
    """The head that an encoder was pretrained with. Its scores are the same in transformers.

    Raises E349 for a head that transformers does not have.
    """
    if not isinstance(objective, MaskedLMObjective):
        raise ValueError(Errors.E349.format(reason=f"it is that of a {type(objective).__name__}"))
    is_pre_norm = isinstance(encoder, TransformerEncoder) and encoder.final_norm is not None
    activation = getattr(encoder, "activation", "gelu")
    if not is_pre_norm and activation != "gelu":
        reason = f"there it has the encoder's activation, {activation}; this head has gelu"
        raise ValueError(Errors.E349.format(reason=reason))
    tensors = {
        f"{name}.{parameter}": value
        for name, module in (("dense", objective.dense), ("norm", objective.norm))
        for parameter, value in module.state_dict().items()
    }
    # The matrix of the scores is the table of pieces, which the file has once.
    tensors["output.bias"] = objective.bias
    settings = {"width": encoder.width, "n_classes": objective.n_pieces, "activation": "gelu"}
    settings |= {"norm_epsilon": objective.norm.eps, "norm_bias": True}
    model_type = "roberta-prelayernorm" if is_pre_norm else "bert"
    return PublishedHead(
        task="masked",
        settings=settings,
        tensors=tensors,
        labels=[],
        kind="single_label",
        reads="pieces",
        architecture=name_architecture(model_type, "masked"),
    )
