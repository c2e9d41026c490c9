"""Corpora, labels and steps."""

from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli.train import train
from spacy.tokens import DocBin

from spacy_ctxemb.doctor.check_labels import check_labels
from spacy_ctxemb.doctor.check_number_of_steps import check_number_of_steps, plan_steps
from spacy_ctxemb.doctor.findings import Level
from spacy_ctxemb.doctor.read_samples import check_repeated_texts, read_samples

from ..annotated import write_corpus
from .configs import (
    TEXTS,
    build_config,
    build_plan,
    embedder,
    errors,
    messages,
    warnings,
    write_texts,
)


def write_both(folder: Path, dev: list[str] | None = None) -> dict[str, str]:
    texts = {"train": TEXTS, "dev": dev or [f"{text} Yes." for text in TEXTS[:6]]}
    return {name: write_texts(folder / f"{name}.spacy", found) for name, found in texts.items()}


def test_how_much_there_is(tmp_path: Path) -> None:
    plan = build_plan(corpora=write_both(tmp_path))
    samples, findings = read_samples(plan, 0)
    assert messages(findings, Level.ok)[1].startswith("dev: 6 documents, ")
    assert [doc.text for doc in samples["train"].docs] == TEXTS
    samples, findings = read_samples(plan, 10)
    assert messages(findings, Level.ok)[0].startswith("train: 10 documents, the first of about 24")
    assert (samples["train"].n_docs, samples["train"].is_whole) == (24, False)
    assert (samples["dev"].n_docs, samples["dev"].is_whole) == (6, True)


def test_corpora_that_cannot_be_read(tmp_path: Path) -> None:
    empty = write_texts(tmp_path / "empty.spacy", [])
    plan = build_plan(corpora={"train": str(tmp_path / "nothing.spacy"), "dev": empty})
    samples, findings = read_samples(plan, 0)
    first, second = errors(findings)
    assert first.startswith("corpora.train cannot be read: ") and not samples
    assert second == "corpora.dev has no documents."


def test_texts_in_both_corpora(tmp_path: Path) -> None:
    def find(dev: list[str]) -> list[str]:
        plan = build_plan(corpora=write_both(tmp_path, dev))
        return warnings(check_repeated_texts(read_samples(plan, 0)[0]))

    assert find(["New.", "Newer."]) == []
    assert find([TEXTS[3], "New."]) == [
        f"1 of 2 texts of dev are in train too, say {TEXTS[3][:40]!r}."
    ]
    assert find([*[f"This text is new, number {i}." for i in range(30)], "3 ."]) == []
    assert find(["New.", "New.", " "]) == [
        "dev: 1 documents are empty.",
        "dev: 1 of 3 texts repeat earlier ones.",
    ]


def test_rare_and_missing_labels(tmp_path: Path) -> None:
    plan = build_plan(corpora=write_both(tmp_path))
    samples, _ = read_samples(plan, 0)
    assert messages(check_labels(plan.parts, samples), Level.ok) == [
        "'textcat': 2 labels, the rarest is nature (12)"
    ]
    samples, _ = read_samples(plan, 3)
    assert warnings(check_labels(plan.parts, samples)) == [
        "'textcat': 2 of 2 labels have fewer than 10 examples in the first 3 documents of train: "
        "money (1), nature (2)."
    ]
    del samples["train"].examples[1:]
    found = warnings(check_labels(plan.parts, samples))
    assert "'textcat': dev has labels that train has not: ['money']." in found


def test_labels_of_every_task(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, limit=40)
    tasks = ["ner", "tagger", "morphologizer", "parser", "senter", "spancat", "textcat"]
    plan = build_plan(
        {"ctxemb": embedder(), **{task: {"factory": task} for task in tasks}},
        corpora={name: paths[f"paths.{name}"] for name in ("train", "dev")},
    )
    samples, _ = read_samples(plan, 0)
    lines = " ".join(one.message for one in check_labels(plan.parts, samples))
    for task, n in (("ner", 4), ("tagger", 3), ("morphologizer", 3), ("parser", 4), ("senter", 1)):
        assert f"'{task}': {n} labels" in lines or f"of {n} labels" in lines
    nlp = spacy.blank("xx")
    docs = DocBin(docs=[nlp.make_doc("Nothing is known of this.")])
    docs.to_disk(tmp_path / "train.spacy")
    samples, _ = read_samples(plan, 0)
    found = errors(check_labels(plan.parts, samples))
    assert [line.split()[0] for line in found] == [f"'{task}'" for task in tasks]
    assert found[0] == "'ner' finds no annotations in train."


def test_steps_are_those_of_training(tmp_path: Path) -> None:
    training = {
        "seed": 0,
        "gpu_allocator": None,
        "max_epochs": 2,
        "max_steps": 0,
        "eval_frequency": 1,
        "batcher": {
            "@batchers": "spacy.batch_by_sequence.v1",
            "size": 5,
        },
        "logger": {
            "@loggers": "spacy.ConsoleLogger.v3",
            "output_file": str(tmp_path / "log.jsonl"),
        },
    }
    config = build_config(corpora=write_both(tmp_path), training=training)
    plan = build_plan(corpora=write_both(tmp_path), training=training)
    sample = read_samples(plan, 0)[0]["train"]
    steps = plan_steps(plan, sample)
    assert (steps.per_epoch, steps.total) == (5, 10)
    assert (
        "About 5 steps an epoch, 10 at most"
        in messages(check_number_of_steps(plan, steps, sample), Level.ok)[0]
    )
    config.to_disk(tmp_path / "config.cfg")
    train(tmp_path / "config.cfg", tmp_path / "out")
    rows = list(srsly.read_jsonl(tmp_path / "log.jsonl"))
    assert [row["epoch"] for row in rows].count(0) == steps.per_epoch
    assert rows[-1]["step"] + 1 == steps.total  # counted from 0
    part = read_samples(plan, 10)[0]["train"]
    assert plan_steps(plan, part).per_epoch == round(2 * 24 / 10)


@pytest.mark.parametrize(
    "training, message",
    [
        ({"max_steps": 0, "patience": 0}, "max_steps, max_epochs and patience are 0"),
        ({"patience": 250, "eval_frequency": 200}, "patience is 250 steps and a score comes every"),
        ({"max_steps": 50, "eval_frequency": 200}, "eval_frequency is 200, but there are 50 steps"),
    ],
)
def test_what_ends_training(training: dict[str, Any], message: str, tmp_path: Path) -> None:
    plan = build_plan(corpora=write_both(tmp_path), training=training)
    sample = read_samples(plan, 0)[0]["train"]
    found = warnings(check_number_of_steps(plan, plan_steps(plan, sample), sample))
    assert any(line.startswith(message) for line in found)


def test_documents_that_the_batcher_leaves_out(tmp_path: Path) -> None:
    def find(size: int) -> tuple[list[str], list[str]]:
        name = "spacy.batch_by_words.v1"
        batcher = {"@batchers": name, "size": size, "discard_oversize": True, "tolerance": 0.0}
        plan = build_plan(corpora=write_both(tmp_path), training={"batcher": batcher})
        sample = read_samples(plan, 0)[0]["train"]
        findings = list(check_number_of_steps(plan, plan_steps(plan, sample), sample))
        return errors(findings), warnings(findings)

    assert find(1) == (["The batcher makes no batch of the training texts."], [])
    nlp = spacy.blank("xx")
    n_long = sum(len(nlp(text)) > 10 for text in TEXTS)
    assert 0 < n_long < 24
    assert find(10)[1][0].startswith(f"The batcher leaves out {n_long} of 24 documents")


def test_labels_that_are_not_known(tmp_path: Path) -> None:
    plan = build_plan(corpora=write_both(tmp_path))
    samples, _ = read_samples(plan, 0)
    samples["train"].examples[0].reference.cats["money"] = None
    assert "2 labels" in messages(check_labels(plan.parts, samples), Level.ok)[0]
