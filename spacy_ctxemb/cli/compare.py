"""`python -m spacy ctxemb compare`"""

import re
from pathlib import Path

import typer

from ..errors import Errors
from .use_gpu import use_gpu


def compare(
    ctx: typer.Context,
    output: Path = typer.Argument(..., help="Folder for a JSON file a training, and table.md"),
    configs: list[str] = typer.Option(
        ...,
        "--config",
        help="NAME=FILE, a config for `spacy train`; repeat for each. NAME=FILE,FILE trains what "
        "the first has trained, its paths.pipeline, with the second",
    ),
    corpora: list[str] = typer.Option(
        ...,
        "--corpus",
        help="NAME=FOLDER with train.spacy, dev.spacy and test.spacy; repeat for each",
    ),
    labels: str = typer.Option(
        "0", help="Numbers of training examples, with commas between; 0 for all"
    ),
    seeds: str = typer.Option("0,1,2", help="Seeds, with commas between"),
    seeds_of_all: str = typer.Option("", help="Seeds for all examples, where these are others"),
    workers: int = typer.Option(1, min=1, help="Processes, of one thread each if several"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="-1 for the CPU"),
) -> None:
    """Train several configs on several corpora, and table the scores on the test sets.

    Each config is trained with each number of examples and each seed. Every seed chooses other
    examples, the same for all configs. The score is the one by which training chooses its best
    state. Settings of all configs are overridden by options such as --training.max_steps 100. Of
    the components that a config has for several tasks, those train that a corpus has labels for.
    A comparison that was interrupted goes on where it stopped.
    """
    from spacy.cli._util import parse_config_overrides
    from wasabi import msg

    from ..atomic_files import replacing
    from ..comparison.run_missing_trainings import do_runs, plan_runs, read_result
    from ..report.format_tables import comparison_table, print_table, to_markdown

    use_gpu(gpu_id, silent=True)
    runs = plan_runs(
        configs={n: [*map(Path, files.split(","))] for n, files in read_pairs(configs).items()},
        corpora={n: Path(folder) for n, folder in read_pairs(corpora).items()},
        sizes=read_numbers(labels),
        seeds=read_numbers(seeds),
        seeds_of_all=read_numbers(seeds_of_all or seeds),
        overrides=parse_config_overrides(ctx.args),
    )
    for result in do_runs(runs, output, n_workers=workers, gpu_id=gpu_id):
        size = result["n_labelled"] or "all"
        where = f"{result['corpus']}, {size} examples, seed {result['seed']}"
        msg.text(f"{100 * result['score']:5.1f}  {result['config']:<20} {where}")
    table = comparison_table([read_result(output / f"{run.name}.json") for run in runs])
    print_table(table)
    with replacing(output / "table.md") as path:
        path.write_text(to_markdown(table) + "\n", encoding="utf8")
    msg.good("Wrote table.md and the results", str(output))


def read_pairs(texts: list[str]) -> dict[str, str]:
    """The paths of several options NAME=PATH, by their names. Raises E514 for another text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path or name in pairs or re.search(r"[/\\]", name):
            raise ValueError(Errors.E514.format(text=text))
        pairs[name] = path
    return pairs


def read_numbers(text: str) -> list[int]:
    """Whole numbers with commas between, each once. Raises E515 for another text."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ValueError(Errors.E515.format(text=text))
    return list(dict.fromkeys(map(int, text.split(","))))
