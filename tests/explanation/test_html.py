"""The page: escaped, alone, and usable with a mouse, with keys and by a screen reader."""

import html
import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from spacy_ctxemb.explanation import Explanation, explain
from spacy_ctxemb.explanation.html import to_png

from .browser import Browser, needs_browser
from .pipelines import build_heads

EVIL = "<script>document.title='hit'</script>"
CORPUS = [
    f"Nobody met Grace in Lima {EVIL}.",
    "We saw Lima & Oslo.",
    "Lima is warm.",
    "A \"quoted\" Lima 'here'.",
    "Is Lima large?",
]


@pytest.fixture(scope="module")
def found() -> Explanation:
    nlp = build_heads("transformer")
    text = f"Ada Lovelace met Grace in Lima {EVIL}."
    return explain(
        nlp, text, method="gradients", label="LOC", span=(5, 6), word="Lima", corpus=CORPUS
    )


@pytest.fixture(scope="module")
def page(found: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(found.to_html(), encoding="utf8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def test_texts_are_escaped(found: Explanation) -> None:
    assert found.senses is not None
    for shown in (found.to_html(), found._repr_html_(), found.senses._repr_html_()):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
        assert "javascript:" not in shown


def test_nothing_is_fetched_and_nothing_runs(found: Explanation) -> None:
    shown = found.to_html()
    links = re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", shown)
    assert links and all(link.startswith("data:image/png;base64,") for link in links)
    assert not re.findall(r"<[^>]*\son\w+\s*=", shown)


def test_numbers_are_in_tables_too(found: Explanation) -> None:
    (one,) = found.attributions
    cells = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', found.to_html())
    values = {html.unescape(word): value for word, value in cells}
    for token, value in zip(found.doc, one.values, strict=True):
        if list(found.doc.text.split()).count(token.text) == 1:
            expected = "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")
            assert values[token.text] == expected


def test_a_map_is_a_picture_of_weights() -> None:
    weights = np.array([[0.0, 1.0], [0.25, 0.75]])
    picture = imread(BytesIO(b64decode(to_png(weights))), format="png")
    np.testing.assert_allclose(picture[..., 3], weights, atol=1 / 255)
    np.testing.assert_allclose(picture[0, 0, :3], np.array([0, 114, 178]) / 255, atol=1e-6)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(scheme: str, page: Path, browser: Browser) -> None:
    """Contrast after WCAG 2.2, criterion 1.4.3, of each text on what is behind it."""
    browser.open(page, scheme=scheme)
    assert browser.run("document.title") != "hit"
    assert all(url.startswith(("file:", "data:", "about:")) for url in browser.requested)
    contrasts = browser.run(CONTRASTS)
    assert len(contrasts) > 50 and min(contrasts) >= 4.5
    is_light = (
        browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert is_light == (scheme == "light")


@needs_browser
def test_it_fits_on_a_narrow_screen(page: Path, browser: Browser) -> None:
    browser.open(page, width=420)
    assert browser.run("document.documentElement.scrollWidth") <= 420


@needs_browser
def test_layers_open_with_a_click_and_with_a_key(page: Path, browser: Browser) -> None:
    browser.open(page)
    is_open = "document.querySelector('details').open"
    assert not browser.run(is_open)
    browser.click("details > summary")
    assert browser.run(is_open)
    browser.run("document.querySelector('summary').focus()")
    browser.press("Enter")
    assert not browser.run(is_open)


@needs_browser
def test_points_show_their_sentence(page: Path, browser: Browser) -> None:
    """By the mouse, and by keys alone."""
    browser.open(page)
    is_shown = "tip => getComputedStyle(tip).visibility == 'visible'"
    tips = "[...document.querySelectorAll('.tip')]"
    shown = f"{tips}.filter({is_shown}).map(tip => tip.textContent)"
    assert browser.run(shown) == []
    browser.point_at("li:nth-child(2) .point")
    (sentence,) = browser.run(shown)
    assert "Lima" in sentence
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    seen = set()
    for _ in range(60):
        browser.press("Tab")
        seen.update(browser.run(shown))
    assert {text.strip() for text in seen} >= {"Lima is warm.", "We saw Lima & Oslo."}
    assert len(seen) == 6


@needs_browser
def test_a_screen_reader_finds_everything(page: Path, browser: Browser) -> None:
    browser.open(page)
    images = browser.list_names("image")
    assert sum(re.match(r"Group \d: .*Lima", name) is not None for name in images) == 6
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    maps = [name for name in browser.list_names("image") if name.startswith("Attention of head")]
    assert len(maps) == browser.run("document.querySelectorAll('svg').length") >= 4
    headings = browser.list_names("heading")
    assert headings[0] == "Explanation" and "Why LOC for “Lima”?" in headings
    assert all(browser.list_names("region"))


#: The contrast of each text that is shown with what is behind it, layers of colour included.
CONTRASTS = """
(() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number);
    return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const back = node => { const stack = [];
    for (let n = node; n; n = n.parentElement)
      stack.push(parse(getComputedStyle(n).backgroundColor));
    return stack.reverse().reduce((below, top) => over(top, below), [255, 255, 255]); };
  const light = c => { const [r, g, b] = c.map(x => x / 255).map(
    x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  return [...document.querySelectorAll('body *')].filter(n => !n.closest('svg, style') &&
    [...n.childNodes].some(c => c.nodeType == 3 && c.textContent.trim())).map(n => {
      const below = back(n), b = light(below);
      const a = light(over(parse(getComputedStyle(n).color), below));
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
})()
"""
