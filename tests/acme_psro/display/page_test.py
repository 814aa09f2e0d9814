"""Tests of acme_psro.display.page."""

import pathlib
import xml.etree.ElementTree as ElementTree

from acme_psro.display import page

_TEXT = "<b>a & b</b>"


def test_text_is_escaped_and_html_is_not() -> None:
    head = page.make_head(_TEXT, _TEXT, _TEXT, [page.Tile("<i>n</i>", "1&nbsp;%", "")])
    assert head.count("&lt;b&gt;a &amp; b&lt;/b&gt;") == 3
    assert "<b>" not in head
    assert '<dt><i>n</i></dt><dd class="value">1&nbsp;%</dd>' in head
    document = page.make_page(_TEXT, ["<p>first</p>", "<p>second</p>"])
    assert "<title>&lt;b&gt;a &amp; b&lt;/b&gt;</title>" in document
    assert "<p>first</p>\n<p>second</p>" in document


def test_number_table_has_one_cell_for_each_column() -> None:
    table = ElementTree.fromstring(page.make_number_table(["a", "b"], [["1", "2"], ["3", "4"]]))
    assert [cell.text for cell in table.iter("th")] == ["a", "b"]
    assert [[cell.text for cell in row] for row in table.iter("tr")][1:] == [["1", "2"], ["3", "4"]]


def test_config_table_has_dotted_names_and_texts() -> None:
    config = {"a": {"b": {"c": 1e-3}, "d": None}, "e": _TEXT, "f": pathlib.PurePosixPath("x/y")}
    table = ElementTree.fromstring(page.make_config_table(config))
    rows = {row[0].text: row[1].text for row in table.iter("tr")}
    assert rows == {"a.b.c": "0.001", "a.d": "null", "e": _TEXT, "f": '"x/y"'}
