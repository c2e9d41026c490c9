"""A report as a page of Markdown or of HTML."""

import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .all_sections import Section
from .format_tables import to_markdown


def html_page(title: str, conditions: dict[str, str], sections: Sequence[Section]) -> str:
    """One file that needs no other: plots are inside."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["anchor"] = anchor
    environment.filters["base64"] = lambda png: b64encode(png).decode("ascii")
    template = environment.get_template("page.html.jinja")
    return template.render(title=title, conditions=conditions, sections=sections)


def markdown_page(title: str, conditions: dict[str, str], sections: Sequence[Section]) -> str:
    """Plots are described in words; a plot with a file is shown, others are a link to HTML."""
    blocks = [f"# {title}"]
    for section in sections:
        blocks += [f"## {section.title}", section.note]
        if section.table:
            blocks.append(to_markdown(section.table))
        if section.plot and section.picture:
            blocks.append(f"![{section.plot.alt}]({section.picture})")
        elif section.plot:
            blocks.append(f"{section.plot.alt} [Plot](report.html#{anchor(section.title)})")
    items = [f"- {name}: {value}" for name, value in conditions.items()]
    return "\n\n".join([*blocks, "## Written with", "\n".join(items)]) + "\n"


def anchor(title: str) -> str:
    """The title as an id for links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
