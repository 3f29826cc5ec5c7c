"""The page: one file, no network, escaped, readable by machine and by a screen reader, honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from lensaudit.display.numbers import unbroken
from lensaudit.display.page import MAX_BYTES
from lensaudit.documents import keep_json
from lensaudit.errors import DataError, UsageError
from lensaudit.report.audit_file import read_audit
from lensaudit.report.chapters import Gallery, GalleryEntry, GalleryGroup, Kernels
from lensaudit.report.render import render_report, sections_of
from lensaudit.report.schema import BLOCKS, Audit
from tests.report.answers import probe_audit
from tests.report.conftest import with_metric, write_full

HOSTILE = "<script>alert(1)</script>"
BREAKOUT = "\"><img src=x onerror='alert(2)'>"


class Page(HTMLParser):
    """Elements of a page in order: (tag, attributes), and the text of each ``style``, ``td`` and ``th``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.style = self.text = ""
        self._inside = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == "style" else self._inside

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(shared_folder: Path) -> Page:
    return Page(shared_folder / "index.html")


def test_it_asks_the_network_for_nothing(page: Page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), (tag, name, attributes[name][:60])
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert not page.all("link") + page.all("script") + page.all("iframe") + page.all("object")


def test_pictures_inside_ask_for_nothing_either(page: Page):
    for image in page.all("img"):
        svg = unquote(image["src"].split(",", 1)[1])
        assert svg.startswith("<?xml")
        fetched = (
            re.findall(r'(?:href|src)="([^"#][^"]*)"', svg)
            + re.findall(r"url\((?!#)", svg)
            + re.findall("@import", svg)
        )
        assert fetched == []


def test_policy_comes_first_and_names_the_style(page: Page):
    metas = page.all("meta")
    policy = next(m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert page.source.index("Content-Security-Policy") < page.source.index("<style>")


def test_nothing_needs_what_the_policy_refuses(page: Page):
    assert not [tag for tag, attributes in page.elements if "style" in attributes]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_hostile_words_stay_words(audit: Audit, write_folder):
    assert audit.selection is not None
    assert audit.selection.non_lens_kinds is not None
    first, *others = audit.selection.non_lens_kinds.rows
    kinds = replace(  # also no formula for the figures
        audit.selection.non_lens_kinds, rows=(replace(first, kind=f"$x_{{{HOSTILE}"), *others)
    )
    entry = GalleryEntry(id=HOSTILE, p=0.2, facts=BREAKOUT, array=f"arrays/{BREAKOUT}.npz", fov_arcsec=20.0)
    hostile = replace(
        audit,
        finder=replace(audit.finder, name=HOSTILE),
        set=replace(audit.set, name=BREAKOUT),
        verdict=replace(audit.verdict, headline=f"{HOSTILE} and θ_E"),
        selection=replace(audit.selection, non_lens_kinds=kinds),
        gallery=Gallery(1, 1, (GalleryGroup("Hits", HOSTILE, (entry,)),)),
        provenance=replace(audit.provenance, command=BREAKOUT),
    )
    page = Page(render_report(write_folder(hostile)))
    assert page.all("script") == []
    assert not [a for a in page.all("img") if a["src"] == "x"]
    assert page.text.count(HOSTILE) >= 3
    assert "<sub>E</sub>" in page.source


def test_it_stays_below_five_megabytes_with_the_largest_gallery(
    audit: Audit, catalogue: dict[str, np.ndarray], tmp_path: Path
):
    write_full(audit, catalogue, tmp_path, 9)  # one more per group than is drawn
    path = render_report(tmp_path)
    assert path.stat().st_size < MAX_BYTES
    assert path.read_text(encoding="utf-8").count('class="entry"') == 3 * 8 + 1 + 4
    assert "1 more in audit.json" in path.read_text(encoding="utf-8")


def test_a_map_is_enlarged_beside_its_image_with_its_score(page: Page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.elements if tag in ("a", "use") and "href" in attributes}
    assert {link.removeprefix("#") for link in links} <= set(ids)
    start = page.source.index('id="map-0-gradcam"')
    tile = page.source[start : page.source.index("</figure>", start)]
    large = tile[tile.index('class="large"') :]
    assert large.count("<use") == 4  # image, map, and both together
    assert "41" in large
    assert "which covers 2" in large
    assert "fails the randomisation check" not in tile
    assert "Guided Grad-CAM <span" in page.source
    assert "DeepLIFT cannot explain ou66" in page.text


@pytest.mark.usefixtures("unplotted")
def test_a_page_too_large_is_refused(audit: Audit, write_folder):
    with pytest.raises(DataError, match="8 MB at most"):
        render_report(write_folder(replace(audit, limits=("x" * (MAX_BYTES + 1),))))


def test_every_picture_is_described(page: Page):
    assert page.all("img")
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    drawn = [svg for svg in page.all("svg") if "aria-hidden" not in svg]
    assert all(len(svg["aria-label"]) > 10 for svg in drawn)


def test_the_same_audit_gives_the_same_bytes(full_folder: Path):
    first = (full_folder / "index.html").read_bytes()
    assert render_report(full_folder).read_bytes() == first


@pytest.mark.usefixtures("unplotted")
def test_every_metric_has_its_n_and_interval(audit: Audit, write_folder):
    audit = with_metric(audit, "tpr0", value=math.nan, low=math.nan, high=math.nan)
    source = render_report(write_folder(audit)).read_text(encoding="utf-8")
    table = source[source.index("Metrics with") : source.index("</table>", source.index("Metrics with"))]
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</th>(.*?)</tr>", table, re.S)
    assert [name for name, _ in rows] == [unbroken(metric.label) for metric in audit.performance.metrics]
    for (_, cells), metric in zip(rows, audit.performance.metrics, strict=True):
        value, between, n, method = (c.strip() for c in re.findall(r"<td[^>]*>(.*?)</td>", cells, re.S))
        assert n == str(metric.n)
        assert method
        assert (value == "—") == (between == "—") == math.isnan(metric.value)


@pytest.mark.usefixtures("unplotted")
def test_nan_is_null_with_a_status(audit: Audit, write_folder):
    nothing = {"value": math.nan, "low": math.nan, "high": math.nan, "status": "not defined: for the test"}
    folder = write_folder(with_metric(audit, "tpr0", **nothing))
    stored = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    undefined = [m for m in stored["performance"]["metrics"] if m["value"] is None]
    assert [m["name"] for m in undefined] == ["tpr0"]
    assert "not defined: for the test" in render_report(folder).read_text(encoding="utf-8")


@pytest.mark.usefixtures("unplotted")
def test_small_bins_are_marked(audit: Audit, write_folder):
    assert audit.selection is not None
    few = [one for curve in audit.selection.curves for one in curve.bins if one.few]
    source = render_report(write_folder(audit)).read_text(encoding="utf-8")
    marked = re.findall(r'<td class="number">(\d+)\*</td>', source)
    assert sorted(marked) == sorted(str(one.n) for one in few)
    assert few


def test_a_set_without_labels_has_scores_and_says_what_is_missing(bare_audit: Audit, write_folder):
    page = Page(render_report(write_folder(bare_audit)))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert "performance" in ids
    assert not {"selection", "gallery", "probes"} & ids
    assert "without a verdict" in page.text
    assert "Confusion" not in page.text


def test_navigation_leads_to_every_section(page: Page, shared_folder: Path):
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {section.id for section in sections_of(read_audit(shared_folder))} <= ids
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= ids


@pytest.mark.usefixtures("unplotted")
def test_missing_pixels_are_said_not_drawn(full_folder: Path):
    shutil.rmtree(full_folder / "arrays")
    source = render_report(full_folder).read_text(encoding="utf-8")
    assert source.count("no picture can be drawn") == 3 * 2 + 1 + 4
    assert "<svg" not in source


@pytest.mark.usefixtures("unplotted")
def test_torn_pixels_are_like_missing_ones(full_folder: Path):
    for path in (full_folder / "arrays").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:500])
    assert render_report(full_folder).read_text(encoding="utf-8").count("no picture can be drawn") == 3 * 2 + 1 + 4


def test_it_is_drawn_without_torch(full_folder: Path):
    code = (
        "import sys; from pathlib import Path; from lensaudit.report import render_report; "
        "render_report(Path(sys.argv[1])); "
        "print([m for m in ('torch', 'captum', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(full_folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', "\xff\xfe"])
def test_an_unreadable_audit_is_one_line(tmp_path: Path, text: str):
    (tmp_path / "audit.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as error:
        render_report(tmp_path)
    assert "audit.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_audit_of_probes_alone_is_said_to_be_another(tmp_path: Path):
    probe_audit().write(tmp_path)
    with pytest.raises(DataError, match=r"audit\.json: is of lensaudit probe all, whose page is audit\.md"):
        render_report(tmp_path)


def test_no_audit_is_a_user_error(tmp_path: Path):
    with pytest.raises(UsageError, match=r"holds no audit\.json"):
        render_report(tmp_path / "nowhere")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b != "schema"])
def test_a_missing_block_is_named(audit: Audit, tmp_path: Path, block: str):
    keep_json(tmp_path / "audit.json", {name: words for name, words in audit.to_json().items() if name != block})
    with pytest.raises(DataError, match=f"'{block}' is missing"):
        render_report(tmp_path)


def test_a_missing_field_is_one_line(audit: Audit, tmp_path: Path):
    words = audit.to_json()
    del words["performance"]["scores"]
    keep_json(tmp_path / "audit.json", words)
    with pytest.raises(DataError, match=r"audit\.json: performance\.scores: Field required; "):
        render_report(tmp_path)


def test_an_audit_of_an_earlier_version_still_opens(tmp_path: Path, undrawn: None):
    """Its words and glossary are those it was written with."""
    shutil.copy(Path(__file__).with_name("audit-0.1.json"), tmp_path / "audit.json")
    source = render_report(tmp_path).read_text(encoding="utf-8")
    for finding in json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["findings"]:
        assert f'">{finding["verdict"]}</span>' in source


def test_trust_comes_first_and_hashes_last(page: Page, audit: Audit):
    order = [section.id for section in sections_of(audit)]
    assert order[:3] == ["verdict", "limits", "probes"]
    assert order[-1] == "audited"
    head = page.source[page.source.index('<header id="verdict"') : page.source.index("</header>")]
    assert head.index("What to do next") < head.index("Likeliest losses first")
    assert "lensaudit probe all ou66 --probe off-centre --n " in head


def test_units_and_clipped_fractions_stand_with_what_was_audited(
    page: Page, audit: Audit, write_folder, unplotted: None
):
    text = " ".join(page.text.split())
    assert "VISelectron / s at 24 mag; the stretch holds numbers in an unknown unit; clipped 31.4 % below" in text
    assert "Hunit unknown; no clipping by the stretch" in text
    without = replace(audit, pixels=None)  # as earlier versions wrote it
    assert "no clipping by the stretch" not in Page(render_report(write_folder(without))).text


@pytest.mark.usefixtures("unplotted")
def test_a_set_without_truth_has_no_empty_sentence_of_kernels(audit: Audit, write_folder):
    kernels = Kernels(kernels=40, live=38, n=3, significant=0, pairs=0, statements=(), note="")
    source = render_report(write_folder(replace(audit, kernels=kernels))).read_text(encoding="utf-8")
    assert "40 kernels 38" in source
    assert "0 of 0" not in source
    assert "No kernel is shown" not in source
