"""`python -m spacy ctxemb pretrain`"""

from pathlib import Path

import typer

from .output_paths import check_output
from .use_gpu import use_gpu


def pretrain(
    ctx: typer.Context,
    config_path: Path = typer.Argument(..., help="Config with a [pretrain] section", exists=True),
    output: Path = typer.Argument(..., help="Folder of the run"),
    resume: bool = typer.Option(False, "--resume", "-r", help="Go on after the last checkpoint"),
    to_pipeline: Path | None = typer.Option(None, help="Folder for a pipeline of the encoder"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="-1 for the CPU"),
) -> None:
    """Pretrain a biLM or a Transformer on text.

    Options such as --paths.train FILE replace settings of the config. A run that was interrupted
    goes on with --resume, as if it had never stopped. To train with several processes, put
    `torchrun --nproc-per-node N -m` before `spacy ctxemb pretrain`.
    """
    import logging
    import os

    # PyTorch's own switch, read when it first needs memory: large pages for large tensors. In a
    # quarter of the time it fills the gradient of a vocabulary's table, new in each step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

    from spacy.cli._util import parse_config_overrides, show_validation_error
    from spacy.util import load_config
    from wasabi import msg

    from ..pretraining.run_from_config import pretrain as run
    from ..read_files import reading
    from ..save_pipeline import to_disk

    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    if gpu_id >= 0:  # with torchrun each process has a GPU of its own
        gpu_id = int(os.environ.get("LOCAL_RANK", gpu_id))
    use_gpu(gpu_id, silent=True)
    overrides = parse_config_overrides(ctx.args)
    with show_validation_error(config_path, hint_fill=False):
        with reading(config_path, "a config"):
            config = load_config(config_path, overrides=overrides, interpolate=False)
        if to_pipeline is not None and not resume:
            check_output(to_pipeline)
        nlp = run(config, output, resume=resume)
        if nlp is None:
            return
        msg.good(f"Wrote {output / 'model-last.bin'}")
        if to_pipeline is not None:
            to_disk(nlp, to_pipeline)
            msg.good(f"Wrote a pipeline to {to_pipeline}")
