"""`python -m spacy ctxemb ...`. Every spaCy command imports this file: no heavy imports here,
nor at the top of the files beside it."""

from collections.abc import Callable

import typer
from spacy.cli._util import app

from .align import align
from .align_score import align_score
from .annotate import annotate
from .ask import ask
from .benchmark import benchmark
from .cache import cache
from .collect_text import collect_text
from .compare import compare
from .convert_squad import convert_squad
from .convert_textcat import convert_textcat
from .doctor import doctor
from .encode import encode
from .explain import explain
from .export import export_bert, export_elmo, export_onnx
from .import_bert import import_bert
from .import_elmo import import_elmo
from .index import index
from .init_config import init_config
from .perplexity import perplexity
from .pretrain import pretrain
from .report import report
from .search import search
from .serve import serve
from .show_errors import showing_errors
from .train_pieces import train_pieces

#: For commands that also take settings of a config, such as --paths.train FILE.
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}


def build_app(help: str, commands: dict[str, Callable[..., None]]) -> typer.Typer:
    """An app of commands by their names, each of which shows its errors as messages."""
    built = typer.Typer(help=help, no_args_is_help=True)
    for name, command in commands.items():
        settings = OVERRIDES if command in (cache, compare, doctor, pretrain) else None
        built.command(name, context_settings=settings)(showing_errors()(command))
    return built


ctxemb_cli = build_app(
    "Contextual word vectors for spaCy.",
    {
        "align": align,
        "align-score": align_score,
        "annotate": annotate,
        "ask": ask,
        "benchmark": benchmark,
        "cache": cache,
        "index": index,
        "init-config": init_config,
        "doctor": doctor,
        "encode": encode,
        "explain": explain,
        "collect-text": collect_text,
        "compare": compare,
        "convert-squad": convert_squad,
        "convert-textcat": convert_textcat,
        "train-pieces": train_pieces,
        "perplexity": perplexity,
        "pretrain": pretrain,
        "report": report,
        "search": search,
        "serve": serve,
    },
)
import_cli = build_app(
    "Make pipelines of published models.", {"elmo": import_elmo, "bert": import_bert}
)
export_cli = build_app(
    "Write encoders in published formats.",
    {"elmo": export_elmo, "bert": export_bert, "onnx": export_onnx},
)
ctxemb_cli.add_typer(import_cli, name="import")
ctxemb_cli.add_typer(export_cli, name="export")
app.add_typer(ctxemb_cli, name="ctxemb")
