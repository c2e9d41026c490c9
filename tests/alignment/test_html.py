"""Alignments as HTML."""

from html.parser import HTMLParser
from xml.etree import ElementTree

from spacy_ctxemb.alignment.html import GAP, LETTER, to_html, to_page

from .test_align import align, make, turn


def test_lines_texts_and_table() -> None:
    figure = ElementTree.fromstring(to_html(["a", "<b>"], ["c & d"], [(1, 0, 0.9), (0, 0, -0.5)]))
    (svg,) = figure.findall("svg")
    assert svg.get("role") == "img" and "2 tokens above, 1 below, 2 pairs" in svg.get("aria-label")
    assert [text.text for text in svg.findall("text")] == ["a", "<b>", "c & d"]
    assert [line.find("title").text for line in svg.findall("line")] == [
        "<b> – c & d: 0.90",
        "a – c & d: -0.50",
    ]
    assert [line.get("stroke-opacity") for line in svg.findall("line")] == ["0.90", "0.25"]
    rows = [[cell.text for cell in row] for row in figure.iter("tr")]
    assert rows[1] == ["1", "<b>", "0", "c & d", "0.90"]
    assert all(head.get("scope") == "col" for head in figure.iter("th"))


def test_lines_end_at_their_tokens() -> None:
    (svg,) = ElementTree.fromstring(to_html(["one", "two"], ["x"], [(1, 0, 1.0)])).findall("svg")
    places = {text.text: text.get("x") for text in svg.findall("text")}
    (line,) = svg.findall("line")
    assert (line.get("x1"), line.get("x2")) == (places["two"], places["x"])
    assert float(places["two"]) < float(svg.get("width"))


def test_a_notebook_shows_it() -> None:
    doc = make(["river", "bank"], turn([0, 90]))
    assert "river – river: 1.00" in align(doc, doc)._repr_html_()


def test_nothing_is_a_page_too() -> None:
    page = to_page([to_html([], [], []), to_html(["a"], ["b"], [])], "en")
    HTMLParser().feed(page)
    assert page.startswith("<!DOCTYPE html>") and page.count("<svg") == 2
    assert "color-scheme: light dark" in page and "http" not in page


def test_wide_letters_have_room() -> None:
    (svg,) = ElementTree.fromstring(to_html(["銀行の", "川"], ["a", "b"], [])).findall("svg")
    first, second, *others = (float(text.get("x")) for text in svg.findall("text"))
    assert second - first == 3 * 16 / 2 + GAP + 16 / 2
    assert others[1] - others[0] == LETTER + GAP


def test_pages_of_several_languages_and_names_of_drawings() -> None:
    assert "<html><head>" in to_page([], "xx") and '<html lang="de"><head>' in to_page([], "de")
    figure = ElementTree.fromstring(to_html(["a"], ["b"], [], "Alignment of line 3"))
    assert figure.get("aria-label") == "Alignment of line 3"
