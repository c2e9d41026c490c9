"""Which matrix products of a Transformer lose exactness in 8 bits.

    python -m tests.benchmarks.int8_sensitivity TEXTS [--encoder minilm] [--each]

TEXTS is a file with a text a line. Pieces are compared with those in fp32 by their cosine, in the
last layer: the least, the first percentile and the mean. A line for all products together, for
those of a kind, in every block, and with --each for those of a block: these alone in 8 bits, and
all others.
"""

from itertools import islice
from pathlib import Path

import torch
import typer
from spacy.language import Language
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders.kernels.linear import Linear
from spacy_ctxemb.encoders.transformer_blocks import BlockEncoder
from spacy_ctxemb.stack.name_encoders import list_encoders

from .text_similarity import load


def main(
    texts: Path = typer.Argument(..., help="A text a line", exists=True),
    encoder: str = typer.Option("minilm", help="Weights of the package, or a pipeline on disk"),
    limit: int = typer.Option(200, help="Texts that are read"),
    each: bool = typer.Option(False, "--each", help="Of each block too"),
) -> None:
    """Print a line for each group of products."""
    torch.set_num_threads(1)  # so that batches come in order
    with texts.open(encoding="utf8") as file:
        lines = [line.strip() for line in islice(file, limit)]
    nlp = load(encoder)
    blocks = next(iter(list_encoders(nlp)))[1].embedder.encoder
    if not isinstance(blocks, BlockEncoder):
        raise typer.BadParameter(f"{encoder} is not a Transformer", param_hint="--encoder")
    exact = encode(nlp, blocks, lines)
    products = blocks.products()
    names = sorted({name.split(".")[-1] for name in products}) + (sorted(products) if each else [])
    print(f"{len(exact)} pieces; least cosine, first percentile, mean")
    print(f"all: {compare(nlp, blocks, lines, exact, list(products.values()))}")
    for name in names:
        some = [m for n, m in products.items() if n == name or n.endswith(f".{name}")]
        others = [m for m in products.values() if m not in some]
        alone = compare(nlp, blocks, lines, exact, some)
        print(f"{name}: {alone}; all others: {compare(nlp, blocks, lines, exact, others)}")


def compare(
    nlp: Language, encoder: BlockEncoder, texts: list[str], exact: Tensor, rounded: list[Linear]
) -> str:
    """Cosines of pieces with exact ones, where some products are computed in 8 bits."""
    encoder.set_precision("int8")
    for module in encoder.products().values():
        if module not in rounded:
            module.set_dtype(None)
    cosines = F.cosine_similarity(encode(nlp, encoder, texts), exact)
    return f"{cosines.min():.5f} {cosines.quantile(0.01):.5f} {cosines.mean():.5f}"


def encode(nlp: Language, encoder: BlockEncoder, texts: list[str]) -> Tensor:
    """The last layer of all pieces, those that two windows share twice. (N, D)"""
    found: list[Tensor] = []
    hook = encoder.register_forward_hook(lambda _, __, layers: found.append(layers[-1]))
    for _doc in nlp.pipe(texts):
        pass
    hook.remove()
    return torch.cat(found)


if __name__ == "__main__":
    typer.run(main)
