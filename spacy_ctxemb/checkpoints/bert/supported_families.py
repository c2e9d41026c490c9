"""The families of BERT that can be read, and most of them written."""

from typing import Any, NamedTuple

from ...encoders import Encoder, ModernTransformerEncoder, TransformerEncoder
from . import tensor_names
from .family_configs import (
    AlbertConfig,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    FamilyConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)
from .tensor_names import Names


class Family(NamedTuple):
    """A model_type.

    constants: settings of the encoder that hold for every model of the family.
    synonyms: other keys for settings, which transformers reads too.
    first_position: rows of the position table before the first piece's; None for one more than
        the id of padding.
    padding: the id of padding, where it must have one.
    architecture: written to config.json; None for families that are read only.
    registered_name: of the encoder's builder.
    """

    names: Names
    config: type[FamilyConfig]
    constants: dict[str, Any]
    synonyms: dict[str, str] = {}
    first_position: int | None = 0
    padding: int | None = None
    architecture: str | None = None
    encoder: type[Encoder] = TransformerEncoder
    registered_name: str = "spacy-ctxemb.Transformer.v1"


PLAIN: dict[str, Any] = {
    "embedding_width": None,
    "n_groups": None,
    "n_position_buckets": None,
    "pre_norm": False,
}
ROBERTA = Family(tensor_names.ROBERTA, RobertaConfig, PLAIN, first_position=None)

#: By model_type. What can be written is tried in this order.
FAMILIES: dict[str, Family] = {
    "distilbert": Family(
        tensor_names.DISTILBERT,
        DistilBertConfig,
        PLAIN | {"n_segments": 0, "layer_norm_epsilon": 1e-12},
        synonyms={
            "hidden_size": "width",
            "num_attention_heads": "n_heads",
            "num_hidden_layers": "n_blocks",
        },
        architecture="DistilBertModel",
    ),
    "bert": Family(tensor_names.BERT, BertConfig, PLAIN, architecture="BertModel"),
    "electra": Family(
        tensor_names.ELECTRA,
        ElectraConfig,
        {"n_groups": None, "n_position_buckets": None, "pre_norm": False},
        architecture="ElectraModel",
    ),
    "albert": Family(
        tensor_names.ALBERT,
        AlbertConfig,
        {"n_position_buckets": None, "pre_norm": False},
        architecture="AlbertModel",
    ),
    "mpnet": Family(
        tensor_names.MPNET,
        MPNetConfig,
        PLAIN | {"n_segments": 0, "n_position_buckets": 32},
        first_position=2,
        padding=1,
        architecture="MPNetModel",
    ),
    "modernbert": Family(
        tensor_names.MODERNBERT,
        ModernBertConfig,
        {},
        architecture="ModernBertModel",
        encoder=ModernTransformerEncoder,
        registered_name="spacy-ctxemb.ModernTransformer.v1",
    ),
    "roberta-prelayernorm": ROBERTA._replace(
        names=tensor_names.ROBERTA_PRELAYERNORM,
        constants=PLAIN | {"pre_norm": True},
        architecture="RobertaPreLayerNormModel",
    ),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
}
