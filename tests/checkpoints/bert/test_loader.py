"""`spacy-ctxemb.BertWeights.v1`, which gives an encoder a published model."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.util import load_model_from_config, registry
from thinc.api import Config

from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ...bert_models import FAMILIES, read, split
from ...docs.pages import read_excerpt
from ...pipelines import BILM, NER_DATA, blank, examples, listener, ner_config, update

BERT = FAMILIES / "bert"


def fitting(name: str = "bert", **changes: Any) -> dict[str, Any]:
    """The config of a model for a checkpoint."""
    settings = read(name).settings
    is_modern = "local_window" in settings
    architecture = "ModernTransformer" if is_modern else "Transformer"
    return {
        "encoder": {"@architectures": f"spacy-ctxemb.{architecture}.v1", **settings, **changes},
        "pieces": {
            "@architectures": "spacy-ctxemb.SubwordPieces.v1",
            "vocab_size": (settings | changes)["vocab_size"],
        },
        "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
        "split_sentences": False,
    }


def initialize(nlp: Language, path: Path = BERT) -> Language:
    loader = {"@misc": "spacy-ctxemb.BertWeights.v1", "path": str(path)}
    nlp.config["initialize"]["components"]["ctxemb"] = {"encoder_loader": loader}
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    return nlp


def get_weights(nlp: Language) -> dict[str, torch.Tensor]:
    shim = get_shim(nlp.get_pipe("ctxemb").model)  # type: ignore[attr-defined] # a PipeCallable
    return shim.embedder.encoder.state_dict()


@pytest.mark.parametrize("name", ["bert", "roberta", "albert", "mpnet", "modernbert"])
def test_the_encoder_gets_the_weights_and_the_pieces(name: str) -> None:
    nlp = initialize(blank(fitting(name)), FAMILIES / name)
    found, expected = get_weights(nlp), read(name).tensors
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    tokenizer = get_shim(nlp.get_pipe("ctxemb").model).pieces.tokenizer
    text = "Ada Lovelace lives in Oslo."
    assert tokenizer.encode(text).ids == split(read(name), [text])[0]
    assert nlp(text).tensor.shape == (6, 12)


def test_initialising_again() -> None:
    nlp = blank(fitting())
    for _ in range(2):
        initialize(nlp)
        assert torch.equal(get_weights(nlp)["norm.bias"], read("bert").tensors["norm.bias"])
        with torch.no_grad():  # as if trained
            get_weights(nlp)["norm.bias"] += 1.0


def test_a_component_on_top_trains_it() -> None:
    nlp = blank(fitting())
    nlp.add_pipe("ner", config=ner_config(listener(width=12)))
    initialize(nlp)
    before = {name: value.clone() for name, value in get_weights(nlp).items()}
    update(nlp, NER_DATA, steps=4)  # the first gradient is 0, and the last one is on its way
    after = get_weights(nlp)
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert read("bert").tensors["norm.bias"].equal(before["norm.bias"])


def test_every_setting_that_differs_is_named() -> None:
    nlp = blank(fitting(feedforward_width=16, activation="relu", n_segments=0))
    place = r"\[components\.ctxemb\.model\.encoder\]"
    message = (
        rf"\[E360\] The model in {re.escape(str(BERT))} does not fit the config: "
        rf"{place} activation is relu, the model has gelu; "
        rf"{place} feedforward_width is 16, the model has 20; "
        rf"{place} n_segments is 0, the model has 2\. .* import bert"
    )
    with pytest.raises(ValueError, match=message):
        initialize(nlp)
    assert not get_shim(nlp.get_pipe("ctxemb").model).is_materialised


def test_another_encoder() -> None:
    found = "has a BiLM where a TransformerEncoder is needed"
    with pytest.raises(ValueError, match=rf"\[E360\] .*encoder\] {found}"):
        initialize(blank(BILM))
    found = "has a TransformerEncoder where a ModernTransformerEncoder is needed"
    with pytest.raises(ValueError, match=rf"\[E360\] .*encoder\] {found}"):
        initialize(blank(fitting()), FAMILIES / "modernbert")


def wrapped(**changes: Any) -> dict[str, Any]:
    """The config of a model that transformers runs."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    config = json.loads((BERT / "config.json").read_text(encoding="utf8"))
    encoder = {"@architectures": "spacy-ctxemb.HuggingFace.v1", "config": config | changes}
    return fitting() | {"encoder": encoder}


def test_a_wrapped_encoder_gets_the_weights_and_the_pieces() -> None:
    nlp = initialize(blank(wrapped(hidden_dropout_prob=0.3)))
    own = initialize(blank(fitting()))
    text = "Ada Lovelace lives in Oslo."
    np.testing.assert_allclose(nlp(text).tensor, own(text).tensor, rtol=1e-5, atol=1e-5)


def test_every_setting_of_a_wrapped_encoder_that_differs_is_named() -> None:
    place = r"\[components\.ctxemb\.model\.encoder\.config\]"
    message = (
        rf"\[E360\] The model in .* config: {place} hidden_act is relu, the model has gelu; "
        rf"{place} intermediate_size is 16, the model has 20\. Change"
    )
    with pytest.raises(ValueError, match=message):
        initialize(blank(wrapped(hidden_act="relu", intermediate_size=16)))


def test_pieces_with_another_vocabulary() -> None:
    config = fitting()
    config["pieces"] = {"@architectures": "spacy-ctxemb.WordPieces.v1", "vocab_size": 260}
    nlp = blank(config)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    shim.pieces.train([["a text of its own"]])
    found = shim.pieces.n_trained
    message = (
        rf"\[E135\] \[components\.ctxemb\.model\.pieces\] has .* of {found} pieces .* 260 pieces"
    )
    with pytest.raises(ValueError, match=message):
        initialize(nlp)


def test_word_pieces_take_the_vocabulary() -> None:
    config = fitting()
    config["pieces"] = {"@architectures": "spacy-ctxemb.WordPieces.v1", "vocab_size": 260}
    nlp = initialize(blank(config))
    assert get_shim(nlp.get_pipe("ctxemb").model).pieces.n_trained == 260


def test_building_it_reads_nothing() -> None:
    assert callable(registry.misc.get("spacy-ctxemb.BertWeights.v1")(path="nothing"))


def test_the_excerpt_of_the_docs() -> None:
    excerpt = read_excerpt("a published BERT")
    before = '[nlp]\nlang = en\npipeline = ["ctxemb"]\n[components]\n[initialize]\n'
    config = Config().from_str(f"{before}[initialize.components]\n{excerpt}")
    model = config["components"]["ctxemb"]["model"]
    sizes = read("bert").settings
    model["encoder"] |= {name: sizes[name] for name in model["encoder"] if name in sizes}
    model["pieces"]["vocab_size"] = sizes["vocab_size"]
    config["initialize"]["components"]["ctxemb"]["encoder_loader"]["path"] = str(BERT)
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert torch.equal(get_weights(nlp)["norm.bias"], read("bert").tensors["norm.bias"])


def test_what_was_loaded_is_saved(tmp_path: Path) -> None:
    nlp = initialize(blank(fitting()))
    nlp.to_disk(tmp_path)
    text = "Ada Lovelace lives in Oslo."
    assert (spacy.load(tmp_path)(text).tensor == nlp(text).tensor).all()
