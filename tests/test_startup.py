"""What spaCy loads because this package is installed: next to nothing."""

import json
import subprocess
import sys

import pytest

#: Needed by some commands and by working pipelines, never by the start of spaCy.
HEAVY = {"tokenizers", "safetensors", "h5py", "matplotlib"}


def load_modules(code):
    """The modules that are loaded once some code has run in a fresh process."""
    code += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def own(modules):
    return {name for name in modules if name.split(".")[0] == "spacy_ctxemb"}


def packages(modules):
    return {name.split(".")[0] for name in modules}


@pytest.fixture(scope="module")
def blank():
    return load_modules("import spacy\nspacy.blank('en').add_pipe('sentencizer')")


@pytest.fixture(scope="module")
def commands():
    return load_modules(
        "import spacy.cli\nfrom spacy.util import registry\n"
        "assert 'ctxemb' in registry.cli.get_all()"
    )


def test_a_pipeline_without_the_component_loads_its_factory_alone(blank):
    assert own(blank) == {"spacy_ctxemb", "spacy_ctxemb.factory"}
    assert not packages(blank) & (HEAVY | {"jinja2"})


def test_commands_load_files_of_commands_alone(commands):
    light = {"spacy_ctxemb", "spacy_ctxemb.report", "spacy_ctxemb.report.sections"}
    names = {name for name in own(commands) if not name.startswith("spacy_ctxemb.cli")}
    assert names <= light | {name for name in names if name.startswith("spacy_ctxemb.report.")}
    assert not packages(commands) & HEAVY


def test_commands_load_no_more_of_jinja_than_spacy_does(commands):
    """`spacy init config` is a template, so spaCy's own commands load Jinja."""
    without = load_modules("import spacy.cli")
    assert packages(commands) & {"jinja2"} == packages(without) & {"jinja2"}
    assert packages(commands) - packages(without) <= {"spacy_ctxemb"} | packages_of_spacy_cli()
