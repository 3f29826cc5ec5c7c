"""A page of Markdown as one HTML file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hostile import EVERY
from matplotlib.figure import Figure

from lensaudit.display.figures import save_figure
from lensaudit.display.page import TEMPLATE, content_policy, markdown_table, render_page, write_html
from lensaudit.untrusted import in_markdown


def written(folder: Path, text: str) -> str:
    return write_html(folder / "a.html", text, "Written here.").read_text(encoding="utf-8")


def test_it_is_one_file_with_its_pictures_and_its_policy(tmp_path: Path):
    save_figure(tmp_path / "a.png", Figure((1, 1)))
    page = written(tmp_path, "# A finder\n\n## One\n\n![a curve](a.png)\n\n## Two\n\nθ_E is [0.1, 0.2].\n")
    assert "<title>A finder</title>" in page
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="a curve"', page)
    assert re.findall(r'<a href="#(section-\d)">(\w+)</a>', page) == [("section-1", "One"), ("section-2", "Two")]
    assert all(f'id="section-{number}"' in page for number in (1, 2))
    assert "θ<sub>E</sub> is [0.1,\u00a00.2]" in page
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert content_policy(style.group(1)).replace("'", "&#39;") in page
    assert "<script" not in page


def test_tables_scroll(tmp_path: Path):
    page = written(tmp_path, f"# A\n\n{markdown_table(('a', 'b'), [('1', '**2**')])}\n")
    assert '<div class="scroll"><table>' in page
    assert "<strong>2</strong>" in page


def test_numbers_stay_with_what_belongs_to_them(tmp_path: Path):
    page = written(tmp_path, "# A\n\n79.3 % [67.2, 87.7] n = 58\n")
    assert "79.3\u202f% [67.2,\u00a087.7] n\u00a0=\u00a058" in page


def test_statements_stay_whole_on_every_page_and_style_and_script_stay_as_they_are(tmp_path: Path):
    (tmp_path / "a.html.j2").write_text(
        '{% extends "shell.html.j2" %}\n{% block title %}p < 0.05{% endblock %}\n'
        "{% block main %}<p>17 % (n\n  = {{ n }}), {{ p }}; mean = 3</p>{% endblock %}"
    )
    (tmp_path / "a.js").write_text("if (n = 1) {}")
    page = render_page(tmp_path, "a.html.j2", script="a.js", n=185, p="p < 0.001")
    assert "(n\u00a0=\u00a0185), p\u00a0&lt;\u00a00.001; mean = 3" in page
    assert "<script>if (n = 1) {}</script>" in page


def rules(medium: str) -> dict[str, str]:
    """Selector → declarations of the common style sheet's rules for a medium."""
    css = re.sub(r"/\*.*?\*/", "", (TEMPLATE / "page.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    blocks = re.findall(rf"@media {medium} \{{(.*?)\n\}}", css, re.DOTALL)
    return {one.strip(): said for block in blocks for one, said in re.findall(r"([^{}]+)\{([^{}]*)\}", block)}


def test_on_paper_details_are_open_and_nothing_is_cut_or_in_the_way():
    printed = rules("print")
    assert "content-visibility: visible" in printed["details::details-content"]
    assert "overflow: visible" in printed[".scroll"]
    assert "min-width: 0" in printed["table, th, td"]
    assert "white-space: normal" in printed["td .badge"]
    assert "white-space: pre-wrap" in printed[".document pre"]
    assert "page: wide" in printed[".sheet.wide:not(.document)"]
    assert "display: none" in printed["nav, .skip"]


@pytest.mark.parametrize("word", EVERY.values(), ids=EVERY)
def test_foreign_words_stay_words(tmp_path: Path, word: str):
    page = written(tmp_path, f"# {in_markdown(word)}\n\n{word}\n\n![{in_markdown(word)}](../../etc/passwd)\n")
    assert "<script" not in page
    assert not re.findall(r"<img(?! src=\"data:)", page)
    assert "javascript:" not in re.findall(r'(?:href|src)="([^"]*)"', page)


def test_pictures_of_other_folders_are_not_read(tmp_path: Path):
    save_figure(tmp_path / "a.png", Figure((1, 1)))
    (tmp_path / "in").mkdir()
    assert "<img" not in written(tmp_path / "in", "![x](../a.png) ![y](/etc/passwd) ![z](missing.png)\n")
