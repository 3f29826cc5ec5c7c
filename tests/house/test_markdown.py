"""Markdown: a foreign word is shown as it stands, in a heading, in a cell and between backquotes."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from hostile import EVERY
from markdown_it import MarkdownIt

from lensaudit.evaluation.visual_inspection import Grade, grades_table
from lensaudit.explaining.judging.page import markdown
from lensaudit.explaining.judging.records import Row
from lensaudit.files import write_text
from lensaudit.finders.store import finder_card
from lensaudit.provenance import Provenance
from lensaudit.untrusted import in_code, in_markdown, markdown_page, printable


def rendered(text: str) -> str:
    """HTML of a page of Markdown, by a renderer that lets HTML through."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def shown(html: str, tag: str) -> list[str]:
    """What a reader sees in every element of that kind, spaces folded."""
    found = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    return [" ".join(unescape(re.sub(r"</?(em|strong|a|code)[^>]*>", "<markup>", one)).split()) for one in found]


@pytest.mark.parametrize("kind", EVERY)
def test_a_word_is_shown_as_it_stands(kind):
    word = EVERY[kind]
    seen = " ".join(printable(word).split())
    html = rendered(
        f"# {in_markdown(word)}\n\n| a | b |\n| --- | --- |\n| {in_markdown(word)} | `{in_code(word)}` |\n\n"
        f"* x {in_markdown(word)} y\n"
    )
    assert shown(html, "h1") == [seen]
    cell, code = shown(html, "td")
    assert cell == seen
    assert code == f"<markup>{seen.replace('`', chr(39)).replace('|', '¦')}<markup>"
    assert shown(html, "li") == [f"x {seen} y"]


def test_what_marks_up_nothing_is_left_alone():
    plain = "change -.12 [-.19, -.04], p < 0.001, n_arc_pixels > 20, θ_E & co. (2 of 3)"
    assert in_markdown(plain) == plain
    assert markdown_page(f"# A\n\n| {plain} |\n") == f"# A\n\n| {plain} |\n"


@pytest.mark.parametrize("kind", EVERY)
def test_no_page_holds_html_or_control_characters(tmp_path, kind):
    """Even where a word reached it as it was."""
    write_text(tmp_path / "a.md", f"x {EVERY[kind]}".encode("utf-8", "replace").decode())
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert all(line.isprintable() or line == printable(line) for line in text.split("\n"))
    assert not re.search(r"<(script|img|style|/title)", rendered(text))


@pytest.mark.parametrize("kind", EVERY)
def test_no_html_page_holds_control_characters(tmp_path, kind):
    write_text(tmp_path / "a.html", f"<p>{EVERY[kind]}</p>\n<p>θ_E\u00a0= 1″</p>\n")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not any(unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for sign in text.replace("\n", ""))
    assert text.endswith("<p>θ_E\u00a0= 1″</p>\n")


def test_a_card_shows_what_a_finder_s_record_says():
    recipe = {"name": "a", "architecture": "ou66", "bands": ["VIS"], "size": 66, "field_of_view_arcsec": 20,
              "stretch": "minmax", "outputs": 2, "lens_index": 1, "threshold": 0.5}  # fmt: skip
    for word in EVERY.values():
        record = {"recipe": recipe, "origin": word, "parameters": 1, "weights_hash": "0", "metrics": {word: 1.0},
                  "training_data": {"set": word}}  # fmt: skip
        html = rendered(finder_card(record))
        seen = " ".join(printable(word).split())
        assert shown(html, "li")[-4] == f"set: {seen}"
        assert "<script" not in html


def test_kinds_of_other_sets_stand_in_pages_of_judgements_as_they_are():
    """A catalogue of somebody else may say anything in its column ``kind``."""
    for word in EVERY.values():
        row = Row(
            "toy", "saliency", word, "rank-accuracy", 0.5, 0.4, 0.6, 0.5, n=3, status=word, gain_low=0.1, gain_high=0.2
        )
        settings = SimpleNamespace(few=1, fill="zero", methods=("saliency",))
        judgement: Any = SimpleNamespace(
            finder="toy", finder_hash="ab" * 32, images={word: 3}, rows=(row,), checks=(), views=(), partial={},
            beliefs=(), failed={"saliency": word}, provenance=Provenance.here(), settings=settings,
            label=lambda method: "", row=lambda *asked, row=row: row,
        )  # fmt: skip
        html = rendered(markdown([judgement]))
        seen = " ".join(printable(word).split())
        assert shown(html, "h3") == [f"toy: {seen}"]
        assert f"3 {seen} images" in " ".join(shown(html, "p"))


def test_grades_stand_in_their_table_as_they_are():
    for word in EVERY.values():
        html = rendered(grades_table([Grade(word, 3, 0, 0.5, 0.1, 0.4, 0.6, "")], word))
        seen = " ".join(printable(word).split())
        assert shown(html, "td")[0] == seen
        assert shown(html, "p")[0] == f"{seen}."
