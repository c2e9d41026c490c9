"""Writing the pipelines of published models: what the import commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..load_published import Loaded

LANG: str = typer.Option("en", help="Language of the tokenizer")
WIDTH: int | None = typer.Option(
    None, min=1, help="Width of the vectors, by a projection to be learned"
)


def write_pipeline(loaded: "Loaded", output: Path) -> None:
    """Write all of a pipeline, or nothing, and say what of its vectors is still to be learned.

    Raises E362 if another one has come meanwhile.
    """
    from wasabi import msg

    from ..atomic_files import replacing_folder
    from ..embedder.layer_mix import ScalarMix
    from ..load_published import find_shim

    with replacing_folder(output) as temporary:
        loaded.nlp.to_disk(temporary)
    embedder = find_shim(loaded.nlp).embedder
    n_parameters = sum(weights.numel() for weights in embedder.encoder.parameters())
    what = f"{loaded.what}, {n_parameters / 1e6:.1f}M parameters"
    msg.good(f"Wrote a pipeline with {what}", str(output))
    for origin in loaded.origins:
        if origin.revision is not None:
            msg.info(f"From {origin}")
    if isinstance(embedder.mix, ScalarMix):
        msg.info("Its layers are mixed evenly until training changes the mix.")
    if embedder.projection is not None:
        msg.warn(f"The projection to width {embedder.width} is random until it is trained.")


@contextmanager
def showing_warnings() -> Iterator[None]:
    """Show warnings as messages, at the end."""
    import warnings

    from wasabi import msg

    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=r"\[W\d+\]")
        yield
    for warning in caught:
        msg.warn(str(warning.message))


def import_beside(name: str, config: Path, lang: str | None) -> Path:
    """Make a pipeline of a model on the hub, in the folder of a config that is to be written.

    One that was made of the same model before is taken as it is. Raises E362 where there is
    something else.
    """
    import srsly
    from wasabi import msg

    from ..load_published import load_bert
    from ..remote.find_model import HUB_NAME
    from .output_paths import check_output

    match = HUB_NAME.fullmatch(name)
    assert match is not None
    repository, revision = match.group("repository", "revision")
    output = config.parent / f"{repository.rpartition('/')[2]}-pipeline"
    if (output / "meta.json").is_file():
        meta = srsly.read_json(output / "meta.json")
        for origin in meta.get("ctxemb", {}).get("ctxemb", [])[:1]:
            if origin["source"] == repository and revision in (None, origin["revision"]):
                msg.info(f"The encoder is that of {output}, from {repository}")
                return output
    check_output(output)
    with showing_warnings():
        loaded = load_bert(name, lang=lang or "en", with_pooling=False, head="none")
    write_pipeline(loaded, output)
    return output
