"""The families of BERT: what each one's config.json says, and what must not be in it."""

from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from ...encoders import Encoder, ModernTransformerEncoder, TransformerEncoder
from ..read_json import LARGEST, Depth, Epsilon, Size, Typed, expect, one_of
from . import tensor_names
from .tensor_names import Names

#: Our names of activations by theirs; the first of several is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
Activation = Annotated[str, AfterValidator(ACTIVATIONS.__getitem__), one_of(*ACTIVATIONS)]

#: What stands in a config.json without being a setting of the encoder.
Guard = Field(exclude=True)
Off = Annotated[Any, Guard, one_of(False, None)]
Absent = Annotated[Any, Guard, one_of(None)]
NoHeads = Annotated[Any, Guard, one_of({}, None)]
Absolute = Annotated[Any, Guard, one_of("absolute", None)]
One = Annotated[Any, Guard, one_of(1, None)]
Buckets = Annotated[Any, Guard, one_of(32, None)]
Padding = Annotated[
    int | None, Guard, Field(ge=0, le=LARGEST), expect("a whole number from 0, or null")
]


class FamilyConfig(Typed):
    """config.json of any family, with defaults as transformers has them.

    Fields have the names of the encoder's settings, aliases are keys. Guards are keys that would
    change vectors: custom code may compute anything, pruned heads change shapes.
    """

    pad_token_id: Padding = None
    is_decoder: Off = None
    add_cross_attention: Off = None
    is_encoder_decoder: Off = None
    position_embedding_type: Absolute = None
    pruned_heads: NoHeads = None
    quantization_config: Absent = None
    auto_map: Absent = None
    transformers_weights: Absent = None


class PlainConfig(FamilyConfig):
    """The keys of most families."""

    vocab_size: Size = 30522
    width: Size = Field(768, alias="hidden_size")
    n_blocks: Depth = Field(12, alias="num_hidden_layers")
    n_heads: Size = Field(12, alias="num_attention_heads")
    feedforward_width: Size = Field(3072, alias="intermediate_size")
    max_length: Size = Field(512, alias="max_position_embeddings")
    activation: Activation = Field("gelu", alias="hidden_act")
    layer_norm_epsilon: Epsilon = Field(1e-12, alias="layer_norm_eps")


class BertConfig(PlainConfig):
    n_segments: Size = Field(2, alias="type_vocab_size")


class RobertaConfig(BertConfig):
    vocab_size: Size = 50265


class DistilBertConfig(FamilyConfig):
    vocab_size: Size = 30522
    width: Size = Field(768, alias="dim")
    n_blocks: Depth = Field(6, alias="n_layers")
    n_heads: Size = 12
    feedforward_width: Size = Field(3072, alias="hidden_dim")
    max_length: Size = Field(512, alias="max_position_embeddings")
    activation: Activation = "gelu"


class ElectraConfig(BertConfig):
    width: Size = Field(256, alias="hidden_size")
    n_heads: Size = Field(4, alias="num_attention_heads")
    feedforward_width: Size = Field(1024, alias="intermediate_size")
    embedding_width: Size = Field(128, alias="embedding_size")


class AlbertConfig(BertConfig):
    vocab_size: Size = 30000
    width: Size = Field(4096, alias="hidden_size")
    n_heads: Size = Field(64, alias="num_attention_heads")
    feedforward_width: Size = Field(16384, alias="intermediate_size")
    activation: Activation = Field("gelu_tanh", alias="hidden_act")
    embedding_width: Size = Field(128, alias="embedding_size")
    n_groups: Size = Field(1, alias="num_hidden_groups")
    inner_group_num: One = None


class MPNetConfig(PlainConfig):
    """transformers computes with 32 buckets and the padding 1, whatever the file says."""

    vocab_size: Size = 30527
    relative_attention_num_buckets: Buckets = None
    pad_token_id: One = None


#: Less, and the angles of positions would not be finite.
Theta = Annotated[float, Field(ge=1e-3, le=1e30), expect("a number from 0.001 to 1e30")]


class Rope(Typed, extra="forbid"):
    """How transformers 5 writes the rotation of positions of one kind of block."""

    rope_type: Annotated[str, one_of("default")] = "default"
    rope_theta: Theta | None = None


class Ropes(Typed, extra="forbid"):
    full_attention: Rope | None = None
    sliding_attention: Rope | None = None


Types = Annotated[list[str] | None, Guard, expect("a list of names, or null")]


class ModernBertConfig(FamilyConfig):
    """rope_parameters and layer_types are what transformers 5 writes in the place of three keys."""

    vocab_size: Size = 50368
    width: Size = Field(768, alias="hidden_size")
    n_blocks: Depth = Field(22, alias="num_hidden_layers")
    n_heads: Size = Field(12, alias="num_attention_heads")
    feedforward_width: Size = Field(1152, alias="intermediate_size")
    max_length: Size = Field(8192, alias="max_position_embeddings")
    activation: Activation = Field("gelu", alias="hidden_activation")
    layer_norm_epsilon: Epsilon = Field(1e-5, alias="norm_eps")
    local_window: Size = Field(128, alias="local_attention")
    global_every: Size = Field(3, alias="global_attn_every_n_layers")
    global_theta: Theta = Field(160000.0, alias="global_rope_theta")
    local_theta: Theta | None = Field(10000.0, alias="local_rope_theta")
    rope_parameters: Annotated[Ropes | None, Guard] = None
    layer_types: Types = None
    norm_bias: Off = None
    attention_bias: Off = None
    mlp_bias: Off = None
    rope_scaling: Absent = None
    sliding_window: Absent = None


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
