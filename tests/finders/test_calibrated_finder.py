"""A calibrated finder's folder: read everywhere, its ROC untouched, what was changed refused; tables of detections."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from lens_sets import LABEL, write_set

from lensaudit.documents import sealed
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.evaluation.calibrated_finder import calibrate_finder, write_calibrated
from lensaudit.evaluation.calibrating import Calibrated, CalibrationSettings
from lensaudit.finders import load_finder, read_record, read_scores, save_finder, score_set, write_scores
from lensaudit.finders.detections import write_detections
from lensaudit.finders.score import Scores
from lensaudit.lensset import CatalogueColumn, LensSet

N = 60
WEIGHT = CatalogueColumn(name="weight", unit="", description="inverse inclusion probability", dtype="float64")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> LensSet:
    """Sixty blobs of which every other is a lens and a little brighter."""
    rng = np.random.default_rng(3)
    labels = np.arange(N) % 2
    grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, 40)] * 2))
    images = rng.normal(size=(N, 40, 40)) + (6 + 4 * labels)[:, None, None] * np.exp(-8 * grid)
    path = tmp_path_factory.mktemp("calibrated") / "set"
    weights = np.where(labels == 1, 1.0, 5.0)
    table = {"label": labels, "weight": weights}
    return write_set(path, {"VIS": images.astype(np.float32)}, {"VIS": 0.5}, table, columns=(LABEL, WEIGHT))


@pytest.fixture(scope="module")
def scored(labelled) -> Scores:
    """Scores that say something and saturate: ties in p, none in the log-odds."""
    rng = np.random.default_rng(5)
    logit = rng.normal(np.where(labelled.labels == 1, 2.0, -2.0), 3.0) * 9
    return Scores(tuple(labelled.ids), 1 / (1 + np.exp(-logit)), logit, ("ok",) * N)


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    """A network for such blobs, in a folder."""
    import torch

    from lensaudit.finders import Finder, initialised_module, load_recipe

    recipe = load_recipe("ou66").model_copy(update={"bands": ("VIS",), "name": "blobs"})
    folder = tmp_path_factory.mktemp("finder") / "blobs"
    module = initialised_module(recipe, torch.Generator().manual_seed(2))
    save_finder(Finder(recipe, module, "test"), folder, origin="He-normal weights of a test")
    return load_finder(str(folder))


@pytest.fixture(scope="module")
def written(finder, labelled, scored, tmp_path_factory) -> Callable[[str], Path]:
    """A function: method → folder of the finder calibrated with it, written once."""

    @cache
    def write(method: str) -> Path:
        out = tmp_path_factory.mktemp("written") / method
        settings = CalibrationSettings(method, prevalence=0.01)
        write_calibrated(calibrate_finder(finder, labelled, scored, settings), labelled, out)
        return out

    return write


@pytest.fixture
def folder(written, tmp_path, request) -> Path:
    """Folder of the finder calibrated with the method of the parameter; the test's own."""
    return Path(shutil.copytree(written(getattr(request, "param", "isotonic")), tmp_path / "calibrated"))


@pytest.mark.parametrize("folder", ["isotonic", "beta", "venn-abers"], indirect=True)
def test_scores_and_roc_are_those_from_before_bit_for_bit(folder, finder, labelled):
    """Isotonic regression has ties; the score stays the log-odds, and probabilities stand beside it."""
    before, after = (score_set(one, labelled) for one in (finder, load_finder(str(folder))))
    np.testing.assert_array_equal(after.logit, before.logit)
    np.testing.assert_array_equal(after.p_lens, before.p_lens)
    assert before.calibrated is None
    assert after.calibrated is not None
    first, second = (evaluate(labelled.labels, one.p_lens, one.logit) for one in (before, after))
    assert first.metric("auroc") == second.metric("auroc")
    assert first.roc is not None
    assert second.roc is not None
    np.testing.assert_array_equal(first.roc.tpr, second.roc.tpr)
    order = np.argsort(after.logit)
    assert (np.diff(after.calibrated.p[order]) >= -1e-12).all()  # rounding


@pytest.mark.parametrize("folder", ["isotonic", "beta", "venn-abers"], indirect=True)
def test_a_folder_holds_all_that_was_made(folder, finder, labelled, scored, request):
    method = request.node.callspec.params["folder"]
    loaded = load_finder(str(folder))
    assert loaded.weights_hash == finder.weights_hash
    assert loaded.calibrator is not None
    assert loaded.calibrator.method == method
    record = Calibrated.read(folder / "calibration.json")
    assert record.calibrator.to_json() == loaded.calibrator.to_json()
    assert read_record(folder).metrics.calibration.prevalence == 0.01
    assert read_record(folder).origin.endswith(f"calibrated ({method}) on 30 lenses and 30 non-lenses")
    assert f"Column p_calibrated: {method}" in (folder / "card.md").read_text()
    assert "not calibrated probabilities" not in (folder / "card.md").read_text()
    page = (folder / "calibration.html").read_text()
    assert all(word in page for word in ("Reliability", "The highest N", "cross-fitted in 5 parts", "Holloway"))
    assert page.count("data:image/png") == 2
    assert {"reliability.png", "top.png", "detections.fits"} <= {path.name for path in folder.iterdir()}


def test_a_later_threshold_keeps_the_calibration_and_another_finder_removes_it(folder, finder):
    loaded = load_finder(str(folder))
    save_finder(loaded, folder, origin="again")
    assert load_finder(str(folder)).calibrator.to_json() == loaded.calibrator.to_json()
    save_finder(finder, folder, origin="another")
    assert load_finder(str(folder)).calibrator is None
    assert not (folder / "calibrator.json").exists()


def test_other_scores_have_no_calibration(folder):
    loaded = load_finder(str(folder))
    assert loaded.symmetrised().calibrator is None
    assert loaded.for_field(30.0).calibrator is not None  # said by whoever gives the field


def test_a_changed_calibration_is_refused_in_one_line(folder):
    path = folder / "calibrator.json"
    words = json.loads(path.read_text())
    for change, line in (
        (words | {"prevalence": 0.5}, "was changed after it was written"),
        (sealed(words | {"prevalence": 0.5}), "is not the calibration that finder.yaml records"),
        (sealed(words | {"map": words["map"] | {"p": words["map"]["p"][::-1]}}), "its probabilities do not rise"),
        (sealed(words | {"map": {"method": "platt"}}), "map"),
    ):
        path.write_text(json.dumps(change))
        with pytest.raises(DataError, match=rf"calibrator\.json: .*{line}.*; calibrate the finder again") as caught:
            load_finder(str(folder))
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match=r"calibrator\.json: is missing, and finder\.yaml says"):
        load_finder(str(folder))


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".ecsv", ".fits", ".vot"])
@pytest.mark.parametrize("folder", ["beta", "venn-abers"], indirect=True)
def test_every_format_of_scores_has_the_probabilities(ending, folder, labelled, tmp_path):
    scores = score_set(load_finder(str(folder)), labelled)
    write_scores(scores, path := tmp_path / f"scores{ending}", {"finder": "f"})
    found = read_scores(path)[0].calibrated
    for name in ("p", "low", "high"):
        np.testing.assert_array_equal(getattr(found, name), getattr(scores.calibrated, name))


@pytest.mark.parametrize("folder", ["beta", "venn-abers"], indirect=True)
def test_detections_are_a_table_as_euclid_s(folder, labelled, tmp_path):
    scores = score_set(load_finder(str(folder)), labelled)
    scores = replace(scores, calibrated=replace(scores.calibrated, p=np.r_[np.nan, scores.calibrated.p[1:]]))
    sky = np.linspace(10, 20, N), np.linspace(-5, 5, N)
    path = tmp_path / "d.fits"
    assert write_detections(path, scores, {"FINDER": "blobs", "PREVAL": 0.01}, sky) == N - 1
    table = Table.read(path)
    assert table.colnames[:6] == [
        "OBJECT_ID", "SL_CUTOUT_ID", "RIGHT_ASCENSION", "DECLINATION", "SL_SCORES", "SL_PROBABILITY",
    ]  # fmt: skip
    rows = [scores.ids.index(str(one)) for one in table["SL_CUTOUT_ID"]]
    assert 0 not in rows
    np.testing.assert_array_equal(table["SL_SCORES"], scores.logit[rows])
    np.testing.assert_array_equal(table["SL_PROBABILITY"], scores.calibrated.p[rows])
    np.testing.assert_array_equal(table["RIGHT_ASCENSION"], sky[0][rows])
    assert (np.diff(table["SL_SCORES"]) <= 0).all()
    np.testing.assert_array_equal(table["SL_RANK"], np.arange(1, N))
    assert str(table["DECLINATION"].unit) == "deg"
    assert ("SL_PROBABILITY_LOW" in table.colnames) == np.isfinite(scores.calibrated.low).any()
    with fits.open(path) as file:
        cards = file[1].header
        assert (cards["EXTNAME"], cards["FINDER"], cards["PREVAL"], cards["NLEFTOUT"]) == ("SLDETECT", "blobs", 0.01, 1)
        ucds = [cards[f"TUCD{number}"] for number in range(1, cards["TFIELDS"] + 1)]
        assert all(cards[f"TCOMM{number}"] for number in range(1, cards["TFIELDS"] + 1))
    assert all(check_ucd(ucd, check_controlled_vocabulary=True) for ucd in ucds)
    before = path.read_bytes()
    write_detections(path, scores, {"FINDER": "blobs", "PREVAL": 0.01}, sky)
    assert path.read_bytes() == before


def test_whole_numbers_are_object_ids_of_64_bit(folder, labelled, tmp_path):
    scores = score_set(load_finder(str(folder)), labelled)
    numbers = tuple(str(-(2**60) + i) for i in range(N))
    write_detections(tmp_path / "d.fits", replace(scores, ids=numbers), {})
    table = Table.read(tmp_path / "d.fits")
    assert table["OBJECT_ID"].dtype.kind == "i"
    assert [str(one) for one in table["OBJECT_ID"]] == [str(one) for one in table["SL_CUTOUT_ID"]]
    with pytest.raises(UsageError, match=r"choose a name that ends in \.fits"):
        write_detections(tmp_path / "d.csv", scores, {})
