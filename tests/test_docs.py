"""README.md and docs/: what they show works, links lead somewhere, generated pages are fresh."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_ctxemb.doctor import check_first_step

from .bert_models import FAMILIES
from .cli.command import run_well
from .docs.commands import check_command
from .docs.excerpts import check_section, complete, walk
from .docs.generate import GENERATED
from .docs.pages import (
    DOCS,
    README,
    Block,
    list_anchors,
    list_blocks,
    list_command_lines,
    list_links,
    list_pages,
    read_excerpt,
)
from .docs.reference import write_reference
from .elmo_models import write_model
from .pipelines import BILM, NER_DATA, examples, initialised
from .remote.hub import Hub, point_at
from .test_imports import MAY_IMPORT, PACKAGE

PAGES = list_pages()


def name_block(block: Block) -> str:
    return f"{block.page}: {block.name or block.text.splitlines()[0]}"


# Generated pages


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_fresh(name: str) -> None:
    stored = (DOCS / name).read_text(encoding="utf8")
    assert stored == GENERATED[name](), "run `python -m tests.docs.generate`"


def test_the_reference_describes_every_setting() -> None:
    settings, _ = write_reference().split("\n## Commands\n")
    assert not re.findall(r"^\| (`\w+`) .*\|\s*\|$", settings, re.MULTILINE)


# Links


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in list_links(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{path.name} points at {link}"
        assert not anchor or anchor in list_anchors(target), f"{path.name} points at {link}"


def test_every_page_is_in_the_readme_and_the_index() -> None:
    names = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    assert {Path(link).name for link in list_links(README) if link.endswith(".md")} == names
    assert {link for link in list_links(DOCS / "index.md")} == names


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf8").splitlines()) <= 200


# The design


def test_the_tree_has_every_folder() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf8")
    named = re.findall(r"^\| `([\w/]+/|\w+\.py)` \|", text, re.MULTILINE)
    folders = [f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("*/__init__.py")]
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert sorted(named) == sorted([*folders, *files])


def test_the_way_of_a_doc_has_files_that_exist() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf8")
    section = text.split("## The way of a Doc")[1].split("\n## ")[0]
    paths = re.findall(r"`([\w/]+\.py)`", section)
    assert len(paths) > 12
    assert all((PACKAGE / path).is_file() for path in paths)


def test_the_list_of_imports_is_that_of_the_rules() -> None:
    """Who may import whom: none may import what stands lower."""
    text = (DOCS / "design.md").read_text(encoding="utf8")
    section = text.split("## Who may import whom")[1].split("\n## ")[0]
    lines = re.findall(r"^\d+\. (.*)$", section, re.MULTILINE)
    places = {name: i for i, line in enumerate(lines) for name in re.findall(r"`(\w+)`", line)}
    assert set(places) == set(MAY_IMPORT) - {"__init__"}
    for folder in set(places) - {"pretrained"}:
        own = {name[1:] for name in MAY_IMPORT[folder] if name[:1] == "." and name != "."}
        assert all(places[name] < places[folder] for name in own), folder


# Excerpts of configs


@pytest.mark.parametrize("block", list_blocks("ini"), ids=name_block)
def test_excerpts_of_configs_load(block: Block) -> None:
    """Each has its sections, and gives what it names settings that these have."""
    config = Config().from_str(complete(block.text), interpolate=False)
    n_checked = sum(check_section(section) for section in walk(config))
    assert n_checked or not re.search(r"^(@|factory)", block.text, re.MULTILINE)


def test_the_first_training_begins_with_the_english_weights() -> None:
    config = Config().from_str(read_excerpt("train"))
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    own = spacy.blank("en")
    own.add_pipe("ctxemb")
    text = "She sat on the bank of the river."
    found = nlp.get_pipe("ctxemb")(nlp.make_doc(text)).tensor
    np.testing.assert_array_equal(found, own(text).tensor)
    assert config["components"]["ner"]["model"]["tok2vec"]["width"] == found.shape[1]


# Command lines


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=f"{page}: {' '.join(words)}") for page, words in list_command_lines()],
)
def test_commands_and_their_options_exist(words: list[str]) -> None:
    check_command(words)


def test_every_page_with_commands_is_read() -> None:
    """Guards the parser."""
    assert len(list(list_command_lines())) > 40
    with pytest.raises(AssertionError, match="no option --no"):
        check_command("python -m spacy ctxemb doctor config.cfg --no 3".split())
    with pytest.raises(AssertionError, match="no command 'nothing'"):
        check_command("python -m spacy ctxemb nothing".split())


# Python


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the published models and the corpora that the pages name, all of them tiny."""
    folder = tmp_path_factory.mktemp("downloads")
    shutil.copytree(FAMILIES / "bert", folder / "all-MiniLM-L6-v2")
    write_model(folder)
    nlp = spacy.blank("en")
    for name in ("train", "dev"):
        docs = [example.reference for example in examples(nlp, NER_DATA)]
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    return folder


@pytest.fixture(scope="module")
def workshop(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pipelines that Python on the pages loads."""
    folder = tmp_path_factory.mktemp("workshop")
    options, weights = downloads / "options.json", downloads / "weights.hdf5"
    run_well("import", "elmo", options, weights, folder / "elmo")
    run_well("import", "bert", downloads / "all-MiniLM-L6-v2", folder / "minilm")
    initialised(BILM).to_disk(folder / "pipeline")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on loopback with a tiny model under the name that the pages have."""
    with Hub() as hub:
        hub.add("sentence-transformers/all-MiniLM-L6-v2", FAMILIES / "bert")
        point_at(hub, tmp_path, monkeypatch)
        yield hub


def adapt(text: str) -> str:
    """A block with the width of the tiny model in place of MiniLM's."""
    return text.replace('"width": 384', '"width": 12')


@pytest.mark.filterwarnings("ignore:.*W109")  # as docs/vectors.md says
@pytest.mark.parametrize("page", sorted({block.page for block in list_blocks("python")}))
def test_python_prints_what_is_said(
    page: str,
    workshop: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All blocks of a page run in turn; `print(...)  # X; remark` prints X."""
    monkeypatch.chdir(workshop)
    names: dict[str, Any] = {"examples": examples(spacy.blank("en"), NER_DATA)}
    for block in list_blocks("python"):
        if block.page == page:
            exec(compile(adapt(block.text), f"{page}", "exec"), names)
            printed = capsys.readouterr().out.splitlines()
            for found, expected in zip(printed, list_expected(block.text), strict=True):
                assert expected is None or found == expected


def list_expected(text: str) -> Iterator[str | None]:
    """What each line that prints is said to print, or None."""
    for line in text.splitlines():
        if line.startswith("print("):
            said = line.partition("  # ")[2].partition("; ")[0]
            yield said or None


# The three commands


def test_three_commands_train_ner(
    downloads: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the README; spaCy's own command takes two steps, and all run in this process."""
    monkeypatch.setattr(check_first_step, "run_in_process", run_first_step_here)
    monkeypatch.chdir(downloads)
    n_trained = 0
    for page, words in list_command_lines():
        if page == "README.md" and words[:4] == ["python", "-m", "spacy", "ctxemb"]:
            run_well(*words[4:])
        elif page == "README.md" and words[:4] == ["python", "-m", "spacy", "train"]:
            train(words[4:])
            n_trained += 1
    assert n_trained == 2


def run_first_step_here(folder: Path, n_docs: int, gpu_id: int) -> Any:
    """What the doctor measures in another process, whose start would take most of the time."""
    check_first_step.write_result(folder, n_docs, gpu_id)
    return srsly.read_json(folder / check_first_step.RESULT)


def train(words: list[str]) -> None:
    """`spacy train CONFIG --output DIR --paths.train FILE ...`, two steps of it."""
    options = dict(zip(words[1::2], words[2::2], strict=True))
    output = options.pop("--output")
    overrides: dict[str, Any] = {name.removeprefix("--"): v for name, v in options.items()}
    overrides |= {"training.max_steps": 2, "training.eval_frequency": 2}
    spacy_train(words[0], output, overrides=overrides)
    assert isinstance(spacy.load(Path(output) / "model-last"), Language)
