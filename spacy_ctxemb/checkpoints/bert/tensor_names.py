"""Names of tensors in Hugging Face checkpoints, and of our parameters: tables for both ways."""

import re
from typing import NamedTuple


class Names(NamedTuple):
    """How a family names its tensors.

    prefix: before the names where a head is on the encoder.
    modules: theirs by ours, outside of blocks.
    block: before the names of a block's modules, with its number.
    block_modules: theirs by ours; where ours is several of theirs, one above the other, all.
    ignored: patterns of what is no part of the encoder: heads, poolers, stored constants.
    """

    prefix: str
    modules: dict[str, str]
    block: str
    block_modules: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]


#: Tables of numbers that old versions stored among the weights.
CONSTANTS = (r"embeddings\.position_ids$", r"embeddings\.token_type_ids$")

TASKS = (r"classifier\.", r"qa_outputs\.", r"score\.")

BERT = Names(
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
    ignored=(*CONSTANTS, *TASKS, r"pooler\.", r"cls\."),
)

ROBERTA = BERT._replace(prefix="roberta.", ignored=(*CONSTANTS, *TASKS, r"pooler\.", r"lm_head\."))

ROBERTA_PRELAYERNORM = ROBERTA._replace(
    prefix="roberta_prelayernorm.",
    modules=BERT.modules | {"final_norm": "LayerNorm"},
    block_modules=BERT.block_modules
    | {
        "attention_norm": ("attention.LayerNorm",),
        "feedforward_norm": ("intermediate.LayerNorm",),
    },
)

ELECTRA = BERT._replace(
    prefix="electra.",
    modules=BERT.modules | {"embedding_projection": "embeddings_project"},
    ignored=(
        *CONSTANTS,
        *TASKS,
        r"(discriminator|generator)_predictions\.",
        r"generator_lm_head\.",
    ),
)

DISTILBERT = Names(
    prefix="distilbert.",
    modules=BERT.modules,
    block="transformer.layer.{}.",
    block_modules={
        "attention.query_key_value": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attention.output": ("attention.out_lin",),
        "attention_norm": ("sa_layer_norm",),
        "feedforward.inner": ("ffn.lin1",),
        "feedforward.outer": ("ffn.lin2",),
        "feedforward_norm": ("output_layer_norm",),
    },
    ignored=(*CONSTANTS, *TASKS, r"vocab_(transform|layer_norm|projector)\.", r"pre_classifier\."),
)

MPNET = Names(
    prefix="mpnet.",
    modules=BERT.modules | {"position_bias": "encoder.relative_attention_bias"},
    block="encoder.layer.{}.",
    block_modules=BERT.block_modules
    | {
        "attention.query_key_value": (
            "attention.attn.q",
            "attention.attn.k",
            "attention.attn.v",
        ),
        "attention.output": ("attention.attn.o",),
        "attention_norm": ("attention.LayerNorm",),
    },
    ignored=(*CONSTANTS, *TASKS, r"pooler\.", r"lm_head\."),
)

ALBERT = Names(
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
    ignored=(*CONSTANTS, *TASKS, r"pooler\.", r"predictions\.", r"sop_classifier\."),
)

MODERNBERT = Names(
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


def translate(parameter: str, names: Names) -> tuple[str, ...]:
    """The tensors of a family whose values, one above the other, are those of a parameter."""
    module, _, kind = parameter.rpartition(".")
    if not module.startswith("blocks."):
        return (f"{names.modules[module]}.{kind}",)
    _, block, part = module.split(".", 2)
    return tuple(f"{names.block.format(block)}{name}.{kind}" for name in names.block_modules[part])


def standardise(name: str, names: Names) -> str:
    """The name of a tensor without a prefix, and with those of norms as they are today."""
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix(names.prefix))
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def is_ignored(name: str, names: Names) -> bool:
    """Whether a tensor is known to be no part of the encoder."""
    return any(re.match(pattern, name) for pattern in names.ignored)
