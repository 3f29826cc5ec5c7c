"""The leaderboard page: every finder on it, every number with its n and interval, nothing asked of the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lensaudit.comparing import Comparison, render_comparison
from lensaudit.comparing.comparison import COMPARISON_NAME, SPEED_NAME
from lensaudit.comparing.page import draw_reliability, draw_roc
from lensaudit.comparing.pairs import AreaDifference, McNemar, Pair, Place
from lensaudit.comparing.tables import HEADS, PairCell, matrices_of, set_table, told_apart
from lensaudit.display.numbers import percent
from lensaudit.documents import sealed
from lensaudit.errors import DataError, UsageError
from tests.comparing.made_up import NAMES, REFUSED, comparison

REPORTS = Path(__file__).parents[2] / "reports"


class Text(HTMLParser):
    """Words of a page, tables as lists of rows of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self.cell is not None:
            self.tables[-1][-1].append(" ".join(" ".join(self.cell).split()))
            self.cell = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.cell is not None:
            self.cell.append(data)


@pytest.fixture(scope="module")
def made() -> Comparison:
    return comparison()


@pytest.fixture(scope="module")
def folder(made: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    made.write(place)
    render_comparison(place)
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "compare.html").read_text(encoding="utf-8").replace("\u00a0", " ")


@pytest.fixture(scope="module")
def read(page: str) -> Text:
    parser = Text()
    parser.feed(page)
    return parser


def test_every_finder_is_on_the_page_and_the_refused_one_with_its_reason(read: Text):
    text = " ".join(" ".join(read.words).split())
    for name in NAMES:
        assert name in text
    assert f"{REFUSED.finder} {REFUSED.why}" in text
    board = read.tables[0]
    assert {row[0].split(" n =")[0] for row in board[1:]} == set(NAMES) - {REFUSED.finder}


def test_units_clipped_fractions_and_remarks_on_pixels_are_said(read: Text):
    text = " ".join(" ".join(read.words).split())
    assert "ou200 VIS: unit unknown; clipped 25 % below, 0 % above" in text
    assert "ou66 VIS: unit unknown; no clipping by the stretch" in text
    row = next(row for row in read.tables[0] if row[0].startswith("ou200"))
    assert "these are no ordinary pixels for finder ou200" in row[0]


def test_no_number_stands_without_its_n_or_interval(read: Text):
    """Of every cell of the board that holds a measured number."""
    heads, *rows = read.tables[0]
    assert len(heads) == len(HEADS)
    interval = re.compile(r"\d–\d|— ")
    for row in rows:
        assert re.search(r"n = 200 \+ 200", row[0])
        for head, cell in zip(heads[1:], row[1:], strict=True):
            if "Size" in head:
                assert "parameters" in cell
            elif "Probes" in head:
                assert "n = 100 pairs" in cell
            else:
                assert interval.search(cell), (head, cell)
        assert "5 × 32 images" in row[8]
        assert "n = 8" in row[10] or row[10].startswith("—")
    for matrix in read.tables[1:4]:
        cells = [cell for row in matrix[1:] for cell in row[1:] if cell]
        assert len(cells) == 10  # pairs of five
        assert all(re.search(r"p [<=] ", cell) for cell in cells)


def test_matrices_name_their_n(page: str):
    assert page.count("n = 400 cutouts for each pair") == 2
    assert page.count("n = 200 lenses for each pair") == 1


def test_a_name_is_text_and_no_markup(page: str):
    assert "deeplens <b>" not in page
    assert "deeplens &lt;b&gt;" in page


def test_the_page_asks_for_nothing_and_only_its_own_script_may_run(page: str):
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(page)
    assert page.count("<script") == 1
    assert "default-src 'none'" in html.unescape(page)


def test_a_finder_that_learnt_from_the_set_is_marked(read: Text):
    [marked] = [row for row in read.tables[0] if "this set was its training set" in row[0]]
    assert marked[0].startswith("ou-j")


def test_table_is_sorted_by_auroc_and_sorts_by_any_column(folder: Path, page: str):
    written = Comparison.read(folder)
    values = [row.cells[0].value for row in set_table(written, written.sets[0])]
    assert values == sorted(values, reverse=True)
    assert page.count('<button type="button">') == len(HEADS)
    assert 'data-value=""' in page  # what was not measured


def test_a_matrix_counts_for_its_row_whatever_the_order_of_the_finders(made: Comparison):
    """The pair was tested as (worse, better); the better one is the row."""
    table = McNemar(n=9, both=0, a_alone=2, b_alone=7, neither=0, p=0.2, p_holm=0.2)
    area = AreaDifference(n=9, difference=-0.1, low=-0.25, high=0.02, p=0.01, method="", p_holm=0.01)
    ranking = (Place(1, "better", ()), Place(2, "worse", ()))
    pair = Pair("worse", "better", own=table, fpr=table, auroc=area)
    block = replace(made.sets[0], ranking=ranking, pairs=(pair,))
    difference, own, fpr = (matrix.rows[0] for matrix in matrices_of(block))
    assert difference.finder == own.finder == "better"
    assert own.cells == fpr.cells == (PairCell("7 : 2", "", "p = 0.2", shown=False),)
    assert difference.cells == (PairCell("+0.100", "−0.020 to 0.250", "p = 0.01", shown=True),)


def test_differences_that_are_not_shown_are_said(made: Comparison):
    sentences = told_apart(made.sets[0])
    assert sentences[0] == "1. ou66: significantly different from every other"
    assert any(": not significantly different from " in sentence for sentence in sentences)


def test_curves_are_drawn_with_their_bands_n_and_the_mark_of_one_percent_inside(made: Comparison):
    rows = [row for row in made.sets[0].ranked if row.roc is not None]
    linear, log = draw_roc(rows).axes
    curves = {line.get_label(): line for line in linear.lines}
    for row in rows:
        assert curves[row.finder].get_ydata() == pytest.approx(row.roc.tpr)
    assert [text.get_text() for text in log.texts] == [f" {percent(0.01)}"]
    assert "of 200 lenses" in linear.get_ylabel()
    few = comparison(("ou66", "ou200"), 40).sets[0]
    assert not draw_roc(few.ranked).axes[1].texts  # of 20 non-lenses, 1 % is off the axis
    diagrams = draw_reliability(rows).axes
    assert [axes.get_title(loc="left") for axes in diagrams if axes.axison] == [row.finder for row in rows]
    assert all(f"n = {row.n}" in axes.texts[0].get_text() for axes, row in zip(diagrams, rows, strict=False))


def test_same_data_same_bytes(folder: Path):
    before = (folder / "compare.html").read_bytes()
    assert render_comparison(folder).read_bytes() == before


def test_a_page_without_speed_and_probes_says_so(made: Comparison, tmp_path: Path):
    replace(made, probes=None, speed=()).write(tmp_path)
    text = render_comparison(tmp_path).read_text(encoding="utf-8")
    assert text.count("not measured") >= 6
    assert 'id="probes"' not in text


def test_folders_that_hold_no_comparison_are_refused(tmp_path: Path, made: Comparison):
    path = tmp_path / COMPARISON_NAME
    with pytest.raises(UsageError, match=r"holds no compare\.json"):
        render_comparison(tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="is not readable as JSON"):
        render_comparison(tmp_path)
    path.write_text(json.dumps({"schema": 99}), encoding="utf-8")
    with pytest.raises(DataError, match="schema is 99"):
        render_comparison(tmp_path)
    path.write_text(json.dumps(sealed({**made.to_json(), "sets": [{}]})), encoding="utf-8")
    with pytest.raises(DataError, match=r"compare\.json: sets\.0\.set: .*; run lensaudit compare again"):
        render_comparison(tmp_path)
    stranger = replace(made.sets[0], ranking=(Place(1, "nobody", None),))
    replace(made, sets=(stranger,)).write(tmp_path)
    with pytest.raises(DataError, match="do not fit each other"):
        render_comparison(tmp_path)
    assert (tmp_path / SPEED_NAME).exists()
    replace(made, speed=()).write(tmp_path)
    assert not (tmp_path / SPEED_NAME).exists()  # speeds of another run are no longer there


def test_a_comparison_survives_its_files(made: Comparison, tmp_path: Path):
    written = Comparison.read(made.write(tmp_path).parent)
    assert written.to_json() == made.to_json()
    assert written.speed == made.speed
    assert "speed" not in made.to_json()


def test_words_of_an_earlier_version_are_counted_and_explained(made: Comparison, tmp_path: Path):
    older = {"equivalent within tolerance": "no effect shown"}
    finders = [
        replace(one, verdicts=tuple(replace(said, word=older.get(said.word, said.word)) for said in one.verdicts))
        for one in made.probes.finders
    ]
    replace(made, probes=replace(made.probes, finders=tuple(finders))).write(tmp_path)
    page = render_comparison(tmp_path).read_text(encoding="utf-8")
    assert "1 bias, 1 no effect shown" in page
    assert "an earlier version’s word: equivalent within tolerance" in page


def test_a_comparison_is_read_and_its_page_drawn_without_torch():
    code = "import sys, lensaudit.comparing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_leaderboard_opens(tmp_path: Path):
    shutil.copy(REPORTS / "leaderboard" / COMPARISON_NAME, tmp_path)
    assert render_comparison(tmp_path).stat().st_size > 100_000
