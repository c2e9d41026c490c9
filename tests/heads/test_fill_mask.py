"""The component `ctxemb_fill_mask`, against what transformers computes. Needs that package."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
import torch

from spacy_ctxemb.heads.fill_mask import fill_mask

from .published import NAMES, build_pipeline, save

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

TEXT = "The bank of the river was steep."


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """transformers warns of its own future."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = save(name, "masked", tmp_path / "model")
    nlp = build_pipeline(tmp_path / "model")
    found = fill_mask(nlp, nlp.make_doc(TEXT), 4, 5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = tokenizer(TEXT.replace("river", tokenizer.mask_token), return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.inference_mode():
        scores = model(**inputs).logits[0, place].softmax(dim=0).topk(5)
    assert [score for _, score in found] == pytest.approx(scores.values.tolist(), rel=1e-4)
    texts = [tokenizer.decode([piece]).strip() for piece in scores.indices]
    assert [text for text, _ in found] == texts


@pytest.mark.parametrize("tied", [True, False])
def test_the_table_of_pieces_is_stored_once(tied: bool, tmp_path: Path) -> None:
    save("bert", "masked", tmp_path / "model", tie_word_embeddings=tied)
    nlp = build_pipeline(tmp_path / "model")
    pipe = nlp.get_pipe("ctxemb_fill_mask")
    assert ("output.weight" in pipe.get_tensors()) is not tied
    expected = fill_mask(nlp, nlp.make_doc(TEXT), 4)
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert fill_mask(loaded, nlp.make_doc(TEXT), 4) == expected


def test_long_texts(tmp_path: Path) -> None:
    save("bert", "masked", tmp_path / "model")
    nlp = build_pipeline(tmp_path / "model")
    doc = nlp.make_doc("river " * 900)
    for i in (0, 450, -1):
        assert len(fill_mask(nlp, doc, i)) == 5


def test_what_cannot_be_filled(tmp_path: Path) -> None:
    save("bert", "masked", tmp_path / "model")
    nlp = build_pipeline(tmp_path / "model")
    for i in (8, -9):
        with pytest.raises(ValueError, match=rf"\[E383\] There is no token {i} in a Doc of 8"):
            fill_mask(nlp, nlp.make_doc(TEXT), i)
    blank = spacy.blank("en")
    with pytest.raises(ValueError, match=r"\[E386\] 'ctxemb_fill_mask' has no head"):
        fill_mask(blank, nlp.make_doc(TEXT), 0)
