"""An alignment as HTML: two rows of tokens with lines between them, and a table."""

from collections.abc import Sequence
from html import escape
from unicodedata import east_asian_width

#: Pixels: of a letter, at most, and of a wide one, as in Chinese; between tokens; the height of the
#: drawing and its rows of text.
LETTER, WIDE, GAP, HEIGHT, TOP, BOTTOM = 9, 16, 18, 140, 24, 130

#: A page of its own, in the colours that the reader's system prefers.
PAGE = """<!DOCTYPE html>
<html{lang}><head><meta charset="utf-8"><title>Alignment</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}</style></head>
<body><h1>Alignment</h1>
{body}
</body></html>
"""


def to_page(parts: Sequence[str], lang: str) -> str:
    """A whole page of some alignments. lang: of its text; "xx" for several."""
    attribute = "" if lang == "xx" else f' lang="{escape(lang)}"'
    return PAGE.format(lang=attribute, body="\n<hr>\n".join(parts))


def to_html(
    a: Sequence[str],
    b: Sequence[str],
    pairs: Sequence[tuple[int, int, float]],
    name: str = "Alignment",
) -> str:
    """Draw tokens above and below, and a line for each pair, stronger for higher scores.

    pairs: the places of the tokens, and their score. name: of the drawing. All is in the table too,
    for those who do not see the drawing.
    """
    xs, ys = place(a), place(b)
    width = max((x + half for x, half in xs + ys), default=0.0) + GAP
    label = f"{len(a)} tokens above, {len(b)} below, {len(pairs)} pairs; the table has them all"
    lines = [
        f'<line x1="{xs[i][0]:g}" y1="{TOP + 8}" x2="{ys[j][0]:g}" y2="{BOTTOM - 18}" '
        f'stroke="currentColor" stroke-width="2" stroke-opacity="{fade(score):.2f}">'
        f"<title>{escape(a[i])} – {escape(b[j])}: {score:.2f}</title></line>"
        for i, j, score in pairs
    ]
    texts = [
        f'<text x="{x:g}" y="{y}" text-anchor="middle" fill="currentColor">{escape(token)}</text>'
        for tokens, places, y in ((a, xs, TOP), (b, ys, BOTTOM))
        for token, (x, _) in zip(tokens, places, strict=True)
    ]
    cells = [
        f"<tr><td>{i}</td><td>{escape(a[i])}</td><td>{j}</td><td>{escape(b[j])}</td>"
        f"<td>{score:.2f}</td></tr>"
        for i, j, score in pairs
    ]
    return (
        f'<figure style="margin: 0; overflow-x: auto" tabindex="0" aria-label="{escape(name)}">'
        f'<svg role="img" aria-label="{label}" width="{width:g}" height="{HEIGHT}" '
        f'viewBox="0 0 {width:g} {HEIGHT}" style="font: 16px system-ui, sans-serif">'
        f"{''.join(lines)}{''.join(texts)}</svg><details><summary>Table</summary><table>"
        '<caption>Pairs of tokens</caption><thead><tr><th scope="col">place</th>'
        '<th scope="col">above</th><th scope="col">place</th><th scope="col">below</th>'
        f'<th scope="col">score</th></tr></thead><tbody>{"".join(cells)}</tbody></table>'
        "</details></figure>"
    )


def place(tokens: Sequence[str]) -> list[tuple[float, float]]:
    """The middle of each token, and half of its width, in pixels."""
    found, x = [], float(GAP)
    for token in tokens:
        letters = [WIDE if east_asian_width(c) in ("W", "F") else LETTER for c in token]
        half = max(sum(letters), LETTER) / 2
        found.append((x + half, half))
        x += 2 * half + GAP
    return found


def fade(score: float) -> float:
    """How dark a line is: never so faint that it is not seen."""
    return min(1.0, max(0.25, score))
