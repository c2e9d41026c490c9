"""Held-out perplexity is what training logs, and what `ctxemb perplexity` says of sentences."""

import math
from pathlib import Path

import numpy as np
import pytest
import spacy

from spacy_ctxemb.pretraining.progress_log import read_log
from spacy_ctxemb.pretraining.run_from_config import pretrain
from spacy_ctxemb.pretraining.spacy_pretrain_objectives import score_docs

from ..pretraining import TEXT
from ..pretraining.runs import tiny_run, write_documents
from .heldout_perplexity import evaluate
from .pretrained_runs import Run, get_shim, load_bilm


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    config = tiny_run(
        write_documents(folder),
        pretrain__max_steps=3,
        pretrain__eval_every=3,
        pretrain__checkpoint_every=3,
        pretrain__objective__carries_state=True,
    )
    pretrain(config, folder, resume=False)
    return Run(folder)


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_with_carried_states_it_is_what_training_logs(run: Run, kind: str) -> None:
    weights = None if kind == "model" else run.folder / "checkpoints" / "step-00000003"
    found = evaluate(load_bilm(run, weights, run.held_out), carries_state=True)
    logged = read_log(run.folder / "log.jsonl")[-1]["scores"]
    for name, (nll, n) in found.items():
        assert math.exp(nll / n) == pytest.approx(logged[f"perplexity_{name}"], rel=1e-6)


def test_sentences_are_scored_as_pipelines_read_them(run: Run) -> None:
    """The package's other way to the same number: windows of the pipeline's Docs."""
    found = evaluate(load_bilm(run, None, run.held_out), carries_state=False)
    nlp = run.load_nlp()
    store = run.held_out
    words = [store.types[i] for i in store.ids]
    starts = np.concatenate([[0], store.sentence_ends[:-1]])
    docs = [
        spacy.tokens.Doc(nlp.vocab, words=words[start:end])
        for start, end in zip(starts, store.sentence_ends, strict=True)
    ]
    assert {len(doc) for doc in docs} == {len(nlp.make_doc(text)) for text in TEXT}
    expected = score_docs(get_shim(nlp, "ctxemb"), docs, np.random.default_rng(0), is_train=False)
    assert found.keys() == expected.keys() == {"forward", "backward"}
    for name, (nll, n) in expected.items():
        assert found[name] == (pytest.approx(nll, rel=1e-5), n)


def test_weights_default_to_the_last_there_are(run: Run, tmp_path: Path) -> None:
    assert run.find_weights() == run.folder / "model-last.bin"
    for name in ("step-00000009", "step-00000010", "step-00000011.tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    unfinished = object.__new__(Run)
    unfinished.folder = tmp_path
    assert unfinished.find_weights().name == "step-00000010"
