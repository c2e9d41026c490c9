"""Cases: a model that was damaged, as a seed says."""

import json
import shutil
import zipfile
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from ...bert_models import WRITTEN, copy_family, make_sentences
from ...elmo_models import write_model
from ...encoders.bilm_loop import Options
from .damage_bytes import damage_bytes
from .damage_hdf5 import damage_hdf5
from .damage_json import damage_json
from .damage_tensors import damage_tensors
from .damage_text import damage_text, damage_zip

ELMOS = (
    Options(),
    Options(activation="tanh", n_highways=0, n_layers=1, filters=((2, 3),)),
    Options(width=15, hidden_width=15, cell_clip=None),
    Options(skip_connections=False, hidden_width=5, project_hidden=True),
)


def make_case(kind: str, seed: int, folder: Path) -> str:
    """Write a damaged model into a folder; returns what was done to it.

    kind: bert, wrap or elmo.
    """
    rng = Random(f"{kind} {seed}")
    make = make_elmo if kind == "elmo" else make_bert
    done = [make(folder, rng)]
    damage = damage_elmo if kind == "elmo" else damage_bert
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        done.append(damage(folder, rng))
    if kind == "elmo" and rng.random() < 0.2:
        done.append(pack(folder, rng))
    return "; ".join(done)


def make_elmo(folder: Path, rng: Random) -> str:
    i = rng.randrange(len(ELMOS))
    write_model(folder, ELMOS[i])
    return f"ELMo {i}"


def make_bert(folder: Path, rng: Random) -> str:
    """One of the families, perhaps as sentence-transformers or an older program writes it."""
    name = rng.choice(sorted(WRITTEN))
    if rng.random() < 0.3:
        with TemporaryDirectory() as place:
            inner = copy_family(name, Path(place) / "family")
            path = make_sentences(inner, "Transformer", "Pooling", "Normalize", pooling_mode="mean")
            write_settings(path)
            shutil.copytree(path, folder)
        return f"{name} of sentence-transformers"
    copy_family(name, folder)
    if (folder / "vocab.txt").exists() and rng.random() < 0.5:
        (folder / "tokenizer.json").unlink(missing_ok=True)
        return f"{name} with vocab.txt"
    return name


def write_settings(path: Path) -> None:
    settings = {"max_seq_length": 64, "do_lower_case": False}
    (path / "0_Transformer" / "sentence_bert_config.json").write_text(json.dumps(settings))
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": None}
    (path / "config_sentence_transformers.json").write_text(json.dumps(prompts))


def damage_elmo(folder: Path, rng: Random) -> str:
    options, weights = folder / "options.json", folder / "weights.hdf5"
    roll = rng.random()
    if roll < 0.35 and is_plain(options):
        return damage_json(options, rng)
    if roll < 0.8 and is_plain(weights):
        return damage_hdf5(weights, rng)
    path = rng.choice([options, weights, weights, weights])
    return damage_bytes(path, rng) if is_plain(path) else "nothing: no file"


def damage_bert(folder: Path, rng: Random) -> str:
    files = [p for p in sorted(folder.rglob("*")) if is_plain(p) and p.name != "expected.npz"]
    names = {path.name: path for path in files}
    if not files:
        return "nothing: no files"
    roll = rng.random()
    if roll < 0.25 and "config.json" in names:
        paths = [path for path in files if path.name == "config.json"]
        return damage_json(rng.choice(paths), rng)
    if roll < 0.55:
        found = [path for path in files if path.suffix == ".json"]
        return damage_json(rng.choice(found), rng) if found else "nothing: no JSON"
    if roll < 0.8:
        places = [p.parent for p in files if p.suffix in (".safetensors", ".bin")]
        return damage_tensors(places[0], rng) if places else "nothing: no weights"
    lists = [path for path in files if path.suffix == ".txt"]
    if roll < 0.87 and lists:
        return damage_text(rng.choice(lists), rng)
    return damage_bytes(rng.choice(files), rng)


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def pack(folder: Path, rng: Random) -> str:
    """Put both files into a ZIP file, and perhaps damage that."""
    path = folder / "model.zip"
    with zipfile.ZipFile(
        path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    ) as archive:
        for name in ("options.json", "weights.hdf5"):
            if (folder / name).is_file():
                archive.write(folder / name, name)
    return f"packed; {damage_zip(path, rng)}" if rng.random() < 0.7 else "packed"
