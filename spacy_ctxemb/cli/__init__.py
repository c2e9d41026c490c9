"""`python -m spacy ctxemb ...`. Every spaCy command imports this file: no heavy imports here,
nor at the top of the files beside it."""

import typer
from spacy.cli._util import app

from .cache import cache
from .collect_text import collect_text
from .compare import compare
from .convert_textcat import convert_textcat
from .doctor import doctor
from .export_bert import export_bert
from .export_elmo import export_elmo
from .import_bert import import_bert
from .import_elmo import import_elmo
from .init_config import init_config
from .perplexity import perplexity
from .pretrain import pretrain
from .report import report
from .train_pieces import train_pieces

ctxemb_cli = typer.Typer(
    name="ctxemb", help="Contextual word vectors for spaCy.", no_args_is_help=True
)
ctxemb_cli.command("cache", context_settings={"ignore_unknown_options": True})(cache)
ctxemb_cli.command("init-config")(init_config)
ctxemb_cli.command("doctor", context_settings={"ignore_unknown_options": True})(doctor)
ctxemb_cli.command("collect-text")(collect_text)
ctxemb_cli.command(
    "compare", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(compare)
ctxemb_cli.command("convert-textcat")(convert_textcat)
ctxemb_cli.command("train-pieces")(train_pieces)
ctxemb_cli.command("perplexity")(perplexity)
ctxemb_cli.command(
    "pretrain", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(pretrain)
ctxemb_cli.command("report")(report)
import_cli = typer.Typer(help="Make pipelines of published models.", no_args_is_help=True)
import_cli.command("elmo")(import_elmo)
import_cli.command("bert")(import_bert)
ctxemb_cli.add_typer(import_cli, name="import")
export_cli = typer.Typer(help="Write encoders in published formats.", no_args_is_help=True)
export_cli.command("elmo")(export_elmo)
export_cli.command("bert")(export_bert)
ctxemb_cli.add_typer(export_cli, name="export")
app.add_typer(ctxemb_cli)
