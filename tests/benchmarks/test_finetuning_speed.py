"""All contestants train on the same batches."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from . import finetuning_speed as speed
from . import finetuning_speed_here as here
from .accuracy_data import DATA_SETS

ROWS = [
    {"text": "Oil rises again.", "label": "Business"},
    {"text": "They won the cup", "label": "Sports"},
]
SENTENCES = ["Ann\tB-person\nRoe\tI-person\nsings\tO", "in\tO\nRome\tB-location"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of each task, of two examples."""
    for name in ("wnut17", "ag_news"):
        DATA_SETS[name].folder(tmp_path).mkdir(parents=True)
    conll = tmp_path / "ner" / "wnut17" / "train.conll"
    conll.write_text("\n\n".join(SENTENCES) + "\n", encoding="utf8")
    with gzip.open(tmp_path / "textcat" / "ag_news" / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    return tmp_path


def make_job(data: Path, name: str, head: str) -> dict[str, Any]:
    data_set = DATA_SETS[name]
    batches = list(speed.cut_batches(speed.read(data_set, data), 1))
    job = {"task": data_set.task, "batches": batches, "rate": 1e-4, "precision": "fp32"}
    return {**job, "head": head, "encoder": None}


def test_batches_have_so_many_words_or_a_little_more(data: Path) -> None:
    examples = list(speed.read(DATA_SETS["wnut17"], data))
    assert examples[0] == {
        "words": ("Ann", "Roe", "sings"),
        "tags": ("B-person", "I-person", "O"),
    }
    batches = list(speed.cut_batches(iter(examples * 2), 4))
    assert [len(batch) for batch in batches] == [2, 2]
    assert speed.count_words(batches) == 10


def test_a_text_has_the_words_of_spacy(data: Path) -> None:
    first, _ = speed.read(DATA_SETS["ag_news"], data)
    assert first == {**ROWS[0], "words": ["Oil", "rises", "again", "."]}


def test_examples_here_have_what_the_data_say(data: Path) -> None:
    job = make_job(data, "wnut17", "linear")
    nlp = here.build(job)
    example = here.make_example(nlp, job["batches"][0][0], set())
    assert [(ent.text, ent.label_) for ent in example.reference.ents] == [("Ann Roe", "person")]
    text = make_job(data, "ag_news", "linear")["batches"][1][0]
    example = here.make_example(nlp, text, {"Business", "Sports"})
    assert example.reference.cats == {"Business": 0.0, "Sports": 1.0}


@pytest.mark.parametrize("name", ["wnut17", "ag_news"])
@pytest.mark.parametrize("head", ["spacy", "linear"])
def test_this_package_trains_all_but_the_first_step_by_the_clock(
    data: Path, name: str, head: str
) -> None:
    found = here.train(make_job(data, name, head))
    assert found["steps"] == 1
    assert found["seconds"] > 0 and found["cpu_seconds"] > 0


@pytest.mark.parametrize("name", ["wnut17", "ag_news"])
def test_the_trainer_gets_the_same_batches(
    data: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    trainer = pytest.importorskip("tests.benchmarks.finetuning_speed_trainer")
    job = make_job(data, name, "linear") | {"encoder": str(write_bert(tmp_path / "bert"))}
    first, second = job["batches"]
    job["batches"] = [first, second * 3, second * 2]
    sizes = []
    train_step = trainer.GivenBatches.training_step

    def note_size(self: Any, model: Any, inputs: dict[str, Any], *arguments: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        return train_step(self, model, inputs, *arguments)

    monkeypatch.setattr(trainer.GivenBatches, "training_step", note_size)
    assert trainer.train(job)["steps"] == 2
    assert sizes == [1, 3, 2]


def test_the_first_piece_of_a_word_has_its_class(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    trainer = pytest.importorskip("tests.benchmarks.finetuning_speed_trainer")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(write_bert(tmp_path / "bert"))
    example = {"words": ["rome", "sings"], "tags": ["B-location", "O"]}
    found = trainer.number(example, tokenizer, ["B-location", "O"], 16)
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == [
        "[CLS]", "rome", "sing", "##s", "[SEP]",
    ]  # fmt: skip
    assert found["labels"] == [-100, 0, 1, -100, -100]


def write_bert(folder: Path) -> Path:
    """A tiny model, and a tokenizer of few words."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rome", "sing", "##s"]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf8")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(words), intermediate_size=8, **sizes)
    BertModel(config).save_pretrained(folder)
    BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def test_the_table_has_medians_of_the_rounds() -> None:
    seconds = [{"seconds": n, "cpu_seconds": n / 2} for n in (1.0, 2.0, 4.0)]
    found = {title: seconds for title in speed.CONTESTANTS}
    rates = speed.summarise(found, 1000)
    row = {"data_set": "wnut17", "encoder": "minilm", "precision": "bf16", "rates": rates}
    expected = "| wnut17 | minilm | bf16 | 500 (1,000) | 500 (1,000) | 500 (1,000) |"
    assert speed.render([row]).endswith(expected)


def test_only_the_trainer_needs_the_exported_encoder() -> None:
    jobs = {title: speed.describe({}, title, speed.EXPORTED) for title in speed.CONTESTANTS}
    assert jobs["ctxemb, linear layer"] == {"head": "linear", "encoder": None}
    assert jobs["Trainer"]["encoder"] == str(speed.EXPORTED.resolve())
    job = speed.describe({}, "ctxemb, spaCy's component", Path("minilm"))
    assert job == {"head": "spacy", "encoder": str(Path("minilm").resolve())}


def test_a_missing_package_of_the_trainer_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"No module named 'accelerate'\" >&2\nexit 1\n")
    python.chmod(0o755)
    message = "No module named 'accelerate'\n.* lacks a package .* torch, transformers, accelerate"
    with pytest.raises(SystemExit, match=message):
        speed.check_packages(str(python))


@pytest.mark.slow
def test_transformers_loads_the_encoder_of_this_package(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path / "new" / "english"
    speed.export_english(folder)
    model = AutoModel.from_pretrained(folder)
    assert model.get_input_embeddings().weight.shape == (40000, 256)
    assert len(AutoTokenizer.from_pretrained(folder)) <= 40000
