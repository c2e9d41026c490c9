"""Markdown of plain text."""

from collections.abc import Iterable, Sequence


def write_table(heading: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is code."""
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    for name, *cells in rows:
        values = [f"`{name}`", *(escape(cell).replace("|", "\\|") for cell in cells)]
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join(lines)


def begin_sentence(text: str) -> str:
    """With a capital, unless the first word is a name such as `doc.tensor` or fp32."""
    first = text.partition(" ")[0].rstrip(",;:.")
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def escape(text: str) -> str:
    """Text that Markdown shows as it is; what stands in backticks stays code."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        part = parts[i]
        for sign in ("\\", "*", "_", "[", "]"):
            part = part.replace(sign, f"\\{sign}")
        parts[i] = part.replace("&", "&amp;").replace("<", "&lt;")
    return "`".join(parts)
