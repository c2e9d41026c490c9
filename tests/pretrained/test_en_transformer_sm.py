"""A small Transformer that has learned from MiniLM: its weights are in the package, in 8 bits."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from spacy.language import Language
from spacy.training import Example

from spacy_ctxemb import pretrained
from spacy_ctxemb.encoders import TransformerEncoder
from spacy_ctxemb.pretrained.eight_bits import pack, unpack
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import NER_DATA, examples, listener, ner_config

NAME = pretrained.TRANSFORMER


def blank(**config: Any) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config={"pretrained": NAME, **config})
    return nlp


@pytest.fixture(scope="module")
def nlp() -> Language:
    return blank()


def test_similar_texts_have_similar_vectors(nlp: Language) -> None:
    """The teacher gives 0.67 to the first pair, and -0.09 to the second."""
    texts = ["A man is playing a guitar.", "Someone plays an instrument.", "Stocks fell sharply."]
    guitar, instrument, stocks = nlp.pipe(texts)
    assert guitar.vector.shape == (256,)
    assert guitar.similarity(instrument) > 0.6
    assert abs(guitar.similarity(stocks)) < 0.2


def test_a_word_has_another_vector_in_another_text(nlp: Language) -> None:
    banks = [nlp(text)[-1].vector for text in ("the river bank", "deposit it in the bank")]
    assert not np.allclose(*banks, atol=0.1)


def test_case_is_kept(nlp: Language) -> None:
    upper, lower = nlp("He joined Apple")[-1], nlp("He joined apple")[-1]
    assert not np.allclose(upper.vector, lower.vector, atol=0.1)


def test_vectors_are_the_mean_of_the_layers(nlp: Language) -> None:
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    words = "The bank raised its rate"
    begin, end = shim.pieces.boundaries
    ids = [shim.pieces.tokenizer.get_vocab()[word] for word in words.split()]
    inside = torch.tensor([[int(begin), *ids, int(end)]])
    with torch.no_grad():
        layers = shim.embedder.encoder(inside, torch.ones_like(inside, dtype=torch.bool))
    expected = torch.stack(layers).mean(0)[1:-1]
    np.testing.assert_allclose(nlp(words).tensor, expected.numpy(), atol=1e-5)


def test_the_config_says_what_the_model_is(nlp: Language) -> None:
    model, expected = nlp.config["components"]["ctxemb"]["model"], pretrained.read_model(NAME)
    for part in ("encoder", "pieces", "mix", "split_sentences"):
        assert model[part] == expected[part]
    again = type(nlp).from_config(nlp.config)
    np.testing.assert_array_equal(again("a bank").tensor, nlp("a bank").tensor)


def test_a_config_that_the_user_changes_is_of_one_pipeline(nlp: Language) -> None:
    changed = spacy.blank("en")
    changed.add_pipe("ctxemb", config={"pretrained": NAME})
    changed.get_pipe_config("ctxemb")["model"]["encoder"]["width"] = 7
    again = spacy.blank("en")
    again.add_pipe("ctxemb", config={"pretrained": NAME})
    assert again.get_pipe_config("ctxemb") == nlp.get_pipe_config("ctxemb")


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))]
)
def test_copies_of_a_component_that_is_in_no_pipeline(duplicate: Any) -> None:
    nlp = spacy.blank("en")
    pipe = duplicate(nlp.create_pipe("ctxemb", config={"pretrained": NAME}))
    assert pipe(nlp.make_doc("a bank")).has_vector


def test_a_stored_pipeline_has_weights_and_vocabulary(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path)
    np.testing.assert_array_equal(spacy.load(tmp_path)("a bank").tensor, nlp("a bank").tensor)


def test_it_learns_with_a_task() -> None:
    nlp = blank()
    tok2vec = {**listener(), "width": 256}
    nlp.add_pipe("ner", config=ner_config(tok2vec))
    before = pretrained.load_weights(NAME)
    optimizer = nlp.initialize(lambda: examples(nlp, NER_DATA))
    for _ in range(3):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    after = get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder.state_dict()
    assert not torch.equal(
        after["blocks.3.feedforward.outer.weight"], before["blocks.3.feedforward.outer.weight"]
    )


def test_it_does_not_fit_another_encoder() -> None:
    encoder = {**pretrained.read_model(NAME)["encoder"], "n_blocks": 2}
    model = {**pretrained.read_model(NAME), "encoder": encoder}
    with pytest.raises(ValueError, match=f"E012.*'{NAME}' are not for the encoder"):
        blank(model=model)


def test_files_are_small_and_whole() -> None:
    folder = pretrained.find_folder(NAME)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16e6
    stored = load_file(folder / pretrained.WEIGHTS)
    assert stored["piece_embedding.weight"].dtype == torch.int8
    settings = {k: v for k, v in pretrained.read_model(NAME)["encoder"].items() if k[0] != "@"}
    with torch.device("meta"):
        encoder = TransformerEncoder(**settings)
    shapes = {name: value.shape for name, value in encoder.state_dict().items()}
    assert {name: value.shape for name, value in pretrained.load_weights(NAME).items()} == shapes
    assert (folder / "README.md").is_file()


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1))
def test_eight_bits_lose_little(rows: list[list[float]]) -> None:
    tensor = torch.tensor(rows)
    found = unpack(pack({"a": tensor, "b": torch.tensor([0.5])}))
    bound = tensor.abs().amax(dim=1, keepdim=True) / 254 * 1.001 + 1e-9
    assert bool(((found["a"] - tensor).abs() <= bound).all())
    assert found["b"].tolist() == [0.5]


def test_initialising_keeps_them() -> None:
    nlp = blank()
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("a bank"), {})])
    np.testing.assert_array_equal(nlp("a bank").tensor, blank()("a bank").tensor)
