"""What the front door returns shows itself: one short line, and small HTML in which foreign names stay text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

import lensaudit as la
from lensaudit.records import LARGEST_PAGE, MOST_ROWS, Cells, Facts, Shown, page_frame

HOSTILE = '<i>"&\u202e'
"""In names of folders."""

OURS = {"div", "strong", "table", "tr", "th", "td", "img", "p", "iframe"}

SHOWS = {
    "set": "40: 19 lenses, 21 non-lenses",
    "finder": "custom",
    "scores": "euclid-000007",
    "evaluation": "<td>auroc</td>",
    "selection": "FPR ≤ 10 %",
    "explanation": "Input × gradient",
    "occlusion": "positive: for a lens",
    "kernels": "<th>layer</th>",
    "dream": "data:image/png",
    "judgement": "positive-share",
    "probe": "einstein-radius",
    "probes": "einstein-radius",
    "realism": "<th>told apart by</th>",
    "embedding": "input of layer 3, 324 numbers",
    "audit": "<iframe",
    "comparison": "<iframe",
    "trained": "<th>lowest validation loss</th>",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An object of each kind that the nineteen names return."""
    from torch import nn

    folder = tmp_path_factory.mktemp("shown") / HOSTILE
    lenses = la.simulate("euclid", n=40, seed=7, out=folder)
    net = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(324, 1))
    finder = la.declare_finder(net, bands=("VIS",), size=40, name="mine")
    scores = la.score(finder, lenses)
    short = {
        "probe_n": 0,
        "occlusion_n": 0,
        "maps_n": 0,
        "judge_n": 0,
        "dream_steps": 0,
        "kernels": False,
        "embed": False,
    }
    one_epoch = {"epochs": 1, "batch_size": 8, "validation_fraction": 0.2, "device": "cpu"}
    return {
        "set": lenses,
        "finder": finder,
        "scores": scores,
        "evaluation": la.evaluate(finder, lenses, scores=scores),
        "selection": la.selection_function(finder, lenses, scores=scores, fpr=0.1),
        "explanation": la.explain(finder, lenses, [0, 1], method="input-x-gradient"),
        "occlusion": la.occlusion(finder, lenses),
        "kernels": la.kernels(finder, lenses, top=3),
        "dream": la.dream(finder, steps=3),
        "judgement": la.judge(finder, lenses, methods=["input-x-gradient"], parts=["localisation"], per_kind=4),
        "probe": la.probe(finder, "einstein-radius", n=4),
        "probes": la.probe(finder, ["einstein-radius"], n=4),
        "realism": la.realism(finder, lenses, la.simulate("euclid", n=12, seed=8), label="any"),
        "embedding": la.embed(finder, lenses, map_n=0, read=False),
        "audit": la.audit(finder, lenses, **short),
        "comparison": la.compare({"one": finder, "other": "ou66"}, lenses, speed=False),
        "trained": la.train("ou66", lenses, **one_epoch),
    }


@pytest.mark.parametrize("name", SHOWS)
def test_a_result_is_one_short_line_where_it_is_printed(name, results):
    line = repr(results[name])
    assert line.startswith(f"{type(results[name]).__name__}(")
    assert line.isprintable()
    assert len(line) < 300


@pytest.mark.parametrize("name", SHOWS)
def test_a_result_is_small_escaped_html_in_a_notebook(name, results):
    html = results[name]._repr_html_()
    assert SHOWS[name] in html
    assert tags_of(html) <= OURS
    assert "\u202e" not in html
    frame = html.find("<iframe")
    assert len(html[:frame] if frame >= 0 else html) < 100_000


def tags_of(html: str) -> set[str]:
    """Names of all elements; what stands in an attribute is none."""
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: Any) -> None:
            found.add(tag)

    Reader().feed(html)
    return found


class Many(Shown):
    """More rows than are shown, of foreign words."""

    def _facts(self) -> Facts:
        return {"path of it": "<b>\n", "non-lenses": 3, "values": tuple(range(40))}

    def _rows(self) -> list[Cells]:
        return [{"<u>": "<script>", "n": n} for n in range(MOST_ROWS + 3)]


def test_foreign_words_are_text_and_long_things_are_cut():
    assert repr(Many()) == f"Many(path_of_it='<b>\\\\n', non_lenses=3, values='{', '.join(map(str, range(12)))} …')"
    html = Many()._repr_html_()
    assert tags_of(html) == {"div", "strong", "table", "tr", "th", "td", "p"}
    assert "… and 3 more" in html
    assert f"<td>{MOST_ROWS - 1}</td>" in html
    assert f"<td>{MOST_ROWS}</td>" not in html


def test_a_huge_page_is_named_and_not_copied_and_one_that_is_gone_is_left_out(tmp_path):
    page = tmp_path / "<b>index.html"
    assert page_frame(page) == ""
    page.write_bytes(b" " * (LARGEST_PAGE + 1))
    assert "&lt;b&gt;index.html" in page_frame(page)
    assert len(page_frame(page)) < 1_000
    page.write_text("<p>it</p>", encoding="utf-8")
    assert 'srcdoc="&lt;p&gt;it&lt;/p&gt;"' in page_frame(page)
    assert 'sandbox=""' in page_frame(page)
