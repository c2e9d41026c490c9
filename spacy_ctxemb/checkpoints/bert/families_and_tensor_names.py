"""The families of BERT that can be read, and most of them written."""

from typing import Any, NamedTuple

from ...encoders import Encoder, ModernTransformerEncoder, TransformerEncoder
from . import config_json_types as configs


class Family(NamedTuple):
    """A model_type: what its config.json says, and how its files name tensors.

    config: the keys of config.json.
    constants: settings of the encoder that hold for every model of the family.
    synonyms: other keys for settings, which transformers reads too.
    first_position: rows of the position table before the first piece's; None for one more than
        the id of padding.
    padding: the id of padding, where it must have one.
    architecture: written to config.json; None for families that are read only.
    registered_name: of the encoder's builder.

    prefix: before the names of tensors where a head is on the encoder.
    modules: their names by ours, outside of blocks.
    block: before the names of a block's modules, with its number.
    block_modules: their names by ours; where ours is several of theirs, one above the other, all.
    ignored: patterns of what is no part of the encoder: heads, poolers, stored constants.
    """

    config: type[configs.FamilyConfig]
    constants: dict[str, Any]
    prefix: str
    modules: dict[str, str]
    block: str
    block_modules: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    architecture: str | None
    synonyms: dict[str, str] = {}
    first_position: int | None = 0
    padding: int | None = None
    encoder: type[Encoder] = TransformerEncoder
    registered_name: str = "spacy-ctxemb.Transformer.v1"


#: Heads of tasks, and tables of numbers that old versions stored among the weights.
TASKS = (r"classifier\.", r"qa_outputs\.", r"score\.")
OTHERS = (*TASKS, r"embeddings\.position_ids$", r"embeddings\.token_type_ids$")

BERT = Family(
    configs.BertConfig,
    {"embedding_width": None, "n_groups": None, "n_position_buckets": None, "pre_norm": False},
    architecture="BertModel",
    prefix="bert.",
    modules={
        "piece_embedding": "embeddings.word_embeddings",
        "position_embedding": "embeddings.position_embeddings",
        "segment_embedding": "embeddings.token_type_embeddings",
        "norm": "embeddings.LayerNorm",
    },
    block="encoder.layer.{}.",
    block_modules={
        "attention.query_key_value": (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ),
        "attention.output": ("attention.output.dense",),
        "attention_norm": ("attention.output.LayerNorm",),
        "feedforward.inner": ("intermediate.dense",),
        "feedforward.outer": ("output.dense",),
        "feedforward_norm": ("output.LayerNorm",),
    },
    ignored=(*OTHERS, r"pooler\.", r"cls\."),
)

ROBERTA = BERT._replace(
    config=configs.RobertaConfig,
    architecture=None,
    prefix="roberta.",
    ignored=(*OTHERS, r"pooler\.", r"lm_head\."),
    first_position=None,
)

ROBERTA_PRELAYERNORM = ROBERTA._replace(
    constants=BERT.constants | {"pre_norm": True},
    architecture="RobertaPreLayerNormModel",
    prefix="roberta_prelayernorm.",
    modules=BERT.modules | {"final_norm": "LayerNorm"},
    block_modules=BERT.block_modules
    | {
        "attention_norm": ("attention.LayerNorm",),
        "feedforward_norm": ("intermediate.LayerNorm",),
    },
)

ELECTRA = BERT._replace(
    config=configs.ElectraConfig,
    constants={"n_groups": None, "n_position_buckets": None, "pre_norm": False},
    architecture="ElectraModel",
    prefix="electra.",
    modules=BERT.modules | {"embedding_projection": "embeddings_project"},
    ignored=(*OTHERS, r"(discriminator|generator)_predictions\.", r"generator_lm_head\."),
)

DISTILBERT = BERT._replace(
    config=configs.DistilBertConfig,
    constants=BERT.constants | {"n_segments": 0, "layer_norm_epsilon": 1e-12},
    synonyms={
        "hidden_size": "width",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_blocks",
    },
    architecture="DistilBertModel",
    prefix="distilbert.",
    block="transformer.layer.{}.",
    block_modules={
        "attention.query_key_value": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attention.output": ("attention.out_lin",),
        "attention_norm": ("sa_layer_norm",),
        "feedforward.inner": ("ffn.lin1",),
        "feedforward.outer": ("ffn.lin2",),
        "feedforward_norm": ("output_layer_norm",),
    },
    ignored=(*OTHERS, r"vocab_(transform|layer_norm|projector)\.", r"pre_classifier\."),
)

MPNET = BERT._replace(
    config=configs.MPNetConfig,
    constants=BERT.constants | {"n_segments": 0, "n_position_buckets": 32},
    first_position=2,
    padding=1,
    architecture="MPNetModel",
    prefix="mpnet.",
    modules=BERT.modules | {"position_bias": "encoder.relative_attention_bias"},
    block_modules=BERT.block_modules
    | {
        "attention.query_key_value": ("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        "attention.output": ("attention.attn.o",),
        "attention_norm": ("attention.LayerNorm",),
    },
    ignored=(*OTHERS, r"pooler\.", r"lm_head\."),
)

ALBERT = BERT._replace(
    config=configs.AlbertConfig,
    constants={"n_position_buckets": None, "pre_norm": False},
    architecture="AlbertModel",
    prefix="albert.",
    modules=BERT.modules | {"embedding_projection": "encoder.embedding_hidden_mapping_in"},
    block="encoder.albert_layer_groups.{}.albert_layers.0.",
    block_modules={
        "attention.query_key_value": ("attention.query", "attention.key", "attention.value"),
        "attention.output": ("attention.dense",),
        "attention_norm": ("attention.LayerNorm",),
        "feedforward.inner": ("ffn",),
        "feedforward.outer": ("ffn_output",),
        "feedforward_norm": ("full_layer_layer_norm",),
    },
    ignored=(*OTHERS, r"pooler\.", r"predictions\.", r"sop_classifier\."),
)

MODERNBERT = Family(
    configs.ModernBertConfig,
    constants={},
    architecture="ModernBertModel",
    encoder=ModernTransformerEncoder,
    registered_name="spacy-ctxemb.ModernTransformer.v1",
    prefix="model.",
    modules={
        "piece_embedding": "embeddings.tok_embeddings",
        "norm": "embeddings.norm",
        "final_norm": "final_norm",
    },
    block="layers.{}.",
    block_modules={
        "attention_norm": ("attn_norm",),
        "attention.query_key_value": ("attn.Wqkv",),
        "attention.output": ("attn.Wo",),
        "feedforward_norm": ("mlp_norm",),
        "feedforward.inner": ("mlp.Wi",),
        "feedforward.outer": ("mlp.Wo",),
    },
    ignored=(*TASKS, r"head\.", r"decoder\."),
)

#: By model_type. What can be written is tried in this order.
FAMILIES = {
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
