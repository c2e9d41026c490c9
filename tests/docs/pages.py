"""What README.md and docs/ hold: excerpts of configs, Python, command lines, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

BLOCK = re.compile(
    r"(?:<!-- excerpt: (?P<name>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)


class Block(NamedTuple):
    """A fenced block. name: of an excerpt that a test asks for."""

    page: str
    name: str
    language: str
    text: str


def list_pages() -> list[Path]:
    return [README, *sorted(DOCS.glob("*.md"))]


def list_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [
        Block(path.name, match["name"] or "", match["language"], match["text"])
        for path in list_pages()
        for match in BLOCK.finditer(path.read_text(encoding="utf8"))
        if match["language"] in languages
    ]


def read_excerpt(name: str) -> str:
    """The excerpt of a config that stands below `<!-- excerpt: NAME -->`."""
    (text,) = (block.text for block in list_blocks("ini") if block.name == name)
    return text


def list_command_lines() -> Iterator[tuple[str, list[str]]]:
    """The page and the words of every command in a block for the shell."""
    for block in list_blocks("bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in re.split(r" && ", line):
                if part.strip():
                    yield block.page, shlex.split(part, comments=True)


def list_links(path: Path) -> list[str]:
    """The relative links of a page, pictures included, outside of blocks."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in links if not re.match(r"\w+:", link)]


def list_anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown and GitHub name simple ones."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in headings}
