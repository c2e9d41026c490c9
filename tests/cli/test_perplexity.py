"""`python -m spacy ctxemb perplexity`"""

import json
import math
from functools import cache
from pathlib import Path

import pytest
import torch
from spacy.util import load_config, load_model_from_config
from torch.nn import functional as F

from ..pretraining import OBJECTIVES, load, pretrain, start, tiny_config, write_text
from .command import run, run_well

#: So many that the perplexity falls by a third.
EPOCHS = {"bilm": 15, "mlm": 30}

#: Held-out text with words that are not in the vocabulary.
HELD_OUT = ["The heron waited for the ferry.", "  ", "A cold fish left Lima.", "She swam."]


@pytest.fixture(scope="module")
def pretrain_once(tmp_path_factory):
    """A directory with a config, weights and held-out text, by objective."""

    @cache
    def pretrain_once(objective):
        directory = tmp_path_factory.mktemp(objective)
        config = tiny_config(objective, directory, pretraining__max_epochs=EPOCHS[objective])
        config.to_disk(directory / "config.cfg")
        pretrain(config, directory)
        write_text(directory / "dev.txt", HELD_OUT)
        return directory

    return pretrain_once


@pytest.fixture(params=OBJECTIVES)
def pretrained(request, pretrain_once):
    """Name of the objective, and its directory."""
    return request.param, pretrain_once(request.param)


@pytest.fixture
def bilm(pretrain_once):
    return pretrain_once("bilm")


def score(directory, tmp_path, *options, weights="model-last.bin", text="dev.txt"):
    """The scores that the command writes."""
    output = tmp_path / "new" / "perplexity.json"
    paths = [directory / "config.cfg", directory / weights, directory / text]
    printed = run_well("perplexity", *paths, "--output", output, "--force", *options)
    scores = json.loads(output.read_text(encoding="utf8"))["perplexity"]
    for name, value in scores.items():
        assert f"perplexity {name}: {value:.2f}" in printed
    return scores


def test_names_of_scores(pretrained, tmp_path):
    objective, directory = pretrained
    names = {"bilm": ["forward", "backward", "mean"], "mlm": ["masked"]}
    assert list(score(directory, tmp_path)) == names[objective]


def test_training_lowers_it(pretrained, tmp_path):
    _, directory = pretrained
    before = score(directory, tmp_path, weights="model0.bin", text="text.txt")
    after = score(directory, tmp_path, text="text.txt")
    assert all(after[name] < 0.7 * before[name] for name in before)


def test_the_same_command_gives_the_same_scores(pretrained, tmp_path):
    _, directory = pretrained
    assert score(directory, tmp_path) == score(directory, tmp_path)


def test_a_uniform_model_has_the_size_of_its_vocabulary(pretrained, tmp_path):
    objective, directory = pretrained
    config = load_config(directory / "config.cfg")
    pretraining = start(config)
    head = pretraining.shim.objective
    encoder = pretraining.shim.embedder.encoder
    weight = encoder.piece_embedding.weight if objective == "mlm" else head.weight
    weight.data.zero_()
    head.bias.data.zero_()
    (directory / "uniform.bin").write_bytes(pretraining.model.get_ref("tok2vec").to_bytes())
    size = len(head.bias)
    assert size == (head.n_pieces if objective == "mlm" else len(head.vocabulary))
    scores = score(directory, tmp_path, weights="uniform.bin")
    assert scores == pytest.approx(dict.fromkeys(scores, size), rel=1e-5)


def test_a_bilm_agrees_with_a_plain_loop(bilm, tmp_path):
    """One document at a time: each word and the end forward, each word and the begin backward."""
    config = load_config(bilm / "config.cfg")
    shim = load(config, bilm / "model-last.bin")
    head, encoder = shim.objective, shim.embedder.encoder
    nlp = load_model_from_config(config)
    forward, backward = [], []
    for text in HELD_OUT:
        words = [token.text for token in nlp.make_doc(text) if not token.is_space]
        if not words:
            continue
        begin, end = shim.pieces.boundaries
        rows = [begin, *shim.pieces.encode_words(words), end]
        ids = torch.tensor([[row.tolist() for row in rows]])
        with torch.inference_mode():
            top = encoder(ids, torch.ones(ids.shape[:2], dtype=torch.bool))[-1]
            logits = [F.linear(half, head.weight, head.bias) for half in top.chunk(2, dim=-1)]
        unknown = head.word_ids["<UNK>"]
        targets = [head.word_ids.get(word, unknown) for word in ["<S>", *words, "</S>"]]
        log_p = [half.log_softmax(dim=-1) for half in logits]
        n = len(targets)
        forward += [float(log_p[0][t, targets[t + 1]]) for t in range(n - 1)]
        backward += [float(log_p[1][t, targets[t - 1]]) for t in range(1, n)]
    expected = {
        "forward": math.exp(-sum(forward) / len(forward)),
        "backward": math.exp(-sum(backward) / len(backward)),
    }
    expected["mean"] = math.sqrt(expected["forward"] * expected["backward"])
    assert score(bilm, tmp_path) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_no_text(text, bilm, tmp_path):
    path = tmp_path / "dev.txt"
    path.write_text(text, encoding="utf8")
    code, output = run("perplexity", bilm / "config.cfg", bilm / "model-last.bin", path)
    assert code == 1
    assert "[E403] There is no text in" in output and "dev.txt. Pass" in output


def test_weights_without_an_objective(bilm, tmp_path):
    config = load_config(bilm / "config.cfg")
    nlp = load_model_from_config(config)
    model = nlp.get_pipe("ctxemb").model
    model.initialize()
    path = tmp_path / "weights.bin"
    path.write_bytes(model.to_bytes())
    code, output = run("perplexity", bilm / "config.cfg", path, bilm / "dev.txt")
    assert code == 1
    assert "[E436]" in output and "weights.bin holds no objective" in output


def test_weights_of_another_config(bilm, tmp_path):
    config = tiny_config("bilm", tmp_path)
    config["components"]["ctxemb"]["model"]["encoder"]["hidden_width"] = 10
    config.to_disk(tmp_path / "config.cfg")
    weights = bilm / "model-last.bin"
    code, output = run("perplexity", tmp_path / "config.cfg", weights, bilm / "dev.txt")
    assert code == 1 and "[E162]" in output and "hidden" in output


def test_paths_that_do_not_exist(bilm):
    paths = [bilm / name for name in ("config.cfg", "model-last.bin", "dev.txt")]
    for i in range(3):
        code, output = run("perplexity", *paths[:i], bilm / "nothing", *paths[i + 1 :])
        assert code == 2
        assert "does not exist" in output


def test_an_interrupted_write_leaves_the_old_scores(bilm, tmp_path, monkeypatch):
    before = score(bilm, tmp_path)

    def fail(self, text, **settings):
        self.write_bytes(b"half")
        raise OSError("disk full")

    output = tmp_path / "new" / "perplexity.json"
    monkeypatch.setattr(Path, "write_text", fail)
    paths = [bilm / name for name in ("config.cfg", "model-last.bin", "text.txt")]
    code, shown = run("perplexity", *paths, "--output", output, "--force")
    assert code == 1 and "[E164]" in shown and "disk full" in shown
    assert json.loads(output.read_text(encoding="utf8"))["perplexity"] == before
    assert [path.name for path in output.parent.iterdir()] == ["perplexity.json"]


def test_text_of_which_no_piece_is_hidden(tmp_path):
    """A perplexity of nothing would look like a perfect one."""
    changes = {"pretraining__max_epochs": 1, "pretraining__objective__share": 0.01}
    config = tiny_config("mlm", tmp_path, **changes)
    config.to_disk(tmp_path / "config.cfg")
    pretrain(config, tmp_path)
    path = write_text(tmp_path / "dev.txt", ["Noon."])
    _, output = run("perplexity", tmp_path / "config.cfg", tmp_path / "model-last.bin", path)
    assert "1.00" not in output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model-last.bin", b"", "[E163]"),
        ("model-last.bin", b"\x80\x04N.", "[E163]"),
        ("dev.txt", "Über".encode("latin-1"), "[E163]"),
        ("config.cfg", b"\xff\xfe", "[E163]"),
    ],
)
def test_files_of_another_kind(name, content, message, bilm, tmp_path):
    for other in ("config.cfg", "model-last.bin", "dev.txt"):
        (tmp_path / other).write_bytes((bilm / other).read_bytes())
    (tmp_path / name).write_bytes(content)
    paths = [tmp_path / other for other in ("config.cfg", "model-last.bin", "dev.txt")]
    code, output = run("perplexity", *paths)
    assert code == 1 and message in output, output


def test_a_component_that_does_not_exist(bilm, tmp_path):
    config = load_config(bilm / "config.cfg")
    config["pretraining"]["component"] = "nobody"
    config.to_disk(tmp_path / "config.cfg")
    paths = [tmp_path / "config.cfg", bilm / "model-last.bin", bilm / "dev.txt"]
    code, output = run("perplexity", *paths)
    assert code == 1 and "[E454]" in output and "nobody" in output
