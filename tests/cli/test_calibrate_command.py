"""``lensaudit calibrate`` on the command line: what it writes, what ``score`` then says, one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from lens_sets import EUCLID, LABEL, write_set
from scipy.special import expit

from lensaudit.finders import load_finder, read_scores
from lensaudit.lensset import CatalogueColumn

N = 50
NUMBER = {"unit": "", "dtype": "float64"}
COLUMNS = (
    LABEL,
    CatalogueColumn(name="weight", description="inverse inclusion probability", **NUMBER),
    CatalogueColumn(name="bad", description="no weight", **NUMBER),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Folder with the set ``set``, sets without labels or one class, and scores of ou66 for the first."""
    here = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(1)
    labels = np.arange(N) % 2
    images = {}
    for band, (pixels, _) in EUCLID.items():
        grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
        images[band] = (rng.normal(size=(N, pixels, pixels)) + 20 * np.exp(-8 * grid)).astype(np.float32)
    scales = {band: scale for band, (_, scale) in EUCLID.items()}
    weights = {"weight": np.where(labels == 1, 1.0, 8.0), "bad": np.r_[np.nan, np.ones(N - 1)]}
    for name, label in (("set", labels), ("unlabelled", np.full(N, -1)), ("lenses", np.ones(N, int))):
        write_set(here / name, images, scales, {"label": label, **weights}, columns=COLUMNS)
    p = expit(rng.normal(np.where(labels == 1, 1.0, -1.0), 1.5))
    rows = (f"image-{number:04d},{one:.6f}" for number, one in enumerate(p))
    (here / "scores.csv").write_text("\n".join(["id,p", *rows]))
    return here


@pytest.fixture(scope="module")
def calibrated(place, cli) -> Path:
    """Folder of ou66 calibrated on it."""
    out = place / "calibrated"
    cli("calibrate", "ou66", place / "set", *options(place), "--out", out, "--device", "cpu")
    return out


def options(place: Path) -> list[object]:
    """Of that calibration; the scores are made up, for ou66 has never seen such lenses."""
    fit = ["--method", "beta", "--prevalence", "0.01", "--weights", "weight"]
    return [*fit, "--inspect", "20", "--survey", "1000", "--scores", place / "scores.csv"]


def test_what_is_measured_is_printed_and_written(place, calibrated, cli):
    shown = cli("calibrate", "ou66", place / "set", *options(place), "--out", calibrated, "--device", "cpu", "--json")
    words = json.loads(shown.stdout)
    assert words.pop("out") == str(calibrated)
    assert words == json.loads((calibrated / "calibration.json").read_text())
    assert (words["top"][0]["n"], words["top"][0]["images"]) == (20, 1000)
    assert words["calibrator"]["weights"] == "weight"
    assert words["calibrator"]["fitted_fraction"] == pytest.approx(1 / 9)
    assert load_finder(str(calibrated)).calibrator.prevalence == 0.01


def test_score_gives_probabilities_and_detections(place, calibrated, lensaudit):
    out, table = place / "scores.parquet", place / "lenses.fits"
    done = lensaudit("score", calibrated, place / "set", "--out", out, "--detections", table, "--top", 2)
    assert done.code == 0
    assert "p_calibrated" in done.out
    assert "for a fraction of lenses of 0.01" in done.out
    assert "lenses.fits: 50 detections" in done.out
    scores, record = read_scores(out)
    assert record.to_json()["calibration"]["prevalence"] == 0.01
    detections = Table.read(table)
    assert detections.meta["PREVAL"] == 0.01
    found = {str(one["SL_CUTOUT_ID"]): one["SL_PROBABILITY"] for one in detections}
    assert [found[name] for name in scores.ids] == scores.calibrated.p.tolist()
    code, _, err = lensaudit("score", "ou66", place / "set", "--out", out)
    assert (code, "nothing in it says that it is from this run" in err) == (2, True)


def test_a_prior_moves_the_calibrated_probabilities_too(place, calibrated, lensaudit):
    out = place / "prior.parquet"
    assert lensaudit("score", calibrated, place / "set", "--out", out, "--prior", 0.1, "--top", 0).code == 0
    scores = read_scores(out)[0]
    expected = load_finder(str(calibrated)).calibrator.probabilities(scores.logit, 0.1).p
    np.testing.assert_array_equal(scores.calibrated.p, expected)


MISTAKES = {
    "no labels": (("ou66", "unlabelled"), 3, "unlabelled: has no labelled image"),
    "no non-lenses": (("ou66", "lenses"), 3, "lenses: has no non-lenses; a calibration needs at least 20"),
    "no column": (("ou66", "set", "--weights", "grade"), 3, "--weights grade: the catalogue has no such column"),
    "bad weights": (("ou66", "set", "--weights", "bad"), 3, "column bad is nan in row 1"),
    "prevalence 0": (("ou66", "set", "--prevalence", "0"), 2, "--prevalence 0 is not a fraction"),
    "prevalence 1": (("ou66", "set", "--prevalence", "1"), 2, "--prevalence 1 is not a fraction"),
    "weights of Venn-Abers": (
        ("ou66", "set", "--method", "venn-abers", "--weights", "weight"), 2, "takes no sampling weights",
    ),
    "holdout": (("ou66", "set", "--holdout", "0.9"), 3, "give another --holdout, or --folds"),
    "survey": (("ou66", "set", "--survey", "5", "--inspect", "9"), 2, "--survey 5: has fewer images than --inspect 9"),
    "calibrated": (("calibrated", "set"), 2, "is calibrated already (beta, prevalence 0.01); give"),
    "own code": (("json:loads", "set"), 2, "json:loads"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name, place, calibrated, lensaudit):
    (finder, data, *words), code, line = MISTAKES[name]
    finder = str(calibrated) if finder == "calibrated" else finder
    left = lensaudit("calibrate", finder, place / data, *words, "--out", place / "never", "--device", "cpu")
    assert left.code == code, left.err
    last = left.err.strip().splitlines()[-1]
    assert last.startswith("lensaudit: ")
    assert line in last
    assert not (place / "never" / "finder.yaml").exists()


def test_neither_its_own_folder_nor_another_finder_s_is_written_over(place, calibrated, lensaudit, tmp_path):
    from lensaudit.finders import save_finder

    save_finder(load_finder("ou66"), mine := tmp_path / "mine", origin="a copy")
    code, _, err = lensaudit("calibrate", mine, place / "set", "--out", mine)
    assert code == 2
    assert "is the folder of the finder that is calibrated; choose another --out" in err
    save_finder(load_finder("ou200"), other := tmp_path / "other", origin="another")
    code, _, err = lensaudit("calibrate", mine, place / "set", "--out", other)
    assert code == 2
    assert "holds a finder already" in err
    assert load_finder(str(mine)).calibrator is None


def test_a_set_that_trained_the_finder_is_refused(place, lensaudit, tmp_path):
    from lensaudit.finders import save_finder
    from lensaudit.finders.facts import TrainingFacts
    from lensaudit.lensset import LensSet

    facts = TrainingFacts.model_validate({"set": LensSet.open(place / "set").content_hash})
    save_finder(load_finder("ou66"), tmp_path / "trained", origin="trained", training_data=facts)
    code, _, err = lensaudit("calibrate", tmp_path / "trained", place / "set", "--out", tmp_path / "out")
    assert code == 3
    assert "trained ou66, whose scores there are better than elsewhere; calibrate it on another set" in err


def test_only_a_calibrated_finder_has_detections(place, lensaudit):
    code, _, err = lensaudit("score", "ou66", place / "set", "--out", place / "x.parquet", "--detections", "d.fits")
    assert code == 2
    assert "--detections: ou66 is not calibrated" in err
