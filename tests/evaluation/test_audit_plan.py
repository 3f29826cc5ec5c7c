"""Plans of what to look at, and what labels say: strata, weights, order, every shape of scores, bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.evaluation.audit_labels import AuditLabels, measure_labels, read_labels
from lensaudit.evaluation.audit_plan import AuditPlan, PlanSettings, audit_plan, numbers_of
from lensaudit.evaluation.scored_rows import ScoredRows

N = 6000


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """6000 scored images, one in thirty a lens, in a Parquet file with a magnitude; labels of all beside it."""
    draws = np.random.default_rng(5)
    lens = draws.random(N) < 1 / 30
    z = np.where(lens, draws.normal(2, 2, N), draws.normal(-4, 2, N))
    z[17] = np.nan
    columns = {"id": [f"eu-{row}" for row in range(N)], "p_lens": expit(z), "logit": z}
    path = tmp_path_factory.mktemp("scored") / "scores.parquet"
    pq.write_table(pa.table({**columns, "mag": draws.uniform(18, 24, N)}), path, row_group_size=500)
    return path, lens.astype(int), z


def planned(path, **settings):
    return audit_plan(ScoredRows.open(path), PlanSettings(**settings))


def test_strata_hold_all_images_once_and_the_threshold_is_an_edge(sky):
    path, _, z = sky
    plan, images = planned(path, budget=300, strata=8, threshold=0.3)
    known = z[np.isfinite(z)]
    for one in plan.strata:
        assert one.images == ((known > one.low) & (known <= one.high)).sum()
        assert one.called == (expit(one.high) > 0.3)
    assert (plan.images, plan.unscored, plan.planned) == (N - 1, 1, 300)
    assert sum(one.images for one in plan.strata if one.called) == (expit(known) >= 0.3).sum()
    sizes = np.array([one.images for one in plan.strata])
    np.testing.assert_array_less(sizes[3:], sizes[2:-1] + sizes.sum() // 20)  # finer at the top, but for the new edge
    assert np.bincount(images.stratum).tolist() == [one.planned for one in plan.strata]
    np.testing.assert_allclose(1 / images.probability, [plan.strata[of].weight for of in images.stratum], rtol=1e-12)
    np.testing.assert_array_equal(images.logit, z[images.row])
    assert images.ids[0] == f"eu-{images.row[0]}"


def test_the_sample_is_that_of_a_sort_of_all_rows(sky):
    """The obvious way, in memory: of each stratum the rows with the smallest numbers."""
    path, _, z = sky
    plan, images = planned(path, budget=200, strata=6, seed=4)
    numbers = numbers_of(np.arange(N), 4)
    for place, one in enumerate(plan.strata):
        rows = np.flatnonzero((z > one.low) & (z <= one.high))
        first = rows[np.argsort(numbers[rows])][: one.planned]
        assert set(images.row[images.stratum == place].tolist()) == set(first.tolist())


def test_whoever_stops_half_way_has_looked_at_half_of_every_stratum(sky):
    plan, images = planned(sky[0], budget=400)
    half = np.bincount(images.stratum[:200], minlength=len(plan.strata))
    assert all(abs(n - one.planned / 2) <= 1 for n, one in zip(half, plan.strata, strict=True))


def test_a_further_column_divides_strata_and_rows_without_it_are_kept(sky, tmp_path):
    table = pq.read_table(sky[0])
    mag = table.column("mag").to_numpy().copy()
    mag[:600] = np.nan
    pq.write_table(table.set_column(3, "mag", pa.array(mag)), tmp_path / "s.parquet")
    plan, images = planned(tmp_path / "s.parquet", budget=400, strata=4, by="MAG", classes=2, least=2)
    assert sum(one.images for one in plan.strata) == N - 1
    assert sum(one.images for one in plan.strata if np.isnan(one.by_low)) == 599
    of = [plan.strata[place] for place in images.stratum]
    value = images.more["mag"]
    assert all(np.isnan(v) if np.isnan(s.by_low) else s.by_low < v <= s.by_high for s, v in zip(of, value, strict=True))


@pytest.mark.parametrize("allocation", ["proportional", "neyman", "optimum"])
def test_allocation_does_what_it_says(sky, allocation):
    plan, _ = planned(sky[0], budget=600, strata=5, allocation=allocation, least=2)
    n, taken, p = np.array([(one.images, one.planned, one.mean_p) for one in plan.strata]).T
    called = np.array([one.called for one in plan.strata])
    held = np.clip(p, 0.001, 0.5)
    deviation = np.sqrt(held * (1 - held))
    a, b = (n * p)[called].sum(), (n * p)[~called].sum()
    factor = {
        "proportional": n,
        "neyman": n * deviation,
        "optimum": n * deviation * np.where(called, np.hypot(1 / a, b / (a * (a + b))), 1 / (a + b)),
    }[allocation]
    free = (taken < n) & (taken > 2)
    ratio = taken[free] / factor[free]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=0.35 if allocation == "proportional" else 0.05)  # whole images


def test_the_order_of_files_of_rows_does_not_move_edges_or_counts(sky, tmp_path):
    table = pq.read_table(sky[0])
    pq.write_table(table.take(np.random.default_rng(0).permutation(N)), tmp_path / "shuffled.parquet")
    one, other = (planned(path, budget=100)[0] for path in (sky[0], tmp_path / "shuffled.parquet"))
    ends = [[(s.low, s.high, s.images, s.planned) for s in plan.strata] for plan in (one, other)]
    assert ends[0] == ends[1]


def test_with_everything_labelled_it_is_what_evaluate_says(sky):
    path, lens, z = sky
    plan, images = planned(path, budget=N)
    found = measure_labels(plan, images.stratum, images.logit, lens[images.row])
    known = np.isfinite(z)
    whole = evaluate(lens[known], expit(z[known]), z[known])
    for name in ("recall", "precision"):
        one, other = getattr(found, name), whole.metric(name)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-12)
    assert (found.recall.n, found.precision.n) == (whole.metric("recall").n, whole.metric("precision").n)
    false, rate = (expit(z[known]) >= plan.threshold) & (lens[known] == 0), found.false_positive_rate
    assert (rate.value, rate.n) == (pytest.approx(false.sum() / (lens[known] == 0).sum()), (lens[known] == 0).sum())
    assert found.lenses.value == pytest.approx(lens[known].sum())
    assert found.notes == ()


def test_a_sample_says_what_the_whole_is_within_its_interval(sky):
    path, lens, z = sky
    plan, images = planned(path, budget=900)
    found = measure_labels(plan, images.stratum, images.logit, lens[images.row])
    called = z >= 0
    truth = {"recall": lens[called].sum() / lens.sum(), "precision": lens[called].mean(), "fraction": lens.mean()}
    for name, value in truth.items():
        one = getattr(found, name)
        assert one.low <= value <= one.high
        assert one.high - one.low < 0.5
    assert AuditLabels.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()
    assert AuditPlan.from_json(json.loads(json.dumps(plan.to_json()))).to_json() == plan.to_json()


def test_strata_without_labels_are_taken_with_the_next_and_named(sky):
    path, lens, _ = sky
    plan, images = planned(path, budget=300)
    labels = np.where(images.stratum == 0, -1, lens[images.row])
    labels[np.flatnonzero(images.stratum == 2)[:2]] = -1
    found = measure_labels(plan, images.stratum, images.logit, labels)
    assert found.strata[0].into == 1
    assert found.images == plan.images
    assert len(found.notes) == 2
    assert plan.strata[0].words in found.notes[1]


def test_a_plan_whose_images_have_lost_their_score_is_one_line(lensaudit, sky, tmp_path):
    out = tmp_path / "plan"
    assert lensaudit("audit-plan", sky[0], "--budget", 60, "--strata", 3, "--out", out).code == 0
    table = pq.read_table(path := out / "audit-plan.parquet")
    place = table.schema.get_field_index("logit")
    nothing = pa.nulls(len(table), pa.float64())
    pq.write_table(table.set_column(place, "logit", nothing), path)
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{one},1\n" for one in table["id"].to_pylist()))
    code, _, err = lensaudit("audit-labels", out, "--labels", tmp_path / "labels.csv")
    assert (code, err.count("\n")) == (3, 1)
    assert "audit-plan.parquet: is not of the audit-plan.json beside it" in err


@pytest.mark.parametrize("threshold", [0.3, 0.07, 0.5, 1 - 2**-40])
def test_an_image_at_the_threshold_is_called(threshold, tmp_path):
    """Whether scores have log-odds or p alone, whose log-odds and p again differ by rounding."""
    z = logit(threshold)
    near = np.r_[z, np.nextafter(z, [9, -9]), z + np.arange(-40, 41) * np.spacing(z + 1)]
    p = np.r_[np.linspace(0.01, 0.99, 500), np.full(40, threshold), np.full(40, threshold * (1 - 1e-12)), expit(near)]
    names = [f"{row}" for row in range(len(p))]
    for columns, wanted in (
        ({"p_lens": p}, p >= threshold),
        ({"p_lens": p, "logit": np.r_[logit(p[:580]), near]}, np.r_[p[:580] >= threshold, expit(near) >= threshold]),
    ):
        pq.write_table(pa.table({"id": names, **columns}), tmp_path / "s.parquet")
        plan, images = planned(tmp_path / "s.parquet", budget=2000, strata=4, threshold=threshold)
        assert sum(one.images for one in plan.strata if one.called) == wanted.sum()
        found = measure_labels(plan, images.stratum, images.logit, np.ones(len(p), int))
        assert found.recall.value == pytest.approx(wanted.mean(), abs=1e-12)


def test_each_label_stands_for_its_stratum_over_the_labels_there(sky):
    """A third of the labels is missing: the fraction of lenses is the sum over strata of images times k / n."""
    path, lens, _ = sky
    plan, images = planned(path, budget=600, strata=5)
    labels = np.where(np.random.default_rng(3).random(600) < 1 / 3, -1, lens[images.row])
    found = measure_labels(plan, images.stratum, images.logit, labels)
    strata = [(one.images, labels[(images.stratum == place) & (labels >= 0)]) for place, one in enumerate(plan.strata)]
    assert all(len(known) for _, known in strata)
    assert found.lenses.value == pytest.approx(sum(n * known.mean() for n, known in strata), rel=1e-12)
    assert [(one.labelled, one.lenses) for one in found.strata] == [(len(known), known.sum()) for _, known in strata]


def test_a_stratum_without_labels_goes_with_the_nearest_on_its_side(sky):
    path, lens, _ = sky
    plan, images = planned(path, budget=300, strata=8)
    first = next(place for place, one in enumerate(plan.strata) if one.called)
    assert 3 <= first < len(plan.strata) - 1
    lacking = (first - 1, first)  # either side of the threshold
    labels = np.where(np.isin(images.stratum, lacking), -1, lens[images.row])
    found = measure_labels(plan, images.stratum, images.logit, labels)
    assert [found.strata[place].into for place in lacking] == [first - 2, first + 1]


def test_a_plan_is_written_filled_in_and_measured(lensaudit, sky, tmp_path):
    path, lens, _ = sky
    plan, labels = tmp_path / "plan", tmp_path / "plan/labels.csv"
    words = ("audit-plan", path, "--budget", 300, "--out", plan)
    code, out, err = lensaudit(*words)
    assert (code, err) == (0, "")
    assert "5999 images, 1 without a score left out; 300 to look at" in out
    blank = labels.read_bytes()
    assert b"logit" not in blank
    assert f"{labels}: no image has a label; write 1" in lensaudit("audit-labels", plan).err
    rows = list(csv.DictReader(labels.read_text().splitlines()))
    for row in rows:
        row["label"] = str(lens[int(row["id"][3:])])
    with labels.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    filled = labels.read_bytes()
    assert "(kept, it has labels)" in lensaudit(*words).out
    assert labels.read_bytes() == filled
    again = lensaudit(*words, "--seed", 8, "--force")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "has labels of another plan" in again.err
    assert labels.read_bytes() == filled
    code, out, err = lensaudit("audit-labels", plan, "--out", tmp_path / "measured", "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["labelled"] == 300
    assert (tmp_path / "measured/audit-labels.html").stat().st_size > 5000
    shown = lensaudit("audit-labels", plan, "--threshold", 0.9).out
    assert "p ≥ 0.9" in shown
    assert sum(line.startswith("p ") for line in shown.splitlines()) == len(record["strata"])


def test_what_is_no_plan_or_no_scores_is_one_line(lensaudit, sky, tmp_path):
    (tmp_path / "torn.parquet").write_bytes(sky[0].read_bytes()[:-9])
    (tmp_path / "other.csv").write_text("name,x\na,1\n")
    (tmp_path / "out.csv").write_text("id,p\na,0.2\nb,1.2\n")
    for scores, what in {
        "torn.parquet": "is torn",
        "other.csv": "no column p_lens or p",
        "out.csv": "p lies outside",
        "none": "no scores there",
    }.items():
        code, _, err = lensaudit("audit-plan", tmp_path / scores, "--out", tmp_path / "plan")
        assert (code, err.count("\n")) == (3, 1), err
        assert what in err
    assert "holds no audit-plan.json" in lensaudit("audit-labels", tmp_path).err
    with pytest.raises(UsageError, match="--budget 20 is less than two images of each of 13"):
        planned(sky[0], budget=20)
    with pytest.raises(DataError, match="no column size; the columns are id"):
        planned(sky[0], by="size")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,label\nx,1\n", "line 2: id x is not in the plan"),
        ("id,label\na,2\n", "label 2; write 1"),
        ("id,label\na,yes\n", "'yes' is not a number"),
        ("id,label\na,1\na,0\n", "there twice"),
    ],
)
def test_wrong_labels_are_named(tmp_path, text, what):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=what):
        read_labels(tmp_path / "labels.csv", ("a", "b"))
