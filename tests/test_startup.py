"""What spaCy loads because this package is installed: next to nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_ctxemb

COMMANDS = Path(spacy_ctxemb.__file__).parent / "cli"

#: Needed by some commands and by working pipelines, never by the start of spaCy.
HEAVY = {"tokenizers", "safetensors", "h5py", "matplotlib", "jinja2", "torch"}


def load_modules(*statements):
    """The modules that are loaded after each statement, in a fresh process."""
    show = "\nprint(json.dumps(sorted(sys.modules)))\n"
    code = "import json, sys\n" + show.join([*statements, ""])
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return [set(json.loads(line)) for line in result.stdout.splitlines()]


def own(modules):
    return {name for name in modules if name.split(".")[0] == "spacy_ctxemb"}


def packages(modules):
    return {name.split(".")[0] for name in modules}


#: Before spaCy looks for its plugins, and after. Thinc loads h5py where it is installed, and
#: spaCy's commands load Jinja, so that the difference counts.
STARTS = {
    "pipeline": ("import spacy", "spacy.blank('en').add_pipe('sentencizer')"),
    "commands": (
        "import spacy.cli",
        "from spacy.util import registry\nassert 'ctxemb' in registry.cli.get_all()",
    ),
}


@pytest.fixture(scope="module", params=STARTS)
def started(request):
    """What was started, and the modules loaded before and after."""
    return request.param, *load_modules(*STARTS[request.param])


def test_own_modules(started):
    name, before, after = started
    factory = {"spacy_ctxemb", "spacy_ctxemb.factory", "spacy_ctxemb.default_model"}
    commands = {path.stem for path in COMMANDS.glob("*.py")} - {"__init__"}
    files = {f"spacy_ctxemb.cli.{command}" for command in commands}
    light = {"errors", "read_files"}
    light |= {f"errors.{path.stem}" for path in (COMMANDS.parent / "errors").glob("[!_]*.py")}
    light |= {"config_writer", "config_writer.check_options"}  # what init-config may be asked for
    light |= {"serving", "serving.settings"}  # the defaults of serve
    files |= {f"spacy_ctxemb.{module}" for module in light}
    expected = {"pipeline": factory, "commands": {"spacy_ctxemb", "spacy_ctxemb.cli", *files}}
    assert own(before) == set()
    assert own(after) == expected[name]


def test_no_other_package(started):
    _, before, after = started
    added = packages(after) - packages(before)
    assert not added & HEAVY
    # The latter two come with spaCy, which also asks whether it runs in Google Colab.
    plugins = {"spacy_ctxemb", "spacy_legacy", "spacy_loggers", "google"}
    assert added <= plugins | sys.stdlib_module_names


def test_vectors_do_without_the_compiler_of_pytorch():
    """Its import takes seconds."""
    add = "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('ctxemb')"
    (loaded,) = load_modules(f"{add}; nlp.initialize(); nlp('two words')")
    assert "torch" in loaded and "torch._dynamo" not in loaded
