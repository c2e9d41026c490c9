"""A report as a page of Markdown or of HTML."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence

from .sections import Section
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
nav ul { columns: 2; padding-left: 1.25rem; }
a { color: #005a9c; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
tbody th { font-weight: normal; }
img { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1.5rem; }
dt { color: #555; }
dd { margin: 0; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  h2 { break-after: avoid; }
  tr, img { break-inside: avoid; }
}
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<nav aria-label="Sections">
<ul>
{% for section in sections %}
<li><a href="#{{ section.title|anchor }}">{{ section.title }}</a></li>
{% endfor %}
</ul>
</nav>
{% for section in sections %}
<section aria-labelledby="{{ section.title|anchor }}">
<h2 id="{{ section.title|anchor }}">{{ section.title }}</h2>
<p>{{ section.note }}</p>
{% if section.table %}
<div class="scroll" role="region" aria-labelledby="{{ section.title|anchor }}" tabindex="0">
<table>
<thead>
<tr>{% for name in section.table.header %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in section.table.rows %}
<tr><th scope="row">{{ row[0].text }}</th>
{%- for cell in row[1:] %}<td>
{%- if cell.best %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif -%}
</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
{% if section.plot %}
<p><img src="data:image/png;base64,{{ section.plot.png|base64 }}" alt="{{ section.plot.alt }}"></p>
{% endif %}
</section>
{% endfor %}
<section aria-labelledby="conditions">
<h2 id="conditions">Written with</h2>
<dl>
{% for name, value in conditions.items() %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
</section>
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
    """Plots are told in words, with a link to the page that shows them."""
    blocks = [f"# {title}"]
    for section in sections:
        blocks += [f"## {section.title}", section.note]
        if section.table:
            blocks.append("\n".join(markdown_rows(section.table)))
        if section.plot:
            link = f"[Plot](report.html#{anchor(section.title)})"
            blocks.append(f"{section.plot.alt} {link}")
    items = [f"- {name}: {value}" for name, value in conditions.items()]
    return "\n\n".join([*blocks, "## Written with", "\n".join(items)]) + "\n"


def markdown_rows(table: Table) -> Iterator[str]:
    """The lines of a table, numbers to the right."""
    yield markdown_row(table.header)
    yield markdown_row([":--", *("--:" for _ in table.header[1:])])
    for row in table.rows:
        yield markdown_row([f"**{cell.text}**" if cell.best else cell.text for cell in row])


def markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def anchor(title: str) -> str:
    """The title as an id for links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
