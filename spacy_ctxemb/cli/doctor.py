"""`python -m spacy ctxemb doctor`"""

from pathlib import Path

import typer

from .output_paths import FORCE, check_new


def doctor(
    config: Path = typer.Argument(..., help="Config for `spacy train`", exists=True),
    overrides: list[str] = typer.Argument(
        None,
        metavar="[OVERRIDES]...",
        help="Settings as for `spacy train`, such as --paths.train train.spacy",
    ),
    limit: int = typer.Option(1000, min=0, help="Documents of each corpus to look at; 0 for all"),
    json: Path | None = typer.Option(None, help="File to write the report to, with all figures"),
    gpu_id: int = typer.Option(-1, help="GPU to measure memory on, or -1 for the CPU"),
    measure: bool = typer.Option(True, help="Run one step in a process to measure its memory"),
    force: bool = FORCE,
) -> None:
    """Look at a config and its data before training, and say what will go wrong.

    Reports how components are wired, what learns, labels, pieces and windows, steps, the learning
    rate, and the memory that the largest batch takes. Exits with code 1 if there are errors.
    """
    import srsly
    from spacy.cli._util import parse_config_overrides

    from ..atomic_files import replacing
    from ..doctor.findings import print_report
    from ..doctor.run_all_checks import examine

    if json is not None:
        check_new(json, force=force)
    settings = parse_config_overrides(list(overrides or []))
    report = examine(config, settings, limit=limit, gpu_id=gpu_id, measure=measure)
    print_report(report)
    if json is not None:
        with replacing(json) as temporary:
            srsly.write_json(temporary, report.to_json())
    if report.has_errors:
        raise typer.Exit(1)
