"""Tiny random models with heads, as transformers saves them, and pipelines of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from tokenizers import Tokenizer, processors

from spacy_ctxemb.checkpoints.bert.checkpoint import read_bert
from spacy_ctxemb.checkpoints.bert.read_head import read_head
from spacy_ctxemb.heads.add_head import add_head
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import FAMILIES

NAMES = (
    *("albert", "bert", "camembert", "distilbert", "electra", "modernbert", "mpnet", "roberta"),
    *("roberta-prelayernorm", "xlm-roberta"),
)

#: By task, transformers' class.
KINDS = {
    "token": "AutoModelForTokenClassification",
    "text": "AutoModelForSequenceClassification",
    "question": "AutoModelForQuestionAnswering",
    "masked": "AutoModelForMaskedLM",
}
LABELS = ["O", "B-PER", "I-PER"]


def save(name: str, task: str, folder: Path, **settings: Any) -> Any:
    """Save a model with a head, and a tokenizer; returns the model."""
    import transformers

    family = FAMILIES / name.replace("-prelayernorm", "")
    own = json.loads((family / "config.json").read_text(encoding="utf8"))
    own = {key: value for key, value in own.items() if key not in ("model_type", "architectures")}
    if task in ("token", "text"):
        settings = {"id2label": dict(enumerate(LABELS)), **settings}
    config = transformers.AutoConfig.for_model(name, **own | settings)
    model = getattr(transformers, KINDS[task]).from_config(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    for path in family.glob("tokenizer*"):
        shutil.copy(path, folder)
    if name in ("albert", "modernbert"):  # as published ones; transformers adds it for the others
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        pieces = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=pieces
        )
        tokenizer.save(str(folder / "tokenizer.json"))
    return model


@torch.no_grad()
def randomise(model: torch.nn.Module) -> None:
    """Values that matter; norms near 1."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        is_norm = parameter.dim() == 1 and name.endswith("weight")
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(1 + 0.2 * noise if is_norm else 0.3 * noise)


def build_pipeline(folder: Path, **settings: Any) -> Language:
    """English with the encoder of a model, its pieces, and its head."""
    model = read_bert(folder)
    nlp = spacy.blank("en")
    longest = model.settings["max_length"]
    section = {
        "encoder": model.section,
        "pieces": {
            "@architectures": "spacy-ctxemb.SubwordPieces.v1",
            "vocab_size": model.settings["vocab_size"],
        },
        "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
        "window": longest - 2,
        "stride": longest // 2,
    }
    nlp.add_pipe("ctxemb", config={"model": section, "pretrained": None})
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    shim.load_encoder(model.tensors)
    shim.pieces.load(model.tokenizer)
    published = read_head(folder)
    if published is not None:
        add_head(nlp, published)
    return nlp
