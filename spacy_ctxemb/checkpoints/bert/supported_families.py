"""The families of BERT: what each one's config.json says, and what must not be in it."""

from typing import Any, NamedTuple

from ...encoders import Encoder, ModernTransformerEncoder, TransformerEncoder
from ..read_json import POSITIVE, SIZE, Kind, one_of
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
ACTIVATION = one_of(tuple(ACTIVATIONS))


class Key(NamedTuple):
    """A key of config.json, and the setting of the encoder it stands for.

    default: where the key is absent, as transformers takes it.
    """

    name: str
    setting: str
    default: Any
    kind: Kind = SIZE


class Family(NamedTuple):
    """A model_type.

    constants: settings of the encoder that hold for every model of the family.
    fixed: keys that must have this value, or be absent.
    first_position: rows of the position table before the first piece's; None for one more than
        the id of padding.
    architecture: written to config.json; None for families that are read only.
    registered_name: of the encoder's builder.
    """

    names: Names
    keys: tuple[Key, ...]
    constants: dict[str, Any]
    fixed: dict[str, Any]
    first_position: int | None = 0
    architecture: str | None = None
    encoder: type[Encoder] = TransformerEncoder
    registered_name: str = "spacy-ctxemb.Transformer.v1"


def list_keys(vocab_size: int, sizes: tuple[int, int, int, int], activation: str) -> list[Key]:
    """The keys of most families. sizes: defaults of width, blocks, heads, feed-forward width."""
    width, n_blocks, n_heads, feedforward_width = sizes
    return [
        Key("vocab_size", "vocab_size", vocab_size),
        Key("hidden_size", "width", width),
        Key("num_hidden_layers", "n_blocks", n_blocks),
        Key("num_attention_heads", "n_heads", n_heads),
        Key("intermediate_size", "feedforward_width", feedforward_width),
        Key("max_position_embeddings", "max_length", 512),
        Key("hidden_act", "activation", activation, ACTIVATION),
        Key("layer_norm_eps", "layer_norm_epsilon", 1e-12, POSITIVE),
    ]


BASE = (768, 12, 12, 3072)
SEGMENTS = Key("type_vocab_size", "n_segments", 2)

#: Of every family. Custom code may compute anything; pruned heads change shapes.
FIXED = {
    "is_decoder": False,
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "quantization_config": None,
    "auto_map": None,
}

PLAIN: dict[str, Any] = {
    "embedding_width": None,
    "n_groups": None,
    "n_position_buckets": None,
    "pre_norm": False,
}

BERT = Family(
    names=tensor_names.BERT,
    keys=(*list_keys(30522, BASE, "gelu"), SEGMENTS),
    constants=PLAIN,
    fixed=FIXED,
    architecture="BertModel",
)

ROBERTA = BERT._replace(
    names=tensor_names.ROBERTA,
    keys=(*list_keys(50265, BASE, "gelu"), SEGMENTS),
    first_position=None,
    architecture=None,
)

ROBERTA_PRELAYERNORM = ROBERTA._replace(
    names=tensor_names.ROBERTA_PRELAYERNORM,
    constants=PLAIN | {"pre_norm": True},
    architecture="RobertaPreLayerNormModel",
)

DISTILBERT = Family(
    names=tensor_names.DISTILBERT,
    keys=(
        Key("vocab_size", "vocab_size", 30522),
        Key("dim", "width", 768),
        Key("n_layers", "n_blocks", 6),
        Key("n_heads", "n_heads", 12),
        Key("hidden_dim", "feedforward_width", 3072),
        Key("max_position_embeddings", "max_length", 512),
        Key("activation", "activation", "gelu", ACTIVATION),
    ),
    constants=PLAIN | {"n_segments": 0, "layer_norm_epsilon": 1e-12},
    fixed=FIXED,
    architecture="DistilBertModel",
)

ELECTRA = Family(
    names=tensor_names.ELECTRA,
    keys=(
        *list_keys(30522, (256, 12, 4, 1024), "gelu"),
        SEGMENTS,
        Key("embedding_size", "embedding_width", 128),
    ),
    constants={"n_groups": None, "n_position_buckets": None, "pre_norm": False},
    fixed=FIXED,
    architecture="ElectraModel",
)

ALBERT = Family(
    names=tensor_names.ALBERT,
    keys=(
        *list_keys(30000, (4096, 12, 64, 16384), "gelu_new"),
        SEGMENTS,
        Key("embedding_size", "embedding_width", 128),
        Key("num_hidden_groups", "n_groups", 1),
    ),
    constants={"n_position_buckets": None, "pre_norm": False},
    fixed=FIXED | {"inner_group_num": 1},
    architecture="AlbertModel",
)

MPNET = Family(
    names=tensor_names.MPNET,
    keys=tuple(list_keys(30527, BASE, "gelu")),
    constants=PLAIN | {"n_segments": 0, "n_position_buckets": 32},
    # transformers computes with 32 buckets and with the id 1 of padding, whatever the config says.
    fixed=FIXED | {"relative_attention_num_buckets": 32, "pad_token_id": 1},
    first_position=2,
    architecture="MPNetModel",
)

MODERNBERT = Family(
    names=tensor_names.MODERNBERT,
    keys=(
        Key("vocab_size", "vocab_size", 50368),
        Key("hidden_size", "width", 768),
        Key("num_hidden_layers", "n_blocks", 22),
        Key("num_attention_heads", "n_heads", 12),
        Key("intermediate_size", "feedforward_width", 1152),
        Key("max_position_embeddings", "max_length", 8192),
        Key("hidden_activation", "activation", "gelu", ACTIVATION),
        Key("norm_eps", "layer_norm_epsilon", 1e-5, POSITIVE),
        Key("local_attention", "local_window", 128),
        Key("global_attn_every_n_layers", "global_every", 3),
        Key("global_rope_theta", "global_theta", 160000.0, POSITIVE),
        Key("local_rope_theta", "local_theta", 10000.0, POSITIVE),
    ),
    constants={},
    fixed=FIXED
    | {"norm_bias": False, "attention_bias": False, "mlp_bias": False, "rope_scaling": None},
    architecture="ModernBertModel",
    encoder=ModernTransformerEncoder,
    registered_name="spacy-ctxemb.ModernTransformer.v1",
)

#: By model_type. What can be written is tried in this order.
FAMILIES: dict[str, Family] = {
    "distilbert": DISTILBERT,
    "bert": BERT,
    "electra": ELECTRA,
    "albert": ALBERT,
    "mpnet": MPNET,
    "modernbert": MODERNBERT,
    "roberta-prelayernorm": ROBERTA_PRELAYERNORM,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
}
