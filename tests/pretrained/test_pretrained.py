"""The weights that ship with the package."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.language import Language
from spacy.training import Example

from spacy_ctxemb import pretrained
from spacy_ctxemb.factory import DEFAULT_MODEL
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim, get_shim

from ..pipelines import TRANSFORMER

TEXT = "She sat on the bank of the river. He took his money to the bank."
SMALL = {**DEFAULT_MODEL, "encoder": {**DEFAULT_MODEL["encoder"], "hidden_width": 64}}


def blank(**config: Any) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ctxemb", config=config)
    return nlp


def shim_of(nlp: Language) -> EmbedderShim:
    return get_shim(nlp.get_pipe("ctxemb").model)


def shipped() -> dict[str, torch.Tensor]:
    return pretrained.load_weights(pretrained.DEFAULT)


def test_vectors_are_there_without_initialising() -> None:
    nlp = blank()
    doc = nlp(TEXT)
    first, second = (token for token in doc if token.text == "bank")
    assert doc.tensor.shape == (len(doc), 256)
    assert first.similarity(second) < 0.9
    assert torch.equal(
        shim_of(nlp).embedder.encoder.state_dict()["directions.0.0.bias"],
        shipped()["directions.0.0.bias"],
    )


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
    with pytest.raises(ValueError, match=r"E012.*'en_bilm_sm' are not for the encoder of 'ctxemb'"):
        blank(model=SMALL, pretrained="en_bilm_sm")


def test_settings_that_shapes_do_not_tell_must_fit_too() -> None:
    encoder = {**DEFAULT_MODEL["encoder"], "activation": "tanh"}
    with pytest.raises(ValueError, match="E012"):
        blank(model={**DEFAULT_MODEL, "encoder": encoder}, pretrained="en_bilm_sm")


def test_unknown_weights_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"E011.*'de_bilm' .*, but \['en_bilm_sm', 'en_transformer_sm', 'minilm'\]"
    ):
        blank(pretrained="de_bilm")


def test_initialising_begins_with_them() -> None:
    nlp, random = blank(), blank(pretrained=None)
    for pipeline in (nlp, random):
        examples = [Example.from_dict(pipeline.make_doc(TEXT), {})]
        pipeline.initialize(lambda examples=examples: examples)
    expected = shipped()
    for name, value in shim_of(nlp).embedder.encoder.state_dict().items():
        assert torch.equal(value, expected[name])
    found = shim_of(random).embedder.encoder.state_dict()
    assert not torch.equal(
        found["directions.0.0.weight_input"], expected["directions.0.0.weight_input"]
    )


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
    assert shim_of(nlp).embedder.encoder.directions[0][0].bias.grad is not None


def test_other_languages_go_without() -> None:
    nlp = spacy.blank("de")
    nlp.add_pipe("ctxemb")
    with pytest.raises(RuntimeError, match="E008"):
        nlp("Ein Satz.")


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
    folder = pretrained.find_folder(pretrained.DEFAULT)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16e6
    stored = load_file(folder / pretrained.WEIGHTS)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in stored.values())
    encoder = pretrained.read_model(pretrained.DEFAULT)["encoder"]
    assert DEFAULT_MODEL["encoder"].items() <= encoder.items()
    assert (folder / "README.md").is_file()


class TestDamagedInstallation:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A copy of the weights, in the place of those of the package."""
        shutil.copytree(pretrained.find_folder(pretrained.DEFAULT), tmp_path / pretrained.DEFAULT)
        monkeypatch.setattr(pretrained, "ROOT", tmp_path)
        forget()
        yield tmp_path / pretrained.DEFAULT
        forget()

    @pytest.mark.parametrize("name", [pretrained.WEIGHTS, pretrained.MODEL])
    @pytest.mark.parametrize(
        "content, reason",
        [
            (None, "it is not there. Install spacy-ctxemb again"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "it is a pointer of Git LFS, .* pull`",
            ),
            (b"{", "."),
        ],
        ids=["lost", "pointer", "cut"],
    )
    def test_its_file_is_named(
        self, name: str, content: bytes | None, reason: str, folder: Path
    ) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        message = rf"\[E163\] {re.escape(str(folder / name))} cannot be read as .*: {reason}"
        with pytest.raises(ValueError, match=message):
            blank()
        with pytest.raises(ValueError, match=message):
            blank(pretrained=pretrained.DEFAULT)

    def test_weights_that_were_cut_are_named_at_the_first_use(self, folder: Path) -> None:
        nlp = blank()
        path = folder / pretrained.WEIGHTS
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match=r"\[E163\] .*weights of the package: .* Install"):
            nlp("Now.")

    def test_other_encoders_do_without(self, folder: Path) -> None:
        shutil.rmtree(folder)
        assert not shim_of(blank(model=TRANSFORMER)).pretrained


def forget() -> None:
    """Let what was read of the files be read again."""
    pretrained.read_model.cache_clear()
    pretrained.read_shapes.cache_clear()


@pytest.mark.parametrize("function", ["reset_parameters", "load_state_dict", "to_empty"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_loading_that_is_interrupted_begins_anew(
    function: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = blank()
    shim = shim_of(nlp)
    module = shim.embedder.encoder if function == "load_state_dict" else shim.embedder
    call, n_calls = getattr(module, function), 0

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        result = call(*args, **kwargs)
        if n_calls == 1:
            raise kind
        return result

    monkeypatch.setattr(module, function, interrupt)
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
    layer = shim.embedder.encoder.directions[0][0]
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
