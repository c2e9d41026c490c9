"""The benchmark measures what it says: its texts, and the work it counts for this package."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from ..pipelines import TRANSFORMER, initialised
from .transformer_peers import Ctxemb, Engine, Limit, count_lengths
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


class Stub(Engine):
    """Runs the encoder itself, in padded batches as those programs get them."""

    def load(self, path: str, n_threads: int, precision: str) -> None:
        self.inputs = ["input_ids", "attention_mask"]
        self.compute = self.run_encoder

    def run_encoder(self, given):
        ids, mask = (torch.from_numpy(given[name]) for name in self.inputs)
        with torch.inference_mode():
            top = self.encoder(ids, mask > 0)[-1]
        padded = top.new_full((*ids.shape, top.size(1)), 9.0)
        padded[mask > 0] = top
        return padded.numpy()


def test_engines_get_the_same_pieces(contestant, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tokenizer = Tokenizer.from_str(contestant.pieces.tokenizer.to_str())
    begin, end = (int(i) for i in contestant.pieces.boundaries)
    ends = [(tokenizer.id_to_token(i), i) for i in (begin, end)]
    single = f"{ends[0][0]} $A {ends[1][0]}"
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=ends)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    engine = Stub(str(tmp_path))
    engine.encoder = contestant.network
    expected, found = contestant.pool(TEXTS), engine.pool(TEXTS)
    assert found["pieces"] == expected["pieces"]
    np.testing.assert_allclose(found["all"], expected["all"], rtol=1e-4, atol=1e-5)
    counted = count_lengths(engine, TEXTS)
    assert sorted(counted["lengths"]) == sorted(n + 2 for n in expected["pieces"])
    assert counted["steps"] == len(TEXTS) * max(counted["lengths"])  # padding included
