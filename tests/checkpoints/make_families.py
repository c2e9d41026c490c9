"""Make the small checkpoints of `families/` and what `transformers` computes with them.

    python tests/checkpoints/make_families.py OUTDIR

Needs `transformers` 5; what is there was made by 5.23 with PyTorch 2.13. Every parameter has a
random value that matters, from a seed, so running it again makes the same files, save for the last
digits of the layers, which PyTorch's products may round otherwise (1e-6 at most).

OUTDIR/texts.json has the texts. A folder for each family has a checkpoint as its authors publish
theirs, names of parameters included, and `expected.npz`, where i numbers the texts:

    ids_i         (T,)        pieces, the boundaries included
    offsets_i     (T, 2)      where each piece begins and ends in the text, in characters
    layers_i      (L, T, D)   `hidden_states` without padding, the embeddings first
    attentions_0  (blocks, heads, T, T), in `bert` and `modernbert`
    logits_0      (T, V), in `bert_mlm`, which has text 0 only

`bert_sharded` is `bert` in several files, so it has no expected values of its own.

The longest text fills the table of positions, where there is one.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers as hf
from family_texts import TEXTS
from family_tokenizers import (
    build_albert_pieces,
    build_byte_pairs,
    build_modernbert_pieces,
    build_mpnet_pieces,
    build_unigrams,
    build_word_pieces,
    sort_pieces,
)
from tokenizers import Tokenizer

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
CAMEMBERT_SPECIALS = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]


class Family(NamedTuple):
    """A model to save, its tokenizer, and what `tokenizer_config.json` says of it."""

    model: hf.PreTrainedModel
    tokenizer: Tokenizer
    settings: dict[str, Any]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "texts.json", TEXTS)
    for name, build in FAMILIES.items():
        family = build()
        randomize(family.model)
        save(family, folder / name)
        check_tokenizer(family, folder / name)
        attentions = name in ("bert", "modernbert")
        save_expected(folder / name, compute_layers(folder / name, range(len(TEXTS)), attentions))
    write_older_modernbert(folder / "modernbert")
    make_sharded(folder / "bert", folder / "bert_sharded")
    make_mlm(folder / "bert_mlm")


def build_bert() -> Family:
    tokenizer = build_word_pieces(260, BERT_SPECIALS)
    config = hf.BertConfig(**describe(tokenizer), **shape())
    return Family(hf.BertModel(config), tokenizer, describe_bert("BertTokenizer"))


def build_distilbert() -> Family:
    tokenizer = build_word_pieces(260, BERT_SPECIALS)
    config = hf.DistilBertConfig(
        **describe(tokenizer), dim=12, n_layers=2, n_heads=2, hidden_dim=20
    )
    settings = describe_bert("DistilBertTokenizer")
    return Family(hf.DistilBertForMaskedLM(config), tokenizer, settings)


def build_electra() -> Family:
    tokenizer = build_word_pieces(260, BERT_SPECIALS)
    config = hf.ElectraConfig(**describe(tokenizer), **shape(), embedding_size=8)
    settings = describe_bert("ElectraTokenizer")
    return Family(hf.ElectraForPreTraining(config), tokenizer, settings)


def build_roberta() -> Family:
    tokenizer = build_byte_pairs(330, [*ROBERTA_SPECIALS, "<mask>"])
    config = hf.RobertaConfig(**describe(tokenizer, 2), **shape(), type_vocab_size=1)
    settings = describe_roberta("RobertaTokenizer") | {"add_prefix_space": False}
    return Family(hf.RobertaForMaskedLM(config), tokenizer, settings)


def build_xlm_roberta() -> Family:
    tokenizer = build_unigrams(260, ROBERTA_SPECIALS, ["<mask>"])
    config = hf.XLMRobertaConfig(**describe(tokenizer, 2), **shape(), type_vocab_size=1)
    settings = describe_roberta("XLMRobertaTokenizer")
    return Family(hf.XLMRobertaForMaskedLM(config), tokenizer, settings)


def build_camembert() -> Family:
    tokenizer = build_unigrams(260, CAMEMBERT_SPECIALS, ["<mask>"])
    config = hf.CamembertConfig(**describe(tokenizer, 2), **shape(), type_vocab_size=1)
    settings = describe_roberta("CamembertTokenizer")
    return Family(hf.CamembertForMaskedLM(config), tokenizer, settings)


def build_mpnet() -> Family:
    tokenizer = build_mpnet_pieces(260)
    config = hf.MPNetConfig(**describe(tokenizer, 2), **shape(), relative_attention_num_buckets=32)
    settings = describe_roberta("MPNetTokenizer") | {"unk_token": "[UNK]", "do_lower_case": True}
    return Family(hf.MPNetModel(config), tokenizer, settings)


def build_albert() -> Family:
    tokenizer = build_albert_pieces(260)
    config = hf.AlbertConfig(
        **describe(tokenizer),
        **shape(n_blocks=3),
        embedding_size=8,
        num_hidden_groups=1,
        hidden_act="gelu_new",
    )
    settings = {"tokenizer_class": "AlbertTokenizer", "do_lower_case": True, "keep_accents": False}
    settings |= {"bos_token": "[CLS]", "eos_token": "[SEP]", "mask_token": "[MASK]"}
    return Family(hf.AlbertForMaskedLM(config), tokenizer, settings)


def build_modernbert() -> Family:
    tokenizer = build_modernbert_pieces(320, BERT_SPECIALS)
    config = hf.ModernBertConfig(
        **describe(tokenizer), **shape(n_blocks=4), norm_eps=1e-3, local_attention=8
    )
    config.cls_token_id, config.sep_token_id = config.bos_token_id, config.eos_token_id
    settings = describe_bert("PreTrainedTokenizerFast")
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    return Family(hf.ModernBertForMaskedLM(config), tokenizer, settings)


FAMILIES: dict[str, Callable[[], Family]] = {
    "bert": build_bert,
    "distilbert": build_distilbert,
    "roberta": build_roberta,
    "xlm-roberta": build_xlm_roberta,
    "camembert": build_camembert,
    "electra": build_electra,
    "mpnet": build_mpnet,
    "albert": build_albert,
    "modernbert": build_modernbert,
}


def shape(n_blocks: int = 2) -> dict[str, Any]:
    """Sizes; and an epsilon of norms so large that another one shows."""
    return {
        "hidden_size": 12,
        "num_hidden_layers": n_blocks,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "layer_norm_eps": 1e-3,
    }


def describe(tokenizer: Tokenizer, first_position: int = 0) -> dict[str, int]:
    """Sizes and special ids for a configuration. RoBERTa's positions start after its padding."""
    ids = tokenizer.get_vocab()
    length = max(len(tokenizer.encode(text)) for text in TEXTS)
    begin, *_, end = tokenizer.encode("").ids
    padding = ids["[PAD]"] if "[PAD]" in ids else ids["<pad>"]
    return {
        "vocab_size": len(ids),
        "max_position_embeddings": length + first_position,
        "pad_token_id": padding,
        "bos_token_id": begin,
        "eos_token_id": end,
    }


def describe_bert(tokenizer_class: str) -> dict[str, Any]:
    names = {f"{piece[1:-1].lower()}_token": piece for piece in BERT_SPECIALS}
    return {"tokenizer_class": tokenizer_class, "do_lower_case": True, **names}


def describe_roberta(tokenizer_class: str) -> dict[str, Any]:
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>"}
    names |= {"pad": "<pad>", "mask": "<mask>"}
    return {
        "tokenizer_class": tokenizer_class,
        **{f"{name}_token": piece for name, piece in names.items()},
    }


@torch.no_grad()
def randomize(model: hf.PreTrainedModel) -> None:
    """Give every parameter values that matter: weights of norms are near 1, biases not 0."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        is_norm = parameter.dim() == 1 and name.endswith("weight")
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(1 + 0.2 * noise if is_norm else 0.3 * noise)


def save(family: Family, folder: Path) -> None:
    family.model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    family.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = family.settings | {"model_max_length": count_positions(family.tokenizer)}
    write_json(folder / "tokenizer_config.json", settings)
    if family.model.config.model_type == "bert":
        write_vocab(family.tokenizer, folder)


def count_positions(tokenizer: Tokenizer) -> int:
    return describe(tokenizer)["max_position_embeddings"]


def write_vocab(tokenizer: Tokenizer, folder: Path) -> None:
    lines = "\n".join([*sort_pieces(tokenizer), ""])
    (folder / "vocab.txt").write_text(lines, encoding="utf8")


def check_tokenizer(family: Family, folder: Path) -> None:
    """What `transformers` reads from the folder must do what the tokenizer does."""
    found = hf.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        expected = family.tokenizer.encode(text)
        encoding = found(text, return_offsets_mapping=True)
        if encoding["input_ids"] != expected.ids:
            raise ValueError(f"{folder.name}: {encoding['input_ids']}, not {expected.ids}")
        if encoding["offset_mapping"] != expected.offsets:
            raise ValueError(f"{folder.name}: {encoding['offset_mapping']}")


@torch.inference_mode()
def compute_layers(
    folder: Path, texts: Iterable[int], attentions: bool = False
) -> dict[str, np.ndarray]:
    """Pieces, offsets and layers of texts, by a checkpoint as it was saved."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    arrays = {}
    for i in texts:
        encoding = tokenizer(TEXTS[i], return_offsets_mapping=True)
        ids = torch.tensor([encoding["input_ids"]])
        output = model(ids, output_hidden_states=True, output_attentions=attentions and i == 0)
        arrays[f"ids_{i}"] = ids[0].numpy().astype(np.int32)
        offsets = np.array(encoding["offset_mapping"], dtype=np.int32)
        arrays[f"offsets_{i}"] = offsets.reshape(-1, 2)
        arrays[f"layers_{i}"] = torch.cat(output.hidden_states).numpy()
        if attentions and i == 0:
            arrays[f"attentions_{i}"] = torch.cat(output.attentions).numpy()
    return arrays


def save_expected(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(folder / "expected.npz", **arrays)


def write_older_modernbert(folder: Path) -> None:
    """The configuration in the words of published checkpoints, those before version 5."""
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    rotary = config.pop("rope_parameters")
    for new in ("layer_types", "dtype", "tie_word_embeddings"):
        config.pop(new, None)
    config["global_attn_every_n_layers"] = 3
    config["global_rope_theta"] = rotary["full_attention"]["rope_theta"]
    config["local_rope_theta"] = rotary["sliding_attention"]["rope_theta"]
    config |= {"torch_dtype": "float32", "transformers_version": "4.47.0"}
    write_json(folder / "config_before_v5.json", config)
    older = hf.ModernBertConfig.from_dict(config)
    newer = hf.ModernBertConfig.from_pretrained(folder)
    for name in ("layer_types", "rope_parameters"):
        if getattr(older, name) != getattr(newer, name):
            raise ValueError(f"{name}: {getattr(older, name)}, not {getattr(newer, name)}")


def make_sharded(source: Path, folder: Path) -> None:
    """The model of `bert` in several files. Its tokenizer is a list of pieces and nothing else."""
    model = hf.AutoModel.from_pretrained(source)
    model.save_pretrained(folder, max_shard_size="12KB")
    write_vocab(Tokenizer.from_file(str(source / "tokenizer.json")), folder)


def make_mlm(folder: Path) -> None:
    """A cased BERT with its head, as the first ones were published.

    A pickled file; `gamma` and `beta` for the weights and biases of norms; no `tokenizer.json`.
    """
    tokenizer = build_word_pieces(240, BERT_SPECIALS, lowercase=False)
    config = hf.BertConfig(**describe(tokenizer), **shape(n_blocks=1))
    model = hf.BertForMaskedLM(config)
    randomize(model)
    folder.mkdir(exist_ok=True)
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained(folder)
    weights = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in model.state_dict().items()
    }
    torch.save(weights, folder / "pytorch_model.bin")
    write_json(folder / "tokenizer_config.json", {"do_lower_case": False})
    write_vocab(tokenizer, folder)
    arrays = compute_layers(folder, [0])
    loaded = hf.AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.from_numpy(arrays["ids_0"]).long()[None]
    with torch.inference_mode():
        arrays["logits_0"] = loaded(ids).logits[0].numpy()
        np.testing.assert_allclose(arrays["logits_0"], model.eval()(ids).logits[0], atol=1e-5)
    save_expected(folder, arrays)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    main(Path(sys.argv[1]))
