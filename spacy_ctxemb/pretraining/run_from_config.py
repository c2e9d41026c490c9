"""A run of `ctxemb pretrain`, from a config to weights."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from spacy.language import Language
from thinc.api import Config, get_torch_default_device

from ..atomic_files import replacing
from ..encoders.kernels.linear import has_bf16_products
from ..errors import Errors
from ..torch_state import in_ordinary_torch
from .build_pipeline_and_task import build_data, build_pipeline, build_task, get_model, get_shim
from .check_resume_fits import describe_run, validate_config, validate_text
from .distributed import find_compiled, gather_state, join_processes
from .log_nearest_neighbours import Neighbours
from .plot_log import plot_log
from .pretrain_section import PretrainSettings, read_settings
from .progress_log import LOG, Monitor
from .save_and_resume import RunCheckpoints, read_last_basis
from .tasks.base import Data
from .training_loop import Trainer


@in_ordinary_torch
def pretrain(config: Config, output: Path, *, resume: bool) -> Language | None:
    """Train the encoder of a config. Returns the pipeline, in the first process.

    output: a folder for `model-last.bin`, which [initialize] init_tok2vec reads; `config.cfg`,
        `log.jsonl`, `curves.png`; `checkpoints`, and `text`, the tokenised text.
    resume: go on from the last checkpoint; else there must be none.

    Raises a coded error for settings that do not fit, as far as possible before any text is read.

    Example:
        config = load_config("pretrain.cfg", overrides={"paths.train": "text.txt"})
        nlp = pretrain(config, Path("run"), resume=False)
    """
    settings = read_settings(config.interpolate())
    validate_loggers(settings)
    validate_output(output, settings)
    with join_processes(get_torch_default_device().type) as processes:
        folder, n_shards = output / "checkpoints", processes.n * settings.accumulate
        before = read_last_basis(folder, n_shards=n_shards)
        validate: Callable[[Path], None] | None = None
        if before is None:
            validate_new(output, config, resume=resume)
        else:
            validate_config(config, before, output, resume=resume)
            validate = partial(validate_text, before=before, output=output)
        nlp = build_pipeline(config, settings)
        validate_encoder(nlp, settings)
        data = build_data(nlp, settings, output, processes, validate=validate)
        task = build_task(nlp, settings, data._replace(has_weights=before is not None))
        basis = describe_run(config, data.store, get_shim(nlp, settings).pieces, task.objective)
        checkpoints = RunCheckpoints(
            folder, processes, basis, n_shards=n_shards, keep=settings.keep_checkpoints
        )
        trainer = Trainer(task, settings, processes, checkpoints)
        damaged = trainer.resume()
        if processes.is_first:
            with replacing(output / "config.cfg") as temporary:
                config.to_disk(temporary)
        train(trainer, nlp, output, list(list_notices(trainer, damaged, resume=resume)))
        return write_weights(trainer, nlp, config, output, data)


def validate_loggers(settings: PretrainSettings) -> None:
    """Raise E457 for a logger that is not installed."""
    wanted = {"tensorboard": settings.tensorboard, "wandb": bool(settings.wandb_project)}
    for name, is_wanted in wanted.items():
        if is_wanted and find_spec(name) is None:
            raise ImportError(Errors.E457.format(name=name))


def validate_output(output: Path, settings: PretrainSettings) -> None:
    """Raise E456 if a run would write where text is read, or replace it by what it stores."""
    place = output.resolve()
    for path in [Path(path).resolve() for path in settings.train.paths + settings.held_out.paths]:
        is_inside = path.is_dir() and place.is_relative_to(path)
        if is_inside or path.is_relative_to((place / "text").resolve()):
            raise ValueError(Errors.E456.format(output=output, path=path))


def validate_new(output: Path, config: Config, *, resume: bool) -> None:
    """Raise E459 for a folder without checkpoints where a run would write over files.

    With resume, a log may be there, and its config: a run that was stopped before its first
    checkpoint leaves both. The same config may always be there.
    """
    names = ["model-last.bin", "curves.png", *([] if resume else [LOG])]
    found = [name for name in names if read_content(output / name)]
    before = read_content(output / "config.cfg")
    is_of_run = resume and (output / LOG).exists()
    if before and not is_of_run and before.splitlines() != config.to_bytes().splitlines():
        found.append("config.cfg")
    if found:
        raise ValueError(Errors.E459.format(path=output, names=" and ".join(found)))


def read_content(path: Path) -> bytes:
    """All of a file; nothing where there is none."""
    return path.read_bytes() if path.is_file() else b""


def validate_encoder(nlp: Language, settings: PretrainSettings) -> None:
    """Raise what the objective raises for an encoder; E455 if `compile` has nothing to compile."""
    shim = get_shim(nlp, settings)
    settings.objective.validate(shim.embedder.encoder, shim.pieces)
    if settings.compile:
        find_compiled(shim.embedder.encoder)


def train(trainer: Trainer, nlp: Language, output: Path, notices: list[str]) -> None:
    """Take all steps, and show them in the first process. notices: shown before."""
    if not trainer.processes.is_first:
        trainer.run()
        return
    settings = trainer.settings
    neighbours: Callable[[], Iterable[str]] = tuple
    if settings.neighbours and settings.parallel != "fsdp":
        neighbours = Neighbours(get_model(nlp, settings), nlp, settings).format_lines
    monitor = Monitor(output, settings, start=trainer.progress.steps, describe_scores=neighbours)
    for line in notices:
        monitor.show(line)
    try:
        trainer.run(monitor)
    finally:
        monitor.close()
    plot_log(output)


def list_notices(trainer: Trainer, damaged: list[str], *, resume: bool) -> Iterator[str]:
    """Tell at the beginning from where a run goes on, and how."""
    yield from (Errors.W011.format(name=name) for name in damaged)
    if trainer.progress.steps:
        yield f"resumed after step {trainer.progress.steps}"
        return
    if resume:
        yield f"no checkpoint in {trainer.checkpoints.folder}: begins anew"
    on_cpu = trainer.processes.device.type == "cpu"
    if trainer.settings.precision == "bf16" and on_cpu and not has_bf16_products():
        yield Errors.W012


def write_weights(
    trainer: Trainer, nlp: Language, config: Config, output: Path, data: Data
) -> Language | None:
    """Write `model-last.bin`, and return the pipeline with these weights, in the first process."""
    settings, task = trainer.settings, trainer.task
    weights = gather_state(trainer.module, keep=trainer.processes.is_first)
    if not trainer.processes.is_first:
        return None
    if settings.parallel == "fsdp":  # this process has but a part of each parameter
        nlp = build_pipeline(config, settings)
        task = build_task(nlp, settings, data._replace(has_weights=True))
    task.load_state_dict({n.removeprefix("model."): w for n, w in weights.items()})
    task.eval()
    get_shim(nlp, settings).weights_changed()
    with replacing(output / "model-last.bin") as temporary:
        temporary.write_bytes(get_model(nlp, settings).to_bytes())
    return nlp
