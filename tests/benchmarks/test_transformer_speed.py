"""The benchmark measures what it says: its texts, and the work it counts for this package."""

import numpy as np
import pytest
import torch

from ..pipelines import TRANSFORMER, initialised
from .transformer_peers import Ctxemb, Limit, count_lengths
from .transformer_texts import read_sets

TEXTS = ["Ada Lovelace lives in Oslo.", "We met Grace yesterday."]


@pytest.fixture
def contestant(tmp_path):
    mix = {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1}
    initialised({**TRANSFORMER, "mix": mix}).to_disk(tmp_path / "pipeline")
    return Ctxemb(str(tmp_path / "pipeline"), precision="fp32")


def test_the_work_is_all_pieces_and_two_boundaries(contestant):
    counted = count_lengths(contestant, TEXTS)
    pieces = contestant.pool(TEXTS)["pieces"]
    assert sorted(counted["lengths"]) == sorted(n + 2 for n in pieces)
    assert counted["steps"] == sum(counted["lengths"])  # no padding
    assert "forward" not in vars(contestant.network)


def test_vectors_are_means_of_the_last_layer(contestant):
    for text, found in zip(TEXTS, contestant.pool(TEXTS)["all"], strict=True):
        assert np.linalg.norm(found) != pytest.approx(1)  # as in the other packages
        np.testing.assert_allclose(found, contestant.nlp(text).vector, rtol=1e-5, atol=1e-6)


def test_short_documents_have_three_sentences_at_most(tmp_path):
    words = " ".join(["word"] * 99)
    docs = ["\n".join(f"{words} {d}.{i}" for i in range(12)) for d in range(4)]
    (tmp_path / "text.txt").write_text("\n\n".join(docs), encoding="utf8")
    sets = read_sets(tmp_path, words=2500)
    assert {len(doc.split()) for doc in sets["short"]} == {100, 200, 300}
    assert sum(len(doc.split()) for doc in sets["short"][:-1]) < 2500
    assert [len(doc.split()) for doc in sets["long"]] == [1000, 1200, 1200]


def test_a_text_without_long_documents_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("One sentence.\n", encoding="utf8")
    with pytest.raises(SystemExit, match="no long documents in .*text.txt"):
        read_sets(tmp_path / "text.txt", words=100)


def test_limits_are_measured_on_cpus_without_bf16_instructions(monkeypatch):
    def refuse(*args):
        raise RuntimeError("bf16 path needs the cpu support")

    # oneDNN says so, and refuses the product, on CPUs that have AVX2 alone.
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    limit = Limit("", [(8, 16)])
    assert limit.measure_type(torch.bfloat16) > 0
    with pytest.raises(RuntimeError, match="bf16 path"):  # fp32 is not spared from oneDNN's
        limit.measure_type(torch.float32)
