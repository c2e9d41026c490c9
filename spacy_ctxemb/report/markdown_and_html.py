"""A report as a page of Markdown or of HTML."""

import re
from base64 import b64encode
from collections.abc import Sequence

from .contents import Section
from .tables import Table

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; }
body { max-width: 58rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; padding-bottom: .25rem; }
p { max-width: 42rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child { text-align: left; }
th[scope=row] { font-weight: normal; }
img { max-width: 100%; height: auto; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{% for section in sections %}
<section aria-labelledby="{{ section.title|anchor }}">
<h2 id="{{ section.title|anchor }}">{{ section.title }}</h2>
<p>{{ section.note }}</p>
{% if section.table %}
<div class="scroll" role="region" aria-labelledby="{{ section.title|anchor }}" tabindex="0">
<table>
<tr>{% for name in section.table.header %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
{% for row in section.table.rows %}
<tr><th scope="row">{{ row[0].text }}</th>
{%- for cell in row[1:] %}<td>
{%- if cell.best %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif -%}
</td>{% endfor %}</tr>
{% endfor %}
</table>
</div>
{% endif %}
{% if section.plot %}
<p><img src="data:image/png;base64,{{ section.plot.png|base64 }}" alt="{{ section.plot.alt }}"></p>
{% endif %}
</section>
{% endfor %}
<h2 id="written-with">Written with</h2>
<ul>
{% for name, value in conditions.items() %}
<li>{{ name }}: {{ value }}</li>
{% endfor %}
</ul>
</main>
</body>
</html>
"""


def html_page(title: str, conditions: dict[str, str], sections: Sequence[Section]) -> str:
    """One file that needs no other: plots are inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["anchor"] = anchor
    environment.filters["base64"] = lambda png: b64encode(png).decode("ascii")
    template = environment.from_string(TEMPLATE)
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


def to_markdown(table: Table) -> str:
    """A table with its numbers to the right."""
    rows = [[f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in table.rows]
    lines = [table.header, [":--", *("--:" for _ in table.header[1:])], *rows]
    return "\n".join(
        "| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines
    )


def anchor(title: str) -> str:
    """The title as an id for links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
