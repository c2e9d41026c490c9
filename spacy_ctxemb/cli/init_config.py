"""`python -m spacy ctxemb init-config`"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..config_writer.choices import Choices, Optimize, read_tasks
from .messages import showing_errors

if TYPE_CHECKING:
    from ..config_writer.config import Written


def init_config(
    output: Path = typer.Argument(
        ..., metavar="OUTPUT", help="Config to write, or - for stdout", allow_dash=True
    ),
    task: str = typer.Option(
        "ner",
        help="ner, textcat, textcat_multilabel, tagger, morphologizer, parser, senter or spancat, "
        "or several with commas between",
    ),
    encoder: str = typer.Option(
        "english",
        help="english, with the weights of the package; bilm or transformer, without weights; or a "
        "directory: a pipeline with a component ctxemb",
    ),
    optimize: Optimize = typer.Option(
        Optimize.efficiency, help="Small and fast, or larger with a mix of layers for each task"
    ),
    freeze: bool = typer.Option(
        False, "--freeze/--no-freeze", help="Whether only the tasks learn, and not the encoder"
    ),
    lang: str | None = typer.Option(
        None, help="Language of the tokenizer; by default that of the pipeline, or en"
    ),
    gpu: bool = typer.Option(False, "--gpu", help="Train on a GPU"),
    vectors: str | None = typer.Option(
        None, help="Pipeline or path with static vectors, to keep in the vocabulary"
    ),
    listener_mix: bool | None = typer.Option(
        None,
        "--listener-mix/--no-listener-mix",
        help="Whether each task mixes the encoder's layers its own way; by default for accuracy",
    ),
    cache: bool | None = typer.Option(
        None,
        "--cache/--no-cache",
        help="Whether a frozen encoder runs in the first epoch only; by default for efficiency",
    ),
    cnn: bool | None = typer.Option(
        None,
        "--cnn/--no-cnn",
        help="Whether each task has a network of its own beside a frozen encoder; by default for "
        "accuracy",
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Replace a file that is there"),
) -> None:
    """Write a complete config for `spacy train`, with an encoder and the tasks on top of it."""
    from ..config_writer.config import build_config
    from ..config_writer.heads import HEADS
    from ..errors import Errors
    from ..files import replacing

    is_stdout = str(output) == "-"
    with showing_errors():
        if not is_stdout and output.exists() and not force:
            raise ValueError(Errors.E192.format(path=output))
        choices = Choices(
            tasks=read_tasks(task, list(HEADS)),
            encoder=encoder,
            optimize=optimize,
            freeze=freeze,
            lang=lang,
            gpu=gpu,
            vectors=vectors,
            listener_mix=listener_mix,
            cache=cache,
            cnn=cnn,
        )
        written = build_config(choices)
        if is_stdout:
            print(written.config.to_str())
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as temporary:
            written.config.to_disk(temporary)
    show(output, choices, written)


def show(output: Path, choices: Choices, written: "Written") -> None:
    """What was written, and what to do next."""
    from wasabi import msg

    from ..errors import Errors

    way = "frozen" if choices.freeze else "fine-tuned"
    msg.good(f"Wrote a config for {', '.join(choices.tasks)} on {choices.encoder}, {way}")
    if written.obstacle:
        msg.warn(Errors.W013.format(reason=written.obstacle))
    options = ["--paths.train train.spacy", "--paths.dev dev.spacy"]
    if written.needs_weights:
        msg.warn(Errors.W014)
        options.append("--paths.init_tok2vec WEIGHTS.bin")
    if written.is_slow:
        msg.info(
            "At the small learning rate of this encoder the heads learn slowly. They learn faster "
            "on the frozen encoder first: pass --freeze, train, and train the result further, as "
            'the README says under "First frozen, then fine-tuned".'
        )
    msg.text("Check it against your data, and train:")
    config = shlex.quote(str(output))
    print(f"python -m spacy ctxemb doctor {config} {' '.join(options)}")
    options += ["--gpu-id 0"] if choices.gpu else []
    print(f"python -m spacy train {config} --output training {' '.join(options)}")
