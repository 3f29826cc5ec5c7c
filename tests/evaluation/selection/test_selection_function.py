"""The selection function whole: the toy finder's driver, medians by hand, sets that cannot be asked, files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lensaudit.display.numbers import count, percent
from lensaudit.errors import DataError
from lensaudit.evaluation.selection import LADDER, Threshold, selection_function
from lensaudit.evaluation.selection.driver_model import draw_drivers
from lensaudit.evaluation.selection.page import markdown, write_selection
from lensaudit.statistics import wilson_interval
from tests.evaluation.selection.conftest import FakeSet, drawn_catalogue, noisy_scores_of, scores_of

HALF = (Threshold(0.5),)


@pytest.fixture(scope="module")
def selection():
    """Measured once; to be read only."""
    catalogue = drawn_catalogue()
    return selection_function(noisy_scores_of(catalogue), FakeSet(catalogue))


def test_the_toy_finder_is_driven_by_the_column_it_reads(selection):
    verdicts = {one.parameter.name: one.verdict for one in selection.drivers.drivers}
    assert verdicts == {
        "arc_snr": "drives",
        "mag_source_VIS": "goes along",
        "magnification": "goes along",
        "theta_e_arcsec": "not significant",
        "lens_axis_ratio": "not significant",
    }
    assert selection.drivers.sentences[0].endswith("first: arc S/N (larger is found more often).")


def test_medians_are_those_of_the_selected(selection, noisy_scores, catalogue):
    lens = catalogue["label"] == 1
    for cut in selection.cuts[:3]:
        chosen = lens & (noisy_scores.p_lens >= cut.threshold.value)
        row = next(r for r in selection.medians if (r.threshold, r.parameter.name) == (cut.words, "arc_snr"))
        assert row.everyone.value == np.median(catalogue["arc_snr"][lens])
        assert row.selected.value == np.median(catalogue["arc_snr"][chosen])
        assert (row.n, row.n_selected) == (1500, chosen.sum())
        assert row.shift.low <= row.shift.value <= row.shift.high
        assert row.moved


def test_only_lenses_count_for_recall(selection, noisy_scores, catalogue):
    called = noisy_scores.p_lens >= 0.5
    cut = selection.cut
    assert (cut.recall.k, cut.recall.n) == (called[:1500].sum(), 1500)
    assert (cut.false_positives.k, cut.false_positives.n) == (called[1500:].sum(), 500)
    assert sum(one.n.sum() + one.n_outside + one.n_missing for one in selection.maps) == 2 * 1500


def test_the_first_threshold_makes_maps_and_model(noisy_scores, fake_set):
    one = selection_function(noisy_scores, fake_set, (Threshold(0.01, "fpr"), *LADDER))
    assert one.cut.words == "FPR ≤ 1 %"
    assert len(one.cuts) == len(LADDER), "the same threshold is not listed twice"
    assert one.maps[0].k.sum() <= one.cut.recall.k
    assert one.drivers.n_found == one.cut.recall.k


def test_what_is_unscored_or_unlabelled_is_counted(catalogue, noisy_scores):
    catalogue["label"][1495:1500] = -1
    noisy_scores.logit[:3] = noisy_scores.p_lens[:3] = math.nan
    one = selection_function(noisy_scores, FakeSet(catalogue), HALF)
    assert (one.n_lenses, one.n_non_lenses, one.n_unscored, one.n_unlabelled) == (1492, 500, 3, 5)
    assert "left out: 3 labelled images without a score; left out: 5 of unknown label" in markdown(one, "t", {})


@pytest.mark.parametrize(("logit", "said"), [(9.0, "all 1500 lenses are found"), (-9.0, "none of the 1500 lenses")])
def test_all_or_none_found_is_said(catalogue, fake_set, logit, said, tmp_path):
    one = selection_function(scores_of(np.full(2000, logit)), fake_set, HALF)
    (tmp_path / "drivers.parquet").write_bytes(b"of an earlier run")
    write_selection(one, {}, "toy", tmp_path)
    assert said in (tmp_path / "selection.md").read_text(encoding="utf-8")
    assert said in json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))["drivers"]["status"]
    assert not (tmp_path / "drivers.parquet").exists()
    medians = pq.read_table(tmp_path / "medians.parquet").to_pylist()
    assert all(math.isnan(row["selected"]) == (logit < 0) for row in medians)


def test_a_set_without_truth_is_one_line(catalogue, noisy_scores):
    bare = FakeSet({"label": catalogue["label"]}, path="sets/q1")
    with pytest.raises(DataError, match=r"sets/q1: knows nothing of its lenses .* lensaudit simulate"):
        selection_function(noisy_scores, bare)
    gaps = {name: np.full(2000, np.nan) for name in ("theta_e_arcsec", "arc_snr")}
    with pytest.raises(DataError, match="knows nothing of its lenses"):
        selection_function(noisy_scores, FakeSet({"label": catalogue["label"], **gaps}))


def test_a_set_without_lenses_or_without_non_lenses(catalogue, noisy_scores):
    nobody = FakeSet(catalogue | {"label": np.zeros(2000)})
    with pytest.raises(DataError, match="label lens"):
        selection_function(noisy_scores, nobody)
    alone = FakeSet({name: column[:1500] for name, column in catalogue.items()})
    few = scores_of(noisy_scores.logit[:1500])
    one = selection_function(few, alone)
    assert [cut.words for cut in one.cuts] == ["p ≥ 0.5", "p ≥ 0.9", "p ≥ 0.99"]
    assert "left out FPR" in one.notes[0]
    with pytest.raises(DataError, match="use --threshold"):
        selection_function(few, alone, (Threshold(0.1, "fpr"),))


def test_a_set_that_knows_only_some_things(catalogue, noisy_scores):
    some = FakeSet({name: catalogue[name] for name in ("label", "theta_e_arcsec", "magnification")})
    one = selection_function(noisy_scores, some, HALF)
    assert one.maps == ()
    assert "arc S/N" in one.absent
    assert len(one.drivers.drivers) == 2


def test_scores_of_another_length_are_refused(fake_set):
    with pytest.raises(ValueError, match="2000"):
        selection_function(scores_of([0.0]), fake_set)


def test_files_hold_what_was_measured(selection, tmp_path):
    written = write_selection(selection, {"finder": "toy", "provenance": {"seed": 1}}, "toy on fake", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    record = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert record["finder"] == "toy"
    assert record["cuts"][0]["recall"]["n"] == 1500
    cells = pq.read_table(tmp_path / "recall-maps.parquet")
    assert cells.num_rows == sum(one.n.size for one in selection.maps)
    assert cells.column("n").to_pylist() == [cell["n"] for one in selection.maps for cell in one.cells()]
    assert cells.schema.field("recall").metadata == {b"description": b"k / n"}
    assert json.loads(cells.schema.metadata[b"lensaudit"])["finder"] == "toy"
    assert pq.read_table(tmp_path / "medians.parquet").num_rows == 5 * len(LADDER)
    assert pq.read_table(tmp_path / "drivers.parquet").column("parameter")[0].as_py() == "arc_snr"
    for name in written:
        if name.endswith(".png"):
            assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_marks_what_is_few_and_gives_every_n(selection):
    text = markdown(selection, "toy on fake", {one.name: "m.png" for one in selection.maps})
    for one in selection.maps:
        for j, i in np.ndindex(one.n.shape):
            n = one.n[j, i]
            wanted = f"n = {n}{'*' if n < 100 else ''} |"
            assert wanted in text
    assert text.count("(m.png)") == 2
    assert "500 non-lenses" in text
    assert "**arc S/N** (log)" in text


def test_a_recall_map_is_drawn_with_its_numbers_and_marks(selection):
    one = selection.maps[0]
    axes = one.plot(bar="recall at p ≥ 0.5")
    words = " ".join(text.get_text() for text in axes.texts)
    assert all(f"n = {n}" in words for n in one.n.ravel())
    assert np.array(axes.collections[0].get_array().filled(np.nan)) == pytest.approx(one.recall, nan_ok=True)
    hatched = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert len(hatched) == (one.few & (one.n > 0)).sum()
    assert f"n = {count(one.total)} lenses" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "Einstein radius θ_E [″]"
    assert axes.figure.axes[1].get_ylabel() == "recall at p ≥ 0.5"


def test_the_recall_curve_sums_the_map_and_is_drawn_with_wilsons_intervals(selection):
    one = selection.maps[0]
    curve = one.along("x")
    assert [part.n for part in curve.bins] == one.n.sum(axis=0).tolist()
    assert [(part.start, part.end) for part in one.along("y").bins] == list(pairwise(one.y.edges))
    wilson = [wilson_interval(part.k, part.n) for part in curve.bins]
    axes = selection.plot()
    uprights = [bar.get_segments()[0] for bar in axes.collections[1::2]]
    assert np.array([segment[:, 1] for segment in uprights]) == pytest.approx(np.array(wilson))
    dots = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([part.value for part in curve.bins])
    assert f"{percent(selection.cut.recall.value)}" in axes.get_legend().get_texts()[0].get_text()
    assert axes.get_xlabel().endswith("[″]")
    assert f"n = {count(one.total)} lenses" in axes.get_title(loc="left")


def test_slopes_and_bends_are_drawn_with_their_intervals(selection):
    model = selection.drivers
    axes = model.plot(Figure().subplots())
    drawn = np.array([bar.get_segments()[0][:, 0] for bar in axes.collections])
    parts = [part for driver in model.drivers for part in (driver.alone, driver.slope)]
    assert drawn == pytest.approx(np.array([(part.low, part.high) for part in parts]))
    assert f"n = {model.n} lenses" in axes.get_title(loc="left")
    bends = model.plot(of="bend")
    assert len(bends.collections) == sum(driver.bend is not None for driver in model.drivers)
    assert len(draw_drivers(model).axes) == 1 + model.curved


def test_medians_are_drawn_in_units_of_the_spread(selection):
    axes = selection.plot_medians()
    rows = [row for row in selection.medians if np.isfinite(row.shift.value)]
    values = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert values == pytest.approx([row.shift.value / row.spread for row in rows])
    assert "of 1500 lenses" in axes.get_title(loc="left")


def test_without_an_einstein_radius_there_is_no_curve_to_draw(selection):
    with pytest.raises(DataError, match="Einstein radius"):
        replace(selection, maps=()).plot()
