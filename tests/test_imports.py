"""Who may import whom. A new file needs a line here, so that the layers stay as designed."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

import spacy_ctxemb

PACKAGE = Path(spacy_ctxemb.__file__).parent

OWN = "."  # before the name of a module of this package

#: What a file may import, wherever in the file, besides the standard library and .errors. A name
#: includes what is beneath it; the first pattern that fits counts.
MAY_IMPORT = {
    "__init__": {".vectors"},
    "errors": set(),
    "files": set(),
    "pieces": {"numpy", ".subword_pieces"},
    "alignment": {"numpy", ".pieces"},
    "piece_training": {"tokenizers"},
    "tokenizer_files": {"tokenizers"},
    "subword_pieces": {
        *("numpy", "tokenizers"),
        *(".alignment", ".piece_training", ".pieces", ".tokenizer_files"),
    },
    "piece_loaders": {".files", ".pieces", ".subword_pieces"},
    "windows": {"numpy", "torch", ".pieces"},
    "doc_windows": {"numpy", "spacy", ".pieces", ".windows"},
    "encoders.__init__": {".encoders"},
    "encoders.derived": {"torch"},
    "encoders.linear": {"torch", ".encoders.derived"},
    "encoders.recomputation": {"torch"},
    "encoders.word_cache": {"torch"},
    "encoders.lstm_steps": {"torch", ".encoders.linear"},
    "encoders.lstm_training": {"torch", ".encoders.linear", ".encoders.lstm_steps"},
    "encoders.lstm": {
        "torch",
        *(".encoders.derived", ".encoders.linear", ".encoders.lstm_steps"),
        *(".encoders.lstm_training", ".encoders.recomputation"),
    },
    "encoders.char_cnn": {"torch", ".encoders.linear"},
    "encoders.encoder": {"torch", ".encoders.derived"},
    "encoders.bilm_state": {"torch", ".encoders.lstm_steps"},
    "encoders.bilm": {
        *("torch", ".encoders.bilm_state", ".encoders.char_cnn", ".encoders.derived"),
        *(".encoders.encoder", ".encoders.lstm", ".encoders.lstm_steps", ".encoders.word_cache"),
    },
    "encoders.steps": {"torch"},
    "encoders.norm": {"torch"},
    "encoders.positions": {"torch"},
    "encoders.attention": {"torch", ".encoders.linear", ".encoders.steps"},
    "encoders.feedforward": {"torch", ".encoders.linear"},
    "encoders.transformer": {
        *("torch", ".encoders.attention", ".encoders.encoder", ".encoders.feedforward"),
        *(".encoders.linear", ".encoders.norm", ".encoders.positions", ".encoders.recomputation"),
        ".encoders.steps",
    },
    "encoders.modern_transformer": {
        *("torch", ".encoders.attention", ".encoders.encoder", ".encoders.feedforward"),
        *(".encoders.norm", ".encoders.positions", ".encoders.recomputation", ".encoders.steps"),
        ".encoders.transformer",
    },
    "encoders.huggingface": {"torch", "transformers", ".encoders.encoder"},
    "checkpoints.elmo_files": set(),
    "checkpoints.kinds": set(),
    "checkpoints.bert_names": set(),
    "checkpoints.sentence_bert": {".checkpoints"},
    "checkpoints.bert_special": {"tokenizers"},
    "checkpoints.bert_tokenizer": {"tokenizers", ".checkpoints"},
    "checkpoints.bert_head": {"torch", ".checkpoints", ".encoders", ".objectives"},
    "checkpoints.huggingface": {"torch", "transformers", ".checkpoints", ".encoders"},
    "checkpoints.*": {
        *("h5py", "safetensors", "tokenizers", "torch", ".checkpoints", ".encoders", ".files"),
    },
    "layer_mix": {"torch"},
    "layer_training": {".encoders", ".unfreezing"},
    "unfreezing": set(),
    "pooling": {"torch"},
    "doc_pooling": {"torch"},
    "training_precision": {"torch"},
    "embedder": {
        *("torch", ".doc_pooling", ".encoders", ".encoders.recomputation", ".layer_mix"),
        *(".pooling", ".training_precision", ".windows"),
    },
    "objectives.*": {"numpy", "torch", ".encoders", ".objectives"},
    "optimizer_step": {"thinc", "torch"},
    "torch_shim": {"safetensors", "thinc", "torch", ".optimizer_step", ".training_precision"},
    "shim": {
        *("numpy", "safetensors", "srsly", "thinc", "torch", ".encoders.derived"),
        *(".doc_windows", ".embedder", ".files", ".layer_training", ".objectives", ".pieces"),
        *(".pretrained", ".torch_shim", ".training_precision", ".windows"),
    },
    "bridge": {
        *("numpy", "spacy", "thinc", "torch"),
        *(".doc_windows", ".embedder", ".layer_training", ".pieces", ".shim", ".subword_pieces"),
        *(".torch_shim", ".windows"),
    },
    "static_vectors": {"spacy", "thinc"},
    "member_mix": {"thinc", "torch", ".torch_shim"},
    "stack": {"spacy", "thinc", ".bridge", ".member_mix", ".shim", ".torch_shim"},
    "outputs": {"numpy", "spacy", ".bridge", ".shim", ".vectors"},
    "pending_update": {"spacy"},
    "cache_stores": {".files"},
    "cache_keys": {"numpy", "spacy", "torch", ".", ".doc_windows", ".encoders.derived", ".shim"},
    "feature_cache": {"numpy", "spacy", ".cache_keys", ".cache_stores", ".shim"},
    "pretraining_objective": {
        *("numpy", "spacy", "thinc", "torch"),
        *(".bridge", ".doc_windows", ".objectives", ".shim", ".stack", ".windows"),
    },
    "pretraining.__init__": set(),
    "pretraining.corpus": {"pyarrow", "spacy"},
    "pretraining.order": {"numpy"},
    "pretraining.task": {"numpy", "torch", ".objectives"},
    "pretraining.tokenizing": {
        *("numpy", "spacy", "torch"),
        *(".doc_windows", ".files", ".objectives", ".pieces", ".pretraining", ".subword_pieces"),
    },
    "pretraining.merging": {"numpy", ".pieces", ".pretraining"},
    "pretraining.sequences": {"numpy", ".pieces", ".pretraining"},
    "pretraining.pairs": {"numpy", ".pretraining"},
    "pretraining.masked_lm_text": {"numpy", "torch", ".objectives", ".pieces", ".pretraining"},
    "pretraining.masked_lm_task": {
        *("numpy", "torch", ".encoders", ".objectives", ".pieces", ".pretraining"),
    },
    "pretraining.token_store": {"numpy", "spacy", ".files", ".pieces", ".pretraining"},
    "pretraining.bilm_streams": {"numpy", ".pretraining"},
    "pretraining.bilm_text": {"numpy", "torch", ".objectives", ".pieces", ".pretraining"},
    "pretraining.bilm_task": {"numpy", "torch", ".encoders", ".objectives", ".pretraining"},
    "pretraining.settings": {
        *("spacy", "thinc", "torch", ".encoders", ".pieces", ".pretraining"),
    },
    "pretraining.objectives": {
        *("torch", ".encoders", ".objectives", ".pieces", ".pretraining", ".subword_pieces"),
    },
    "pretraining.optimizers": {"torch", ".pretraining"},
    "pretraining.processes": {"torch"},
    "pretraining.parallel": {"torch", ".encoders", ".pretraining"},
    "pretraining.snapshots": {"numpy", "safetensors", "torch", ".files", ".pretraining"},
    "pretraining.loop": {"numpy", "torch", ".objectives", ".pretraining"},
    "pretraining.monitor": {"torch", "tqdm", "wandb", ".files", ".objectives", ".pretraining"},
    "pretraining.plot": {".files", ".objectives", ".pretraining", ".report"},
    "pretraining.neighbours": {"numpy", "spacy", ".bridge", ".pretraining"},
    "pretraining.continuation": {"spacy", "thinc", ".objectives", ".pieces", ".pretraining"},
    "pretraining.run": {
        *("spacy", "thinc", ".bridge", ".encoders", ".files", ".pipeline", ".pretrained"),
        *(".pretraining", ".pretraining_objective", ".shim"),
    },
    "pretrained.__init__": {"safetensors", "torch", ".encoders"},
    "pretrained.make": {
        *("safetensors", "spacy", "torch", "typer"),
        *(".bridge", ".files", ".pipeline", ".pretrained"),
    },
    "architectures": {
        *("spacy", "torch"),
        *(".bridge", ".doc_windows", ".embedder", ".encoders", ".layer_mix", ".layer_training"),
        *(".listeners", ".mix_listener", ".objectives", ".pieces", ".pretraining_objective"),
        *(".subword_pieces", ".unfreezing", ".windows"),
    },
    "callbacks": {
        *("spacy", "thinc", ".bridge", ".feature_cache", ".pipeline", ".subword_pieces"),
    },
    "loaders": {
        *("tokenizers", "torch", ".checkpoints", ".encoders", ".pieces", ".subword_pieces"),
    },
    "listeners": {"spacy", "thinc"},
    "vectors": {"numpy", "spacy"},
    "mix_listener": {
        *("safetensors", "spacy", "thinc", "torch"),
        *(".bridge", ".layer_mix", ".listeners", ".torch_shim", ".vectors"),
    },
    "members": {
        *("spacy", "thinc", "torch"),
        *(".bridge", ".feature_cache", ".files", ".loaders", ".piece_loaders", ".pretrained"),
        *(".shim", ".stack"),
    },
    "pipeline": {
        *("spacy", "thinc"),
        *(".bridge", ".doc_pooling", ".doc_windows", ".feature_cache", ".layer_mix"),
        *(".listeners", ".loaders", ".members"),
        *(".mix_listener", ".outputs", ".pending_update", ".piece_loaders", ".shim", ".stack"),
        ".vectors",
    },
    "factory": {"spacy.language", ".pipeline"},
    "cli.__init__": {"spacy.cli._util", "typer", ".cli"},
    "cli.*": {
        *("numpy", "spacy", "srsly", "thinc", "tqdm", "typer", "wasabi"),
        *(".bridge", ".checkpoints", ".cli", ".doctor", ".encoders", ".files", ".objectives"),
        *(
            ".pieces",
            ".pipeline",
            ".pretraining",
            ".pretraining_objective",
            ".quickstart",
            ".report",
        ),
        *(".stack", ".subword_pieces"),
        ".windows",
    },
    "report.*": {"jinja2", "matplotlib", "numpy", "safetensors", "srsly", "thinc", ".report"},
    "quickstart.*": {
        *("spacy", "thinc", ".bridge", ".feature_cache", ".pipeline", ".pretrained"),
        *(".quickstart", ".shim"),
    },
    "doctor.*": {
        *("numpy", "spacy", "thinc", "torch", "wasabi"),
        *(".bridge", ".doc_windows", ".doctor", ".encoders", ".mix_listener", ".pieces"),
        *(".members", ".pipeline", ".shim", ".stack", ".subword_pieces", ".windows"),
    },
}

#: What may be imported along with a file, where that is less: the start of spaCy waits for it.
MAY_IMPORT_AT_ONCE = {
    "__init__": set(),
    "pieces": {"numpy"},
    "piece_training": set(),
    "tokenizer_files": set(),
    "subword_pieces": {
        *("numpy", ".alignment", ".piece_training", ".pieces", ".tokenizer_files"),
    },
    "checkpoints.elmo_files": set(),
    "checkpoints.bert_head": {"torch", ".checkpoints", ".encoders", ".objectives"},
    "checkpoints.*": {"torch", ".checkpoints", ".encoders", ".files"},
    "encoders.huggingface": {"torch", ".encoders.encoder"},
    "loaders": {"torch", ".checkpoints", ".encoders", ".pieces", ".subword_pieces"},
    "factory": {"spacy.language"},
    "pretraining.corpus": set(),
    "cli.__init__": MAY_IMPORT["cli.__init__"],
    "cli.*": {"typer", ".cli", ".quickstart.choices", ".report"},
    "report.*": {".report"},
    "quickstart.__init__": set(),
    "quickstart.choices": set(),
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


def is_allowed(name: str, allowed: set[str]) -> bool:
    if name.split(".")[0] in sys.stdlib_module_names or name == ".errors":
        return True
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


def look_up(module: str, table: dict[str, set[str]]) -> set[str] | None:
    """The entry of the first pattern that fits."""
    return next((table[pattern] for pattern in table if fnmatch(module, pattern)), None)


@pytest.mark.parametrize("module", FILES)
def test_files_import_what_the_design_allows(module: str) -> None:
    allowed = look_up(module, MAY_IMPORT)
    assert allowed is not None, f"{module} has no line in MAY_IMPORT"
    at_once = look_up(module, MAY_IMPORT_AT_ONCE)
    for name, is_at_once in find_imports(module):
        assert is_allowed(name, allowed), f"{module} may not import {name}"
        if is_at_once and at_once is not None:
            assert is_allowed(name, at_once), f"{module} may not import {name} at once"


def test_every_line_has_its_file() -> None:
    for table in (MAY_IMPORT, MAY_IMPORT_AT_ONCE):
        assert [p for p in table if not any(fnmatch(module, p) for module in FILES)] == []


def test_imports_are_found() -> None:
    """Guards the parser above."""
    found = find_imports("factory")
    assert Import("spacy.language", True) in found
    assert Import(".pipeline", False) in found
    assert Import(".pipeline", True) not in found
    assert Import(".vectors", True) in find_imports("pipeline")
    assert Import(".encoders.char_cnn", True) in find_imports("encoders.bilm")
    assert Import(".encoders.encoder", True) in find_imports("encoders.__init__")
    assert Import(".encoders", True) in find_imports("objectives.bilm")
    assert Import("tokenizers", False) in find_imports("subword_pieces")


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
    assert find_new_modules("import typing", "import spacy_ctxemb") == {"spacy_ctxemb"}


#: What encoders and formats do without until a file is read.
OTHERS = {"spacy", "thinc", "tokenizers", "safetensors", "h5py", "transformers"}


def test_encoders_load_neither_spacy_nor_thinc() -> None:
    loaded = find_new_modules(
        "pass",
        "import spacy_ctxemb.encoders, spacy_ctxemb.objectives, spacy_ctxemb.embedder\n"
        "import spacy_ctxemb.checkpoints.elmo, spacy_ctxemb.checkpoints.bert\n"
        "import spacy_ctxemb.encoders.huggingface",
    )
    assert "torch" in loaded
    assert not get_packages(loaded) & OTHERS


HEAVY = {"torch", "tokenizers", "h5py", "matplotlib", "safetensors", "jinja2", "transformers"}


@pytest.mark.parametrize(
    "first, second", [("spacy", "spacy_ctxemb.factory"), ("spacy.cli", "spacy_ctxemb.cli")]
)
def test_entry_points_add_nothing_heavy_to_spacy(first: str, second: str) -> None:
    loaded = find_new_modules(f"import {first}", f"import {second}")
    assert second in loaded
    assert not get_packages(loaded) & HEAVY
    own = {name for name in loaded if name.startswith("spacy_ctxemb.")}
    light = ("spacy_ctxemb.report", "spacy_ctxemb.quickstart", "spacy_ctxemb.errors")
    assert all(name.startswith((second, *light)) for name in own)
