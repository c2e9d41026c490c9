"""`python -m spacy ctxemb annotate`"""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import fix_random_seed

from .command import run, run_well

TEXTS = ["Rates rose at the bank.", "Otters slept on the bank."]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Tells two texts apart that it has learned by heart."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    cats = [{"money": 1.0, "nature": 0.0}, {"money": 0.0, "nature": 1.0}]
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": found})
        for text, found in zip(TEXTS, cats, strict=True)
    ]
    nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples)
    path = tmp_path_factory.mktemp("trained") / "pipeline"
    nlp.to_disk(path)
    return path


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def read_docs(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_labels(pipeline, texts, tmp_path):
    output = run_well("annotate", pipeline, texts, tmp_path / "silver.spacy", "--min-score", "0.6")
    assert "Labelled 2 of 2 texts" in output
    docs = read_docs(tmp_path / "silver.spacy")
    assert [doc.text for doc in docs] == TEXTS
    assert [doc.cats for doc in docs] == [
        {"money": 1.0, "nature": 0.0},
        {"money": 0.0, "nature": 1.0},
    ]


def test_some_of_the_texts(pipeline, texts, tmp_path):
    run_well("annotate", pipeline, texts, tmp_path / "silver.spacy", "--limit", "1")
    assert [doc.text for doc in read_docs(tmp_path / "silver.spacy")] == TEXTS[:1]


def test_texts_of_which_it_is_not_sure(pipeline, texts, tmp_path):
    output = run_well("annotate", pipeline, texts, tmp_path / "silver.spacy", "--min-score", "1")
    assert "Labelled 0 of 2 texts" in output
    assert "Pass a lower --min-score" in output


def test_a_file_that_is_there(pipeline, texts, tmp_path):
    output = tmp_path / "silver.spacy"
    output.write_bytes(b"mine")
    code, message = run("annotate", pipeline, texts, output)
    assert code == 1 and "E510" in message
    assert output.read_bytes() == b"mine"
    run_well("annotate", pipeline, texts, output, "--force")
    assert len(read_docs(output)) == 2


def test_text_that_is_not_there(pipeline, tmp_path):
    code, message = run("annotate", pipeline, tmp_path / "no.txt", tmp_path / "silver.spacy")
    assert code == 1 and "E402" in message
    assert not (tmp_path / "silver.spacy").exists()
