"""Explanations as HTML: a page of its own, or a part of a notebook. No scripts, no other files."""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from spacy.tokens import Doc, Token

from .attention_maps import MAX_PIECES, AttentionMap
from .attribution import Attribution
from .nearest_neighbours import Neighbour
from .sense_map import SenseMap

Floats = NDArray[np.floating[Any]]

#: Blue of Okabe and Ito's colours, for maps.
BLUE = (0, 114, 178)

#: Values are written beside words from this share of the largest one on.
LEAST_SHOWN = 0.1

#: Smaller values read as 0.
SMALLEST = 0.0005

#: Words of context on either side of a word.
N_CONTEXT = 25


def render_page(*, doc: Doc, **parts: Any) -> str:
    """A page of what `render_parts` takes."""
    body = render_parts(**parts)
    return get_environment().get_template("page.html.jinja").render(text=doc.text, body=body)


def render_parts(
    *,
    attributions: Sequence[Attribution] = (),
    attention: Sequence[AttentionMap] = (),
    layers: dict[str, Any] | None = None,
    word: Token | None = None,
    neighbours: Sequence[Neighbour] = (),
    senses: SenseMap | None = None,
) -> str:
    """The parts there are, with their style, for a page or for a notebook."""
    return (
        get_environment()
        .get_template("parts.html.jinja")
        .render(
            attributions=[show_attribution(one) for one in attributions],
            attention=[show_attention(one) for one in attention],
            layers=layers or {},
            word=word,
            neighbours=[(one.score, split_context(one.token)) for one in neighbours],
            senses=None if senses is None else show_senses(senses),
        )
    )


@cache
def get_environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def show_attribution(one: Attribution) -> dict[str, Any]:
    """tokens: text, white space, value, share of the largest value, whether it is written there,
    and whether it is of the span in question."""
    largest = max(float(np.abs(one.values).max(initial=0.0)), 1e-12)
    start, end = one.target.span or (0, 0)
    tokens = [
        {
            "text": token.text,
            "space": token.whitespace_,
            "value": value,
            "share": abs(value) / largest,
            "is_shown": abs(value) >= max(LEAST_SHOWN * largest, SMALLEST) and not token.is_space,
            "is_target": start <= token.i < end,
            "is_space": token.is_space,
        }
        for token, value in zip(one.doc, one.values.tolist(), strict=True)
    ]
    return {"about": one, "tokens": tokens, "span": one.doc[start:end].text}


def show_attention(one: AttentionMap) -> dict[str, Any]:
    """layers: of each head its map, where it looks on average, and what each piece sees most of,
    the latter for windows of up to MAX_PIECES."""
    n = len(one.pieces)
    kinds = {
        "itself": np.eye(n),
        "the one before": np.eye(n, k=-1),
        "the one after": np.eye(n, k=1),
        "the boundaries": np.isin(np.arange(n), [0, n - 1])[None].repeat(n, axis=0),
    }
    layers = [
        [
            {
                "png": to_png(weights),
                "means": {kind: float((weights * at).sum() / n) for kind, at in kinds.items()},
                "most": []
                if n > MAX_PIECES
                else [
                    (piece, one.pieces[i], float(row[i]))
                    for piece, row, i in zip(
                        one.pieces, weights, weights.argmax(axis=1).tolist(), strict=True
                    )
                ],
            }
            for weights in heads
        ]
        for heads in one.weights
    ]
    return {"encoder": one.encoder, "pieces": one.pieces, "layers": layers, "kinds": list(kinds)}


def show_senses(senses: SenseMap) -> dict[str, Any]:
    """uses: the place of each in percent, its group from 1 on, and its context; by groups."""
    spread = np.maximum(np.ptp(senses.points, axis=0), 1e-9)
    places = 100 * (senses.points - senses.points.min(axis=0)) / spread
    rows = zip(places.tolist(), senses.groups.tolist(), senses.uses, strict=True)
    uses = [
        {"x": x, "y": y, "group": group + 1, "context": split_context(token)}
        for (x, y), group, token in rows
    ]
    by_group = sorted(uses, key=lambda use: use["group"])
    n_groups = int(senses.groups.max()) + 1
    counts = {"n_groups": n_groups, "n_found": senses.n_found}
    return {"word": senses.word, "uses": by_group, **counts}


def split_context(token: Token) -> tuple[str, str, str]:
    """What comes before a word in its sentence, the word, and what comes after."""
    doc = token.doc
    sent = token.sent if doc.has_annotation("SENT_START") else doc[:]
    start, end = max(sent.start, token.i - N_CONTEXT), min(sent.end, token.i + 1 + N_CONTEXT)
    before, after = doc[start : token.i].text_with_ws, doc[token.i + 1 : end].text
    return before.lstrip(), token.text, token.whitespace_ + after.rstrip()


def to_png(weights: Floats) -> str:
    """A map of shares as PNG in base64: one pixel each, which is more opaque for larger shares."""
    shares = np.clip(weights, 0.0, 1.0)
    pixels = np.empty((*shares.shape, 4), dtype=np.uint8)
    pixels[..., :3], pixels[..., 3] = BLUE, np.round(255 * shares)
    rows = np.concatenate(
        [np.zeros((len(pixels), 1), np.uint8), pixels.reshape(len(pixels), -1)], 1
    )
    header = pack(">IIBBBBB", shares.shape[1], shares.shape[0], 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b64encode(file).decode("ascii")
