"""One case: import a model, encode a text, compare with another reader."""

import io
import re
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import torch
from numpy.typing import NDArray

from spacy_ctxemb.cli.import_bert import Layers as BertLayers
from spacy_ctxemb.cli.import_bert import import_bert
from spacy_ctxemb.cli.import_elmo import Layers as ElmoLayers
from spacy_ctxemb.cli.import_elmo import import_elmo
from spacy_ctxemb.cli.show_errors import showing_errors
from spacy_ctxemb.thinc_model.embedder_shim import EmbedderShim, get_shim

from .references import run_bert_reference, run_elmo_reference

Layers = NDArray[np.float64]

TEXT = "The engineer's 2nd naïve (Oslo) request, 東京 ☃."


class Result(NamedTuple):
    """What became of a case. what: an outcome; why: its details."""

    what: str
    why: str = ""


class Imported(NamedTuple):
    """What was imported: the pieces of the text, and all layers. (L, T, D)"""

    ids: NDArray[Any]
    layers: Layers


def run_import(kind: str, folder: Path, output: Path) -> Result | Imported:
    """Import a model and encode the text; a Result if that did not end well."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            with showing_errors():
                call_command(kind, folder, output)
            nlp = spacy.load(output)
            doc = nlp(TEXT)
    except SystemExit as ended:
        code = re.search(r"\[E\d+\]", said.getvalue())
        if ended.code == 1 and code:
            return Result("refused", code[0])
        return Result("uncaught", f"exit {ended.code}: {said.getvalue()[-300:]}")
    except BaseException as error:  # panics of Rust code too
        return Result("uncaught", describe(error))
    if not np.isfinite(doc.tensor).all():
        return Result("nan", "in doc.tensor")
    return find_layers(get_shim(nlp.get_pipe("ctxemb").model), [token.text for token in doc])


def call_command(kind: str, folder: Path, output: Path) -> None:
    if kind == "elmo":
        packed = folder / "model.zip"
        paths = [packed] if packed.exists() else [folder / "options.json", folder / "weights.hdf5"]
        import_elmo(
            paths=[str(path) for path in (*paths, output)],
            lang="xx",
            width=None,
            layers=ElmoLayers.top,
            tokens_to_add=None,
            unpack_limit=1.0,
        )
    else:
        import_bert(
            checkpoint=str(folder),
            output=output,
            lang="xx",
            width=None,
            layers=BertLayers.top,
            wrap=kind == "wrap",
            no_pooling=False,
            head=None,
        )


def find_layers(shim: EmbedderShim, words: list[str]) -> Imported:
    """The pieces of the text, boundaries included, and all layers of the encoder."""
    pieces: Any = shim.pieces
    if hasattr(pieces, "encode_sequence"):
        ids = pieces.encode_sequence(words)
    else:
        ids = np.asarray(pieces.tokenizer.encode(TEXT).ids)
    batch = torch.from_numpy(ids)[None].long()
    with torch.inference_mode():
        layers = shim.embedder.encoder(batch, torch.ones(1, len(ids), dtype=torch.bool))
    return Imported(ids, torch.stack(layers).double().numpy())


def compare(kind: str, folder: Path, found: Imported) -> Result:
    """Whether another reader computes the same from the same files."""
    run = run_elmo_reference if kind == "elmo" else run_bert_reference
    if not np.isfinite(found.layers).all():
        return Result("nan", "in the layers")
    try:
        reference = run(folder, found.ids, 0.0)
    except Exception as error:
        return Result("unchecked", f"{type(error).__name__}: {str(error)[:80]}")
    if reference.layers.shape != found.layers.shape:
        return Result("differs", f"{found.layers.shape} for {reference.layers.shape}")
    error = measure(found.layers, reference.layers)
    if error > 1e-4 and error > 10 * measure(run(folder, found.ids, 1e-6).layers, reference.layers):
        return Result("differs", f"by {error:.2g} of the largest value")
    if reference.ids is not None and list(reference.ids) != list(found.ids):
        return Result("other pieces", f"{list(found.ids)[:9]} for {reference.ids[:9]}")
    return Result("equal")


def measure(a: Layers, b: Layers) -> float:
    """The largest difference, as a part of the largest value, or of 1."""
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def describe(error: BaseException) -> str:
    """An exception, and the last lines of code that saw it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "spacy_ctxemb" in f.filename and "/tests/" not in f.filename]
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return f"{type(error).__name__} at {', '.join(places)}: {str(error)[:150]}"
