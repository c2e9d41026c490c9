"""One run of pretraining, from a config to weights."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import cast

from spacy.language import Language
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Config, fix_random_seed, get_torch_default_device

from ..component import ContextualEmbedder
from ..encoders.kernels.linear import has_bf16_products
from ..errors import Errors
from ..files import replacing
from ..pretrained import AUTO
from ..thinc_model.embedder_shim import EmbedderShim
from ..thinc_model.model import ContextualModel, needs_vocabulary
from .distributed import Processes, join_processes
from .distributed_model import gather_weights, list_compiled
from .monitor import Monitor
from .nearest_neighbours import Neighbours
from .plot_log import plot_log
from .resume_checks import check_basis, check_continuation, check_text
from .run_checkpoints import Snapshots
from .settings import SECTION, PretrainSettings, read_settings
from .spacy_pretrain import get_pretrained_shim
from .tasks.task import Task
from .text.token_store import TokenStore, build_token_store
from .trainer import Report, Trainer

#: Texts that components see when they are initialised.
N_SAMPLE = 10

#: What is read of each, since spaCy refuses long texts.
N_CHARACTERS = 1000


def pretrain(config: Config, output: Path, *, resume: bool) -> Language | None:
    """Train the encoder of a config. Returns the pipeline, in the first process.

    output: a folder for `model-last.bin`, which [initialize] init_tok2vec reads; `config.cfg`,
        `log.jsonl`, `curves.png`; `checkpoints`, and `text`, the tokenised text.
    resume: go on from the last checkpoint; else there must be none.
    """
    settings = read_settings(config.interpolate())
    check_loggers(settings)
    check_output(output, settings)
    with join_processes(get_torch_default_device().type) as processes:
        snapshots = Snapshots(
            output / "checkpoints",
            processes,
            n_shards=processes.n * settings.accumulate,
            keep=settings.keep_checkpoints,
        )
        continues = bool(snapshots.list_paths())
        if continues:
            check_continuation(config, output, resume=resume)
            snapshots.check_shards()
        nlp = build_pipeline(config, settings)
        shim = get_pretrained_shim(get_model(nlp, settings))
        settings.objective.check(shim.embedder.encoder, shim.pieces)
        if settings.compile:
            list_compiled(shim.embedder.encoder)
        stores = build_stores(nlp, shim, settings, output, processes, continues=continues)
        task = build_task(shim, settings, *stores)
        if processes.is_first:
            check_basis(stores[0], shim.pieces, task.objective, output, continues=continues)
            with replacing(output / "config.cfg") as temporary:
                config.to_disk(temporary)
        trainer = train(task, settings, processes, snapshots, nlp, output, resume=resume)
        weights = gather_weights(trainer.module)
        if not processes.is_first:
            return None
        if settings.parallel == "fsdp":
            nlp = build_pipeline(config, settings)
            shim = get_pretrained_shim(get_model(nlp, settings))
            task = build_task(shim, settings, *stores)
        task.module.load_state_dict(weights)
        task.module.eval()
        shim.weights_changed()
        with replacing(output / "model-last.bin") as temporary:
            temporary.write_bytes(get_model(nlp, settings).to_bytes())
    return nlp


def check_loggers(settings: PretrainSettings) -> None:
    """Refuse loggers that are not installed."""
    wanted = {"tensorboard": settings.tensorboard, "wandb": bool(settings.wandb_project)}
    for name, is_wanted in wanted.items():
        if is_wanted and find_spec(name) is None:
            raise ImportError(Errors.E206.format(name=name))


def check_output(output: Path, settings: PretrainSettings) -> None:
    """Refuse to write where text is read."""
    for path in [Path(path).resolve() for path in settings.train.paths + settings.held_out.paths]:
        if path.is_dir() and output.resolve().is_relative_to(path):
            raise ValueError(Errors.E214.format(output=output, path=path))


def build_pipeline(config: Config, settings: PretrainSettings) -> Language:
    """The component that is pretrained, alone in its pipeline, with random weights, or those that
    its loaders read or that `pretrained` names."""
    fix_random_seed(settings.seed)
    pipeline = Config({name: config[name] for name in config if name != SECTION}).copy()
    section = pipeline["components"].get(settings.component, {})
    if section.get("factory") == "ctxemb" and section.get("pretrained", AUTO) == AUTO:
        section["pretrained"] = None
    if settings.component in pipeline["nlp"]["pipeline"]:
        pipeline["nlp"]["pipeline"] = [settings.component]
    nlp = load_model_from_config(pipeline, auto_fill=True)
    check_vocabulary(nlp, settings)
    texts = list(islice((text for texts in settings.held_out for text in texts), N_SAMPLE))
    examples = [Example.from_dict(nlp.make_doc(text[:N_CHARACTERS]), {}) for text in texts]
    nlp.initialize(lambda: examples)
    return nlp


def check_vocabulary(nlp: Language, settings: PretrainSettings) -> None:
    """Refuse pieces that would learn their vocabulary from the few texts of build_pipeline."""
    name = settings.component
    shim = get_pretrained_shim(get_model(nlp, settings))
    loaders = nlp.config["initialize"]["components"].get(name, {})
    if loaders.get("pieces_loader") or loaders.get("encoder_loader"):
        return
    if needs_vocabulary(shim):
        with nlp.select_pipes(enable=[]):
            nlp.initialize()  # its callbacks alone, one of which may load a vocabulary
    if needs_vocabulary(shim):
        pieces = type(shim.pieces).__name__
        raise ValueError(Errors.E232.format(component=name, pieces=pieces))


def get_model(nlp: Language, settings: PretrainSettings) -> ContextualModel:
    """The model of the component that is pretrained."""
    if settings.component not in nlp.component_names:
        raise ValueError(
            Errors.E208.format(component=settings.component, names=nlp.component_names)
        )
    component = cast(ContextualEmbedder, nlp.get_pipe(settings.component))
    return component.model


def build_stores(
    nlp: Language,
    shim: EmbedderShim,
    settings: PretrainSettings,
    output: Path,
    processes: Processes,
    *,
    continues: bool = False,
) -> list[TokenStore]:
    """The text to learn from and the held-out text. The first process tokenises for all."""
    folders = [output / "text" / name for name in ("train", "held_out")]
    build = partial(build_token_store, nlp=nlp, pieces=shim.pieces, n_workers=settings.n_workers)
    if processes.is_first:
        check = partial(check_text, output=output) if continues else None
        build(settings.train, folder=folders[0], check=check)
        build(settings.held_out, folder=folders[1])
    processes.wait()
    return [TokenStore.open(folder) for folder in folders]


def build_task(
    shim: EmbedderShim, settings: PretrainSettings, store: TokenStore, held_out: TokenStore
) -> Task:
    """The task, with an objective that is stored beside the encoder."""
    encoder = shim.embedder.encoder
    task = settings.objective(
        encoder, shim.pieces, store=store, held_out=held_out, seed=settings.seed
    )
    task.objective.to_empty(device=shim.device)
    task.objective.reset_parameters()
    shim.objective = task.objective
    shim.keeps_objective = True
    return task


def train(
    task: Task,
    settings: PretrainSettings,
    processes: Processes,
    snapshots: Snapshots,
    nlp: Language,
    output: Path,
    *,
    resume: bool,
) -> Trainer:
    """Take all steps, and show them."""
    listeners: list[Callable[[Report], None]] = []

    def tell(report: Report) -> None:
        for listen in listeners:
            listen(report)

    trainer = Trainer(task, settings, processes, snapshots, on_step=tell)
    damaged = trainer.resume()
    if not processes.is_first:
        trainer.run()
        return trainer
    monitor = Monitor(output, settings, start=trainer.progress.steps)
    listeners.append(monitor)
    if settings.neighbours and settings.parallel != "fsdp":
        neighbours = Neighbours(get_model(nlp, settings), nlp, settings)

        def show(report: Report) -> None:
            if report.scores is not None:
                for line in neighbours.describe():
                    monitor.show(line)

        listeners.append(show)
    for name in damaged:
        monitor.show(Errors.W020.format(name=name))
    if trainer.progress.steps:
        monitor.show(f"resumed after step {trainer.progress.steps}")
    else:
        if resume:
            monitor.show(f"no checkpoint in {snapshots.folder}: begins anew")
        on_cpu = processes.device.type == "cpu"
        if settings.precision == "bf16" and on_cpu and not has_bf16_products():
            monitor.show(Errors.W021)
    try:
        trainer.run()
    finally:
        monitor.close()
    plot_log(output)
    return trainer
