"""Known lenses and graded candidates in the audit: recall by grade, pictures, a check that enters nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from lens_sets import EUCLID, LABEL, write_set

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import load_finder, score_set
from lensaudit.lensset import CatalogueColumn, LensSet
from lensaudit.probes import HostsAsked
from lensaudit.report import AuditOptions, build_audit, render_report
from lensaudit.report.audit_file import read_audit
from lensaudit.report.chapters import KnownGrade, KnownSet
from lensaudit.report.known import check_known, known_block
from lensaudit.report.options import quiet
from lensaudit.statistics import wilson_interval

GRADE = CatalogueColumn(name="grade", unit="", description="of three people", dtype="str")
ONLY = {"occlusion_n": 0, "maps_n": 0, "judge_n": 0, "kernels": False, "embed": False, "dream_steps": 0, "probe_n": 0}
GRADES = ["A", "B", "", "A", "B", "A", "C"]


def blobs(path: Path, labels: list[int], grades: list[str], seed: int, bad: int | None = None) -> LensSet:
    rng, images = np.random.default_rng(seed), {}
    for band, (pixels, _) in EUCLID.items():
        grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
        bright = rng.uniform(1, 60, len(labels))[:, None, None] * np.exp(-8 * grid)
        images[band] = (rng.normal(size=(len(labels), pixels, pixels)) + bright).astype(np.float32)
    if bad is not None:
        images["VIS"][bad] = 1.0
    scales = {band: scale for band, (_, scale) in EUCLID.items()}
    table = {"label": labels, "grade": grades}
    return write_set(path, images, scales, table, columns=(LABEL, GRADE), ids=f"{path.name}-{{:02d}}")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Sets ``set``, ``known`` (seven, of which one is a non-lens and one has no pixels) and ``none``."""
    here = tmp_path_factory.mktemp("known")
    blobs(here / "set", [0, 1] * 4, [""] * 8, 1)
    blobs(here / "known", [1, -1, 1, 1, 1, 1, 0], GRADES, 2, bad=4)
    blobs(here / "none", [0, 0], ["", ""], 3)
    return here


@pytest.fixture(scope="module")
def finder(place):
    """ou66 that calls a lens from the median of the known ones on."""
    loaded = load_finder("ou66")
    p = score_set(loaded, LensSet.open(place / "known")).p_lens[[0, 1, 2, 3, 5]]
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"threshold": float(np.median(p))}))


@pytest.fixture(scope="module")
def folder(place, finder) -> Path:
    """Of the audit with them."""
    options = AuditOptions(seed=3, known=(place / "known",), **ONLY)
    build_audit(finder, LensSet.open(place / "set"), place / "audit", options)
    render_report(place / "audit")
    return place / "audit"


def test_recall_is_counted_at_the_threshold_by_grade(folder, place, finder):
    scores = score_set(finder, LensSet.open(place / "known"))
    (known,) = read_audit(folder).known
    called = scores.p_lens >= finder.recipe.threshold
    lens = np.array([0, 1, 2, 3, 5])
    assert (known.recall.k, known.recall.n) == (called[lens].sum(), 5) == (3, 5)
    assert known.recall.interval == wilson_interval(3, 5)
    assert [(one.grade, one.n) for one in known.grades] == [("A", 3), ("B", 1), ("not graded", 1)]
    for one in known.grades:
        rows = [row for row in lens if (GRADES[row] or "not graded") == one.grade]
        assert one.k == called[rows].sum()
    assert (known.n_non_lenses, known.n_unscored) == (1, 1)
    order = lens[np.argsort(scores.logit[lens])]
    assert [one.id for one in known.systems] == [f"known-{row:02d}" for row in (*order, 4)]
    assert known.systems[-1].why == "VIS is constant"
    assert np.isnan(known.systems[-1].p)


def test_the_page_shows_them_as_a_check(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    section = page.split('<section id="known">')[1].split("</section>")[0]
    assert "never paired" in section
    assert "3 of 5 known systems of known score at or above the threshold" in section
    assert "With n\u00a0=\u00a05 that says little" in section
    assert re.findall(r'class="id">(known-\d\d)<', section) == [one.id for one in read_audit(folder).known[0].systems]
    assert section.count("data:image/png") == 12  # grey and colour of six
    assert "grade A; log-odds" in section


def test_they_change_nothing_else(folder, place, finder):
    """The verdict and all numbers are those of the audit without them, and such an audit has no such section."""
    without = place / "without"
    build_audit(finder, LensSet.open(place / "set"), without, AuditOptions(seed=3, **ONLY))
    render_report(without)
    plain, checked = (read_audit(one).to_json() for one in (without, folder))
    assert plain.pop("known") == []
    assert len(checked.pop("known")) == 1
    assert {name: value for name, value in plain.items() if name != "provenance"} == {
        name: value for name, value in checked.items() if name != "provenance"
    }
    assert 'id="known"' not in (without / "index.html").read_text(encoding="utf-8")


def test_an_earlier_audit_has_none_and_is_drawn(tmp_path):
    words = (Path(__file__).parent / "audit-0.1.json").read_text(encoding="utf-8")
    assert '"known"' not in words
    (tmp_path / "audit.json").write_text(words, encoding="utf-8")
    assert read_audit(tmp_path).known == ()
    assert render_report(tmp_path).is_file()


def test_pixels_that_are_gone_leave_the_scores(folder, tmp_path):
    (tmp_path / "audit.json").write_bytes((folder / "audit.json").read_bytes())
    page = render_report(tmp_path).read_text(encoding="utf-8")
    section = page.split('<section id="known">')[1].split("</section>")[0]
    assert "known-00" in section
    assert "data:image/png" not in section


def test_the_sentence_says_when_n_is_weak():
    few = KnownSet("q1", "ab", KnownGrade.of(2, 3), (), (), 0)
    assert few.sentence == (
        "2 of 3 known systems of q1 score at or above the threshold: 67\u202f% [21, 94]. With n = 3 that says little: "
        "the interval is all that can be read from it."
    )
    assert "says little" not in KnownSet("q1", "ab", KnownGrade.of(20, 30), (), (), 0).sentence
    assert KnownSet("q1", "ab", KnownGrade.of(0, 0), (), (), 0).sentence.startswith("None of the 0 known systems")


def test_a_wrong_set_is_one_line_before_the_work_starts(place, finder, tmp_path):
    lens_set = LensSet.open(place / "set")
    with pytest.raises(DataError, match=r"none: --known: all its images are labelled non-lens; give known lenses"):
        build_audit(finder, lens_set, tmp_path / "a", AuditOptions(known=(place / "none",), **ONLY))
    with pytest.raises((UsageError, DataError), match="gone"):
        build_audit(finder, lens_set, tmp_path / "a", AuditOptions(known=(place / "gone",), **ONLY))
    assert not (tmp_path / "a").exists()


def test_the_command_takes_several(place, lensaudit, tmp_path):
    words = [f"--{name.replace('_', '-')}={value}" for name, value in ONLY.items() if name not in ("kernels", "embed")]
    known = ("--known", place / "known", "--known", place / "set")
    done = lensaudit(
        "report", "ou66", "--set", place / "set", *known, "--no-kernels", "--no-embed", *words, "--out", tmp_path / "r"
    )
    assert done.code == 0, done.err
    assert "known systems of known score at or above" in done.out
    assert [one.name for one in read_audit(tmp_path / "r").known] == ["known", "set"]
    code, _, err = lensaudit("report", "--from", tmp_path / "r", *known)
    assert (code, "--realism and --known" in err) == (2, True)


def sky_set(path: Path, ra: list[float], name: str) -> LensSet:
    """A set whose catalogue says where systems are; all labelled non-lens."""
    images = {band: np.random.default_rng(5).random((len(ra), n, n)).astype("f4") for band, (n, _) in EUCLID.items()}
    columns = (
        LABEL,
        *(CatalogueColumn(name=one, unit="deg", description=one, dtype="float64") for one in ("RA", "dec")),
    )
    table = {"label": [0] * len(ra), "RA": ra, "dec": [60.0] * len(ra)}
    scales = {band: scale for band, (_, scale) in EUCLID.items()}
    return write_set(path, images, scales, table, columns=columns, ids=f"{name}-{{}}")


def test_a_table_names_known_lenses_by_position_or_id_in_the_set_and_among_the_hosts(finder, tmp_path):
    arcsec = 1 / 3600 / np.cos(np.radians(60))
    audited = sky_set(tmp_path / "set", [10.0, 20.0, 359.99999], "s")
    hosts = sky_set(tmp_path / "hosts", [20.0, 30.0], "h")
    asked = AuditOptions(hosts=HostsAsked(hosts.path), **{**ONLY, "probe_n": 2})
    fits_table = tmp_path / "known.fits"
    Table({
        "ra": [10.0 + 0.9 * arcsec, 20.0 + 1.2 * arcsec, 359.99999 - 360, 30.0], "DEC": [60.0] * 4,
        "Grade": list("BACA"),
    }).write(fits_table)  # fmt: skip
    found = known_block(finder, audited, tmp_path / "out", replace(asked, known=(fits_table,)), quiet)
    assert [one.name for one in found] == ["known.fits in set", "known.fits in hosts"]
    here, there = found
    assert {one.id: one.grade for one in here.systems} == {"s-0": "B", "s-2": "C"}
    assert {one.id: one.grade for one in there.systems} == {"h-1": "A"}
    assert [(one.grade, one.n) for one in here.grades] == [("B", 1), ("C", 1)]
    assert here.recall.interval == wilson_interval(here.recall.k, 2)
    assert (here.n_absent, there.n_absent, here.n_non_lenses) == (1, 0, 0)
    assert all(KnownSet.from_json(one.to_json()) == one for one in found)
    ids = tmp_path / "ids.csv"
    ids.write_text("id,magnitude\nh-0,20\ns-1,21\nelsewhere,22\n")
    by_id = known_block(finder, audited, tmp_path / "out", replace(asked, known=(ids,)), quiet)
    assert [[one.id for one in block.systems] for block in by_id] == [["s-1"], ["h-0"]]
    assert by_id[0].grades == ()
    for words, said in (
        ("id\nelsewhere\n", "none of its 1 known lenses is in .*set or .*hosts; give a table of systems there"),
        ("name,x\na,1\n", "needs a column id, or ra and dec in degrees; the columns are name, x"),
    ):
        ids.write_text(words)
        with pytest.raises(DataError, match=said):
            check_known(finder, audited, replace(asked, known=(ids,)))
