"""The whole comparison: what is named first, what is compared, what is refused, and that it survives JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score
from torch import nn

import lensaudit as la
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.part import Part
from lensaudit.realism_gate import Realism, RealismOptions, describing, measure_realism
from lensaudit.realism_gate.result import ALIKE, FAR, NEAR, UNCERTAIN
from tests.realism_gate.test_last_layer import Convolutional
from tests.realism_gate.toys import drawn_set, images, toy_finder


@pytest.fixture(scope="module")
def alike(finder, sets):
    return la.realism(finder, *sets)


@pytest.fixture(scope="module")
def apart(finder, sets, noisy):
    return la.realism(finder, noisy, sets[1])


def test_one_distribution_cannot_be_told_apart(alike):
    record = alike.record
    assert record.layer.low <= 0.5 <= record.layer.high
    assert record.layer.standing() in (ALIKE, UNCERTAIN)  # of so few the interval reaches beyond 0.75
    assert min(one.p_holm for one in record.shifts) > 0.01
    assert record.layer.mmd_p > 0.01
    assert record.domain.outside.k <= 4  # of 60, 1 % each and a threshold from 80


def test_what_follows_goes_by_where_the_interval_lies(alike):
    one = alike.record.layer
    places = {(0.4, 0.7): ALIKE, (0.55, 0.7): NEAR, (0.4, 0.8): UNCERTAIN, (0.76, 0.8): FAR, (0.2, 0.4): ALIKE}
    for (low, high), standing in places.items():
        assert replace(one, low=low, high=high).standing() == standing
    assert replace(one, low=0.76, high=0.8).standing(limit=0.9) == NEAR
    said = {replace(alike.record, layer=replace(one, low=low, high=high)).sentence for low, high in places}
    assert len(said) == len(places)


def test_doubled_noise_is_told_apart_and_named_first(apart):
    record = apart.record
    assert record.statistics.auroc == 1.0
    assert record.statistics.mmd_p <= 1 / 500
    first = record.shifts[0]
    assert first.name in ("noise g", "noise r")
    assert (first.auroc, first.ks) == (1.0, 1.0)
    assert first.p_holm < 1e-6
    assert first.real / first.simulated == pytest.approx(2, rel=0.1)  # medians of mad_std over 576 pixels


def test_statistics_are_scipy_s_and_sklearn_s(apart, finder, sets, noisy):
    from lensaudit.lensset.image_statistics import band_statistics

    one = next(shift for shift in apart.record.shifts if shift.name == "peak r")
    rows = [np.flatnonzero(part.labels == 1) for part in (noisy, sets[1])]
    assert apart.record.label in ("lens", "non-lens")
    rows = rows if apart.record.label == "lens" else [np.flatnonzero(part.labels == 0) for part in (noisy, sets[1])]
    found = [band_statistics(part.images("r", row))["peak"] for part, row in zip((noisy, sets[1]), rows, strict=True)]
    labels = np.repeat([1, 0], [len(part) for part in found])
    assert one.auroc == pytest.approx(roc_auc_score(labels, np.concatenate(found)), abs=1e-9)
    assert one.ks == pytest.approx(ks_2samp(*found).statistic)


def test_like_is_compared_with_like(finder, sets, tmp_path):
    found = la.realism(finder, *sets).record
    assert found.label == "lens"
    assert (found.real.n, found.real.n_compared, found.simulated.n_compared) == (60, 30, 40)
    assert found.chosen == "Compared are lenses with lenses."
    assert la.realism(finder, *sets, label="non-lens").record.compared == "non-lenses"
    unlabelled = drawn_set(tmp_path / "sky", 25, 5, labels=-1)
    found = la.realism(finder, unlabelled, sets[1]).record
    assert (found.label, found.real.n_compared, found.simulated.n_compared) == ("any", 25, 80)
    assert "0 lenses, 0 non-lenses, 25 unlabelled and 40 lenses, 40 non-lenses" in found.chosen


def test_few_cutouts_are_weak_and_fewer_are_refused(finder, sets):
    few = Part(sets[0], np.arange(0, 8, 2))  # four of one label
    record = la.realism(finder, few, sets[1]).record
    assert record.leading.weak
    assert "With 4 cutouts of a set this is weak" in record.sentence
    assert record.beside.endswith("weak")
    assert record.leading.low < 0.5 < record.leading.high
    with pytest.raises(DataError, match=r"sky: has 2 cutouts to compare, 3 are the least"):
        la.realism(finder, Part(sets[0], np.arange(2)), sets[1], label="any")
    with pytest.raises(DataError, match=r"sky: has 0 cutouts labelled lens .*or another label"):
        la.realism(finder, Part(sets[0], np.arange(0, 60, 2)), sets[1], label="lens")


def test_it_survives_json_and_earlier_readers(apart):
    words = json.loads(json.dumps(apart.record.to_json(), allow_nan=False))
    assert Realism.from_json(words).to_json() == words
    assert Realism.from_json({**words, "later": 1}).sentence == apart.record.sentence


def test_every_cutout_has_its_distance_and_flag(apart, tmp_path):
    page = apart.write(tmp_path / "gate")
    table = pq.read_table(tmp_path / "gate" / "cutouts.parquet").to_pydict()
    assert (len(table["id"]), table["set"].count("real")) == (140, 60)
    domain = apart.record.domain
    outside = [o for o, s in zip(table["outside"], table["set"], strict=True) if s == "real"]
    assert sum(outside) == domain.outside.k
    assert [d > domain.threshold for d in table["distance"]] == table["outside"]
    assert sum(p is not None for p in table["p_real"]) == 30 + 40
    assert Realism.read(tmp_path / "gate" / "realism.json").to_json() == apart.record.to_json()
    text = page.read_text(encoding="utf-8")
    assert "Realism of simulation beside noisy" in text
    assert text.count("data:image/png") == 4
    assert {path.name for path in (tmp_path / "gate").iterdir()} >= {"realism.md", "index.html", "spread.png"}


def test_the_same_command_says_the_same(finder, sets, alike):
    again = la.realism(finder, *sets)
    assert again.record.to_json() == alike.record.to_json()
    assert np.array_equal(again.cutouts.distance, alike.cutouts.distance, equal_nan=True)
    other = la.realism(finder, *sets, seed=1).record
    assert other.layer.auroc != alike.record.layer.auroc


def test_without_a_linear_layer_statistics_alone(sets, noisy):
    record = la.realism(toy_finder(Convolutional()), noisy, sets[1]).record
    assert record.layer is None
    assert record.leading.of == "image statistics"
    assert record.domain.of == "image statistics"
    assert record.leading.standing() == FAR
    assert "by image statistics with AUROC 1.000" in record.sentence
    assert any("No linear layer" in note for note in record.notes)


def test_several_outputs_will_do(sets):
    module = nn.Sequential(nn.Flatten(), nn.Linear(2 * 24 * 24, 8), nn.ReLU(), nn.Linear(8, 3))
    assert la.realism(toy_finder(module), *sets).record.layer.features == 8


def test_zero_points_bring_both_to_one_unit(finder, sets, tmp_path):
    """The same sky in another unit is the same sky; without a zero point fluxes are not compared."""
    drawn = {band: pixels * np.float32(10) for band, pixels in images(60, 1).items()}
    brighter = drawn_set(tmp_path / "sky", 60, 1, drawn=drawn, zero_point_mag=29.5)
    one, other = (la.realism(finder, sky, sets[1]).record for sky in (sets[0], brighter))
    before = {shift.name: shift.real for shift in one.shifts}
    for shift in other.shifts:
        assert shift.real == pytest.approx(before[shift.name], rel=1e-3, abs=1e-4), shift.name  # float32
    unknown = drawn_set(tmp_path / "unknown", 60, 1, drawn=drawn, unit="unknown", zero_point_mag=None)
    record = la.realism(finder, unknown, sets[1]).record
    assert any("not known in both sets" in note for note in record.notes)
    assert not {shift.name for shift in record.shifts} & {"noise g", "total flux g", "colour g−r", "sky r"}


def test_what_cannot_be_scored_is_left_out_and_said(finder, sets, tmp_path):
    drawn = images(30, 4)
    drawn["g"][0, 0, 0], drawn["r"][1] = np.nan, 5.0
    odd = drawn_set(tmp_path / "sky", 30, 4, labels=-1, drawn=drawn)
    found = la.realism(finder, odd, sets[1])
    assert (found.record.real.n_left_out, found.record.real.n_compared) == (2, 28)
    assert any("2 of 30 cutouts of sky" in note and "not finite" in note for note in found.record.notes)
    assert found.cutouts.outside[:2].all()
    assert np.isnan(found.cutouts.distance[:2]).all()
    constant = drawn_set(tmp_path / "constant", 5, 4, drawn={band: np.ones((5, 24, 24), np.float32) for band in drawn})
    with pytest.raises(DataError, match=r"constant: none of 5 cutouts can be scored \(first: g is constant"):
        la.realism(finder, constant, sets[1])


def test_sets_that_cannot_be_compared_are_refused(finder, sets, tmp_path):
    from lens_sets import write_set

    with pytest.raises(UsageError, match="is given as real and as simulated"):
        la.realism(finder, sets[0], sets[0])
    pixels = images(5, 9)["g"]
    other_band = write_set(tmp_path / "band", {"g": pixels}, {"g": 0.2})
    with pytest.raises(DataError, match="needs band r"):
        la.realism(finder, other_band, sets[1])
    with pytest.raises(DataError, match=r"wide: band g is 24×24 pixels of 0\.3″"):
        la.realism(finder, write_set(tmp_path / "wide", dict.fromkeys("gr", pixels), dict.fromkeys("gr", 0.3)), sets[1])
    coarse = write_set(tmp_path / "coarse", dict.fromkeys("gr", pixels[:, 4:-4, 4:-4]), dict.fromkeys("gr", 0.3))
    with pytest.raises(DataError, match=r"coarse: band g has pixels of 0\.3″, those of .*0\.2″.*simulate"):
        la.realism(finder, coarse, sets[1])
    with pytest.raises(UsageError, match="label='galaxy' is not known"):
        la.realism(finder, *sets, label="galaxy")


def test_injected_cutouts_of_one_host_stay_in_one_fold(finder, tmp_path):
    """A host and the same host with an arc: a catalogue column names it, in both sets."""
    from lens_sets import LABEL, write_set

    from lensaudit.lensset import CatalogueColumn
    from lensaudit.realism_gate.describing import described

    host = CatalogueColumn(name="host_id", unit="", description="", dtype="str")
    table = {"label": np.ones(6, int), "host_id": [f"h{i}" for i in range(6)]}
    drawn = write_set(tmp_path / "hosts", images(6, 3), dict.fromkeys("gr", 0.2), table, columns=(LABEL, host))
    seen = described(finder, drawn, None, None, lambda done, total: None)
    assert seen.systems == tuple(table["host_id"])
    assert seen.layer is None


def test_the_command_prints_and_writes(lensaudit, sets, noisy, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_toy.py").write_text("from tests.realism_gate.toys import toy_finder as make\n", encoding="utf-8")
    out = tmp_path / "gate"
    words = ("realism", "my_toy:make", "--real", noisy.path, "--simulated", sets[1].path, "--out", out)
    done = lensaudit(*words)
    assert done.code == 0, done.err
    assert "Real and simulated lenses are told apart by the last layer" in done.out
    assert "noise" in done.out
    assert (out / "index.html").is_file()
    assert json.loads(lensaudit(*words, "--json").out)["finder"]
    other = lensaudit("realism", "my_toy:make", "--real", sets[0].path, "--simulated", sets[1].path, "--out", out)
    assert other.code == 2
    assert "is the comparison of another real" in other.err
    assert lensaudit("realism", "my_toy:make", "--real", "no", "--simulated", "no", "--out", out).code == 2


def test_a_stopped_comparison_goes_on_where_it_stopped(finder, sets, alike, tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "KEPT_TOGETHER", 64)  # a batch: one file of the real ones, two of the others
    true, asked = describing._of_some, []

    def compared(label=""):
        return measure_realism(finder, *sets, RealismOptions(label), lambda *_: None, tmp_path / "described")

    def of(gate):
        return replace(gate.record, provenance=alike.record.provenance)  # it names the command

    def stopped_at(most):
        def of_some(finder, reader, *rest):
            if len(asked) == most:
                raise KeyboardInterrupt
            asked.append(len(reader))
            return true(finder, reader, *rest)

        return of_some

    monkeypatch.setattr(describing, "_of_some", stopped_at(2))
    with pytest.raises(KeyboardInterrupt):
        compared()
    monkeypatch.setattr(describing, "_of_some", stopped_at(None))
    found = compared()
    assert sum(asked) == 60 + 80  # every cutout once
    assert of(found) == alike.record  # which was described in one go
    assert np.array_equal(found.cutouts.distance, alike.cutouts.distance)
    compared("any")
    assert sum(asked) == 60 + 80  # another label needs nothing new
    torn = next((tmp_path / "described").iterdir())
    torn.write_bytes(torn.read_bytes()[:200])
    assert of(compared()) == alike.record
