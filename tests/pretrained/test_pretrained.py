"""The weights that ship with the package: a small Transformer that has learned from MiniLM."""

import copy
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
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
from spacy_ctxemb.factory import DEFAULT_MODEL
from spacy_ctxemb.pretrained.store_in_eight_bits import pack, unpack
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim, get_shim

from ..bert_models import find_minilm
from ..pipelines import BILM, NER_DATA, TRANSFORMER, examples, listener, ner_config

NAME = pretrained.DEFAULT
TEXT = "She sat on the bank of the river. He took his money to the bank."
SMALL = {**DEFAULT_MODEL, "encoder": {**DEFAULT_MODEL["encoder"], "n_blocks": 2}}

#: A parameter of the encoder.
SOME = "blocks.3.feedforward.outer.weight"


def blank(**config: Any) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config=config)
    return nlp


def shim_of(nlp: Language) -> EmbedderShim:
    return get_shim(nlp.get_pipe("ctxemb").model)


def shipped() -> dict[str, torch.Tensor]:
    return pretrained.load_weights(NAME)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return blank()


def test_vectors_are_there_without_initialising(nlp: Language) -> None:
    doc = nlp(TEXT)
    first, second = (token for token in doc if token.text == "bank")
    assert doc.tensor.shape == (len(doc), 256)
    assert first.similarity(second) < 0.98
    assert torch.equal(shim_of(nlp).embedder.encoder.state_dict()[SOME], shipped()[SOME])


@pytest.mark.parametrize("name", [NAME, "minilm"])
def test_weights_that_are_read_become_the_parameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a copy, which takes as long as reading them."""
    if name == "minilm":
        find_minilm()
    read: dict[str, torch.Tensor] = {}

    def load(name: str) -> dict[str, torch.Tensor]:
        read.update(pretrained.load_weights(name))
        return read

    monkeypatch.setattr("spacy_ctxemb.thinc_model.embedder_shim.load_pretrained", load)
    nlp = blank(pretrained=name)
    nlp("Now.")
    parameters = shim_of(nlp).embedder.encoder.state_dict()
    assert parameters.keys() == read.keys()
    assert all(value.data_ptr() == read[name].data_ptr() for name, value in parameters.items())


def test_similar_texts_have_similar_vectors(nlp: Language) -> None:
    """The teacher gives 0.67 to the first pair, and -0.09 to the second."""
    texts = ["A man is playing a guitar.", "Someone plays an instrument.", "Stocks fell sharply."]
    guitar, instrument, stocks = nlp.pipe(texts)
    assert guitar.similarity(instrument) > guitar.similarity(stocks) + 0.3


def test_case_is_kept(nlp: Language) -> None:
    upper, lower = nlp("He joined Apple")[-1], nlp("He joined apple")[-1]
    assert not np.allclose(upper.vector, lower.vector, atol=0.1)


def test_the_config_says_what_the_model_is(nlp: Language) -> None:
    model = nlp.config["components"]["ctxemb"]["model"]
    assert {part: model[part] for part in DEFAULT_MODEL} == DEFAULT_MODEL
    again = type(nlp).from_config(nlp.config)
    np.testing.assert_array_equal(again(TEXT).tensor, nlp(TEXT).tensor)


@pytest.mark.parametrize("settings", [{}, {"pretrained": NAME}])
def test_a_config_that_the_user_changes_is_of_one_pipeline(
    nlp: Language, settings: dict[str, Any]
) -> None:
    changed = spacy.blank("en")
    changed.add_pipe("ctxemb", config=settings)
    changed.get_pipe_config("ctxemb")["model"]["encoder"]["width"] = 7
    again = spacy.blank("en")
    again.add_pipe("ctxemb", config=settings)
    expected = nlp.get_pipe_config("ctxemb")["model"]
    assert again.get_pipe_config("ctxemb")["model"] == expected


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))]
)
def test_copies_of_a_component_that_is_in_no_pipeline(duplicate: Any) -> None:
    nlp = spacy.blank("en")
    pipe = duplicate(nlp.create_pipe("ctxemb", config={"pretrained": NAME}))
    assert pipe(nlp.make_doc("a bank")).has_vector


def test_nothing_is_read_before_the_first_use() -> None:
    nlp = blank()
    assert not shim_of(nlp).is_materialised
    nlp("Now.")
    assert shim_of(nlp).is_materialised


def test_without_them_there_are_no_weights() -> None:
    with pytest.raises(RuntimeError, match=r"E008.*those of the package are for the default model"):
        blank(pretrained=None)(TEXT)


def test_another_model_goes_without() -> None:
    with pytest.raises(RuntimeError, match="E008"):
        blank(model=SMALL)(TEXT)


def test_weights_that_are_asked_for_must_fit() -> None:
    with pytest.raises(ValueError, match=rf"E012.*'{NAME}' are not for the encoder of 'ctxemb'"):
        blank(model=SMALL, pretrained=NAME)
    with pytest.raises(ValueError, match="E012"):
        blank(model=BILM, pretrained=NAME)


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"n_heads": 8}])
def test_settings_that_shapes_do_not_tell_must_fit_too(settings: dict[str, Any]) -> None:
    encoder = {**DEFAULT_MODEL["encoder"], **settings}
    with pytest.raises(ValueError, match="E012"):
        blank(model={**DEFAULT_MODEL, "encoder": encoder}, pretrained=NAME)


def test_unknown_weights_are_named() -> None:
    with pytest.raises(ValueError, match=r"E011.*'de' .*, but \['en_transformer_sm', 'minilm'\]"):
        blank(pretrained="de")


def test_a_pipeline_with_weights_that_shipped_once_can_be_loaded(tmp_path: Path) -> None:
    nlp = blank(model=BILM, pretrained=None)
    nlp.initialize()
    nlp.config["components"]["ctxemb"]["pretrained"] = "en_bilm_sm"
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    np.testing.assert_array_equal(loaded(TEXT).tensor, nlp(TEXT).tensor)
    with pytest.warns(UserWarning, match="W003"):  # as for any weights of its own
        loaded.initialize()


def test_initialising_begins_with_them() -> None:
    nlp, random = blank(), blank(pretrained=None)
    for pipeline in (nlp, random):
        examples = [Example.from_dict(pipeline.make_doc(TEXT), {})]
        pipeline.initialize(lambda examples=examples: examples)
    expected = shipped()
    for name, value in shim_of(nlp).embedder.encoder.state_dict().items():
        assert torch.equal(value, expected[name])
    found = shim_of(random).embedder.encoder.state_dict()
    assert not torch.equal(found[SOME], expected[SOME])
    assert shim_of(nlp).pieces.content != shim_of(random).pieces.content


def test_a_stored_pipeline_has_weights_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = blank()
    nlp.to_disk(tmp_path)
    expected = nlp(TEXT).tensor

    def fail(name: str) -> None:
        raise AssertionError

    monkeypatch.setattr("spacy_ctxemb.thinc_model.embedder_shim.load_pretrained", fail)
    np.testing.assert_array_equal(spacy.load(tmp_path)(TEXT).tensor, expected)
    other = blank()
    other.from_bytes(nlp.to_bytes())
    np.testing.assert_array_equal(other(TEXT).tensor, expected)


def test_a_failed_first_use_leaves_no_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp, expected = blank(), blank()(TEXT).tensor

    def fail(name: str) -> None:
        raise OSError("no such disk")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no such disk"):
        patch.setattr("spacy_ctxemb.thinc_model.embedder_shim.load_pretrained", fail)
        nlp(TEXT)
    np.testing.assert_array_equal(nlp(TEXT).tensor, expected)


def test_weights_that_were_first_used_in_inference_mode_can_be_trained() -> None:
    nlp = blank()
    with torch.inference_mode():
        nlp(TEXT)
    model = nlp.get_pipe("ctxemb").model
    docs = [nlp.make_doc(TEXT)]
    vectors, backprop = model.begin_update(docs)
    backprop([np.ones_like(vectors[0])])
    assert shim_of(nlp).embedder.encoder.piece_embedding.weight.grad is not None


def test_it_learns_with_a_task() -> None:
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config({**listener(), "width": 256}))
    optimizer = nlp.initialize(lambda: examples(nlp, NER_DATA))
    for _ in range(2):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    assert not torch.equal(shim_of(nlp).embedder.encoder.state_dict()[SOME], shipped()[SOME])


def test_other_languages_go_without(caplog: pytest.LogCaptureFixture) -> None:
    """They learn a vocabulary from the examples, and begin with random weights."""
    nlp = spacy.blank("de")
    nlp.add_pipe("ctxemb")
    with pytest.raises(RuntimeError, match="E008"):
        nlp("Ein Satz.")
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("Ein Satz."), {})])
    assert "[W002] 'ctxemb' begins with random weights" in caplog.text
    assert nlp("Ein Satz.").tensor.shape == (3, 256)
    assert shim_of(nlp).pieces.n_trained < 1000


def test_other_languages_have_them_by_name() -> None:
    nlp = spacy.blank("de")
    nlp.add_pipe("ctxemb", config={"pretrained": NAME})
    np.testing.assert_array_equal(nlp("a bank").tensor, blank()("a bank").tensor)


def test_random_numbers_stay_as_they_are() -> None:
    nlp = blank()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    nlp(TEXT)
    assert torch.equal(torch.rand(3), expected)


def test_threads_wait_for_weights() -> None:
    expected = blank()(TEXT).tensor
    nlp = blank()
    with ThreadPoolExecutor(4) as threads:
        for doc in threads.map(nlp, [TEXT] * 8):
            np.testing.assert_array_equal(doc.tensor, expected)


def test_worker_processes_have_them() -> None:
    docs = list(blank().pipe([TEXT] * 4, n_process=2, batch_size=2))
    np.testing.assert_allclose(docs[3].tensor, blank()(TEXT).tensor, atol=1e-6)


def test_files_are_small_and_fit_the_default_model() -> None:
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 16e6
    stored = load_file(pretrained.FOLDER / pretrained.WEIGHTS)
    assert stored["piece_embedding.weight"].dtype == torch.int8
    settings = {k: v for k, v in DEFAULT_MODEL["encoder"].items() if k[0] != "@"}
    with torch.device("meta"):
        encoder = TransformerEncoder(**settings)
    shapes = {name: value.shape for name, value in encoder.state_dict().items()}
    assert {name: value.shape for name, value in shipped().items()} == shapes
    assert all(bool(torch.isfinite(tensor).all()) for tensor in shipped().values())
    assert (pretrained.FOLDER / "README.md").is_file()


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1))
def test_eight_bits_lose_little(rows: list[list[float]]) -> None:
    tensor = torch.tensor(rows)
    found = unpack(pack({"a": tensor, "b": torch.tensor([0.5])}))
    bound = tensor.abs().amax(dim=1, keepdim=True) / 254 * 1.001 + 1e-9
    assert bool(((found["a"] - tensor).abs() <= bound).all())
    assert found["b"].tolist() == [0.5]


def test_unpacked_weights_have_memory_of_their_own() -> None:
    """A file is mapped, and would change with its weights; or they with it."""
    packed = pack({"a": torch.ones(2, 3), "b": torch.ones(2)}) | {"c": torch.ones(2)}
    before = copy.deepcopy(packed)
    for tensor in unpack(packed).values():
        tensor.zero_()
    assert all(torch.equal(packed[name], value) for name, value in before.items())


class TestDamagedInstallation:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of the weights, in the place of those of the package."""
        shutil.copytree(pretrained.FOLDER, tmp_path / NAME)
        monkeypatch.setattr(pretrained, "FOLDER", tmp_path / NAME)
        return tmp_path / NAME

    @pytest.mark.parametrize("name", [pretrained.WEIGHTS, pretrained.VOCABULARY])
    @pytest.mark.parametrize(
        "content, reason",
        [
            (None, "it is not there. Install spacy-ctxemb again"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "it is a pointer of Git LFS, .* pull`",
            ),
            (b"\xff{", "."),
        ],
        ids=["lost", "pointer", "cut"],
    )
    def test_its_file_is_named_at_the_first_use(
        self, name: str, content: bytes | None, reason: str, folder: Path
    ) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        nlp = blank()
        message = rf"\[E163\] {re.escape(str(folder / name))} cannot be read as .*: {reason}"
        with pytest.raises(ValueError, match=message):
            nlp("Now.")
        assert not shim_of(nlp).is_materialised

    def test_other_encoders_do_without(self, folder: Path) -> None:
        shutil.rmtree(folder)
        assert not shim_of(blank(model=TRANSFORMER)).pretrained


@pytest.mark.parametrize("module", ["encoder", "mix"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_loading_that_is_interrupted_begins_anew(
    module: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the values of the encoder are there, or those of the mix too."""
    nlp = blank()
    shim = shim_of(nlp)
    part = getattr(shim.embedder, module)
    name = "load_state_dict" if module == "encoder" else "reset_parameters"
    call, n_calls = getattr(part, name), 0

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        result = call(*args, **kwargs)
        if n_calls == 1:
            raise kind
        return result

    monkeypatch.setattr(part, name, interrupt)
    with pytest.raises(kind):
        nlp(TEXT)
    assert all(parameter.is_meta for parameter in shim.embedder.parameters())
    np.testing.assert_allclose(nlp(TEXT).tensor, blank()(TEXT).tensor, atol=1e-5)


def test_loading_over_weights_that_is_interrupted_leaves_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nlp = blank()
    before, shim = nlp(TEXT).tensor, shim_of(nlp)
    data = {name: value * 2 for name, value in shipped().items()}
    layer = shim.embedder.encoder.blocks[0].feedforward.outer
    load, n_calls = layer._load_from_state_dict, 0

    def interrupt(*args: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        load(*args)
        if n_calls == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(layer, "_load_from_state_dict", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shim.load_encoder(data)
    np.testing.assert_allclose(nlp(TEXT).tensor, before, atol=1e-6)
