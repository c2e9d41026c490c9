"""What config.json of each family says, as types: settings of the encoder, and what must not be."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ..read_json import LARGEST, Depth, Epsilon, Size, Typed, expect, one_of

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
