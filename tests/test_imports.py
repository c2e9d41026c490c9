"""Who may import whom: one rule a folder, so that the layers stay as designed."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import spacy_ctxemb

PACKAGE = Path(spacy_ctxemb.__file__).parent

OWN = "."  # before the name of a module of this package

#: What says what is wrong, with values and with files.
FOR_ALL = (".errors", ".read_files")

#: The folders of the package, from the ground up, and the files of its root that are not named
#: here as one more: each may import those of its line, besides the standard library and FOR_ALL.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "read_files": {"safetensors", "torch"},
    "temporary_folders": set(),
    "atomic_files": {"safetensors", ".temporary_folders"},
    "fork_lock": set(),
    "torch_state": {"torch", ".fork_lock"},
    "pieces": {"numpy", "tokenizers", ".atomic_files", ".fork_lock"},
    "remote": {"huggingface_hub", "requests", "tqdm", ".atomic_files"},
    "encoders": {
        *("torch", "transformers", "typing_extensions", ".fork_lock", ".pieces", ".torch_state"),
    },
    "windows": {"numpy", "spacy", "torch", ".pieces"},
    "embedder": {"torch", ".encoders", ".fork_lock", ".windows"},
    "objectives": {"numpy", "torch", ".encoders", ".pieces"},
    "checkpoints": {
        *("h5py", "pydantic", "pydantic_core", "safetensors", "tokenizers", "torch"),
        "transformers",
        *(".encoders", ".atomic_files", ".objectives", ".pieces", ".remote"),
    },
    "schedules": set(),
    "finetuning": {".encoders", ".schedules"},
    "thinc_model": {
        *("numpy", "safetensors", "spacy", "srsly", "thinc", "torch", "typing_extensions"),
        *(".embedder", ".encoders", ".atomic_files", ".finetuning", ".objectives"),
        *(".fork_lock", ".pieces", ".pretrained", ".schedules", ".torch_state", ".windows"),
    },
    "cache": {
        ".fork_lock",
        *("numpy", "spacy", "thinc", "torch"),
        *(".", ".embedder", ".encoders", ".atomic_files", ".thinc_model", ".torch_state"),
        ".windows",
    },
    "stack": {
        *(
            "safetensors",
            "spacy",
            "srsly",
            "thinc",
            "torch",
            ".cache",
            ".checkpoints",
            ".embedder",
            ".atomic_files",
            ".pieces",
        ),
        *(".pretrained", ".remote", ".thinc_model", ".torch_state"),
    },
    "alignment": {"numpy", "scipy", "spacy"},
    "doc_vectors": {"numpy", "spacy"},
    "listeners": {
        *("numpy", "safetensors", "spacy", "thinc", "torch", ".doc_vectors", ".embedder"),
        *(".encoders", ".thinc_model", ".torch_state"),
    },
    "component": {
        *("spacy", "srsly", "thinc", ".", ".atomic_files", ".cache", ".checkpoints"),
        *(".default_model", ".doc_vectors", ".embedder", ".listeners", ".pieces", ".pretrained"),
        *(".remote", ".stack", ".thinc_model", ".windows"),
    },
    "heads": {
        *("numpy", "safetensors", "sklearn", "spacy", "srsly", "thinc"),
        *("threadpoolctl", "tokenizers", "torch"),
        *(".atomic_files", ".checkpoints", ".component", ".embedder", ".encoders", ".listeners"),
        *(".pieces", ".schedules", ".stack", ".thinc_model", ".torch_state", ".windows"),
    },
    "initialize_callbacks": {
        *("spacy", "thinc", ".cache", ".component", ".finetuning", ".pieces", ".schedules"),
        ".thinc_model",
    },
    "load_published": {"spacy", ".checkpoints", ".component", ".heads", ".remote", ".thinc_model"},
    "default_model": set(),
    "factory": {"spacy", ".component", ".default_model", ".heads"},
    "pretrained": {
        *("safetensors", "spacy", "torch", "typer"),
        *(".checkpoints", ".component", ".default_model", ".encoders", ".atomic_files"),
        *(".pieces", ".thinc_model", ".torch_state"),
    },
    "pretraining": {
        *("numpy", "pyarrow", "safetensors", "spacy", "thinc", "torch", "tqdm", "wandb"),
        *(
            ".component",
            ".embedder",
            ".encoders",
            ".atomic_files",
            ".objectives",
            ".pieces",
            ".pretrained",
            ".report",
        ),
        *(".schedules", ".stack", ".thinc_model", ".torch_state", ".windows"),
    },
    "explanation": {
        *("captum", "jinja2", "numpy", "spacy", "thinc", "torch", "umap"),
        *(".component", ".embedder", ".encoders", ".heads", ".pieces", ".silver_labels"),
        *(".stack", ".thinc_model", ".torch_state", ".windows"),
    },
    "report": {
        *("jinja2", "matplotlib", "numpy", "safetensors", "spacy", "srsly", "thinc", "wasabi"),
        *(".atomic_files", ".explanation", ".pretrained"),
    },
    "comparison": {"spacy", "srsly", "thinc", "torch", ".atomic_files", ".report"},
    "config_writer": {
        *("jinja2", "spacy", "thinc", ".cache", ".checkpoints", ".component", ".pieces"),
        *(".pretrained", ".thinc_model"),
    },
    "doctor": {
        *("numpy", "spacy", "thinc", "torch", "wasabi"),
        *(
            ".component",
            ".embedder",
            ".encoders",
            ".listeners",
            ".pieces",
            ".pretrained",
            ".stack",
            ".thinc_model",
        ),
        ".windows",
    },
    "onnx": {
        *("numpy", "onnx", "onnxruntime", "onnxscript", "tokenizers", "torch"),
        *(".atomic_files", ".checkpoints", ".encoders", ".heads", ".torch_state"),
    },
    "bulk": {
        *("numpy", "spacy", "tqdm", ".cache", ".component"),
        *("thinc", ".doc_vectors", ".heads", ".stack", ".thinc_model"),
    },
    "scale": {
        *("numpy", "pyarrow", "ray", "spacy", "thinc", "tqdm", "wasabi"),
        *(".atomic_files", ".bulk", ".pretraining", ".temporary_folders"),
    },
    "benchmark": {
        *("matplotlib", "numpy", "spacy", "torch", ".cache", ".component", ".encoders"),
        *(".stack", ".thinc_model"),
    },
    "search": {"numpy", "spacy", "usearch", ".atomic_files", ".bulk", ".heads"},
    "serving": {
        *("fastapi", "numpy", "prometheus_client", "pydantic", "pydantic_core", "spacy"),
        *("starlette", "uvicorn", ".", ".bulk", ".doc_vectors"),
    },
    "save_pipeline": {"spacy", "srsly", ".atomic_files"},
    "silver_labels": {"spacy"},
    "cli": {
        *("numpy", "spacy", "srsly", "thinc", "torch", "tqdm", "typer", "wasabi"),
        *(".benchmark", ".bulk", ".cache", ".checkpoints", ".comparison", ".component"),
        *(".config_writer", ".doctor", ".embedder", ".encoders", ".explanation"),
        *(
            ".alignment",
            ".atomic_files",
            ".heads",
            ".initialize_callbacks",
            ".load_published",
            ".objectives",
            ".onnx",
            ".pieces",
            ".pretraining",
            ".remote",
            ".report",
            ".save_pipeline",
            ".scale",
            ".search",
            ".serving",
            ".silver_labels",
            ".stack",
            ".thinc_model",
        ),
        ".windows",
    },
    "__init__": {
        *(".alignment", ".bulk", ".doc_vectors", ".explanation", ".load_published"),
        ".save_pipeline",
    },
}

#: What may be imported along with a file, where that is less: the start of spaCy waits for it.
MAY_IMPORT_AT_ONCE: dict[str, set[str]] = {
    "__init__": set(),
    "factory": {"spacy.language", "spacy.tokens", ".default_model"},
    "pieces": {"numpy", ".atomic_files", ".fork_lock"},
    "checkpoints": {
        *("pydantic", "pydantic_core", "torch", ".encoders", ".atomic_files", ".objectives"),
        *(".pieces", ".remote"),
    },
    "encoders": {"torch", "typing_extensions", ".fork_lock", ".pieces", ".torch_state"},
    "cli": {"spacy.cli._util", "typer", ".config_writer", ".serving.settings"},
}


class Import(NamedTuple):
    """An import statement. at_once: it runs when the file is imported."""

    name: str
    at_once: bool


def find_files() -> dict[str, Path]:
    """The files of the package by their dotted names."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


FILES = find_files()


def find_imports(module: str) -> set[Import]:
    """What a file imports, except for type checking alone; own modules begin with a dot."""
    tree = ast.parse(FILES[module].read_text(encoding="utf8"))
    return {
        Import(name, at_once)
        for node, at_once in walk(tree, at_once=True)
        for name in name_imports(node, module)
    }


def walk(node: ast.AST, *, at_once: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes beneath one, and whether they run when the file is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, at_once
        yield from walk(child, at_once=at_once and not is_function)


def name_imports(node: ast.AST, module: str) -> Iterator[str]:
    """The full names of what a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            parents = module.split(".")[: -node.level]
            source = OWN + ".".join([*parents, source] if source else parents)
        for alias in node.names:
            full = f"{source.rstrip('.')}.{alias.name}" if source != OWN else OWN + alias.name
            is_module = full[1:] in FILES or f"{full[1:]}.__init__" in FILES
            yield full if source.startswith(OWN) and is_module else source


def find_folder(module: str) -> str:
    """The folder of a module in the package, or its own name in the root."""
    return module.split(".")[0]


def is_allowed(name: str, folder: str, allowed: set[str]) -> bool:
    if name.split(".")[0] in sys.stdlib_module_names or name in FOR_ALL:
        return True
    own = {f".{folder}"} if folder != "__init__" else set()
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed | own)


@pytest.mark.parametrize("module", FILES)
def test_folders_import_what_the_design_allows(module: str) -> None:
    folder = find_folder(module)
    assert folder in MAY_IMPORT, f"{folder} has no line in MAY_IMPORT"
    at_once = MAY_IMPORT_AT_ONCE.get(folder)
    for name, is_at_once in find_imports(module):
        assert is_allowed(name, folder, MAY_IMPORT[folder]), f"{module} may not import {name}"
        if is_at_once and at_once is not None:
            assert is_allowed(name, folder, at_once), f"{module} may not import {name} at once"


def test_every_line_has_its_folder() -> None:
    folders = {find_folder(module) for module in FILES}
    assert set(MAY_IMPORT) == folders
    assert set(MAY_IMPORT_AT_ONCE) <= folders


def test_imports_are_found() -> None:
    """Guards the parser above."""
    found = find_imports("factory")
    assert Import("spacy.language", True) in found
    assert Import(".component", False) in found
    assert Import(".component", True) not in found
    assert Import(".doc_vectors", True) in find_imports("component.pipe")
    assert Import(".encoders.char_cnn", True) in find_imports("encoders.bilm")
    assert Import(".encoders.base", True) in find_imports("encoders.__init__")
    assert Import(".encoders", True) in find_imports("objectives.bilm_loss")
    assert Import("tokenizers", False) in find_imports("pieces.subwords")


def find_new_modules(before: str, after: str) -> set[str]:
    """The modules that a second import statement loads in addition to a first one."""
    code = (
        f"import json, sys\n{before}\nold = set(sys.modules)\n{after}\n"
        "print(json.dumps(sorted(set(sys.modules) - old)))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def get_packages(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_the_package_alone_loads_nothing() -> None:
    assert find_new_modules("import importlib, typing", "import spacy_ctxemb") == {"spacy_ctxemb"}


#: What encoders and formats do without until a file is read.
OTHERS = {"spacy", "thinc", "tokenizers", "safetensors", "h5py", "transformers"}


def test_encoders_load_neither_spacy_nor_thinc() -> None:
    loaded = find_new_modules(
        "pass",
        "import spacy_ctxemb.encoders, spacy_ctxemb.objectives, spacy_ctxemb.embedder.embedder\n"
        "import spacy_ctxemb.checkpoints.elmo.checkpoint\n"
        "import spacy_ctxemb.checkpoints.bert.checkpoint\n"
        "import spacy_ctxemb.encoders.huggingface_wrapper",
    )
    assert "torch" in loaded
    assert not get_packages(loaded) & OTHERS
