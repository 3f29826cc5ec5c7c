"""Real lenses in other units: shipped finders score them the same, or say what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError
from lensaudit.finders import load_finder, refitted, remarks_on, score_set
from lensaudit.lensset.ingest import PixelPolicy, ingest, parse_band, plan_euclid_q1, plan_fits

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA")

OU66 = (0.98446, 0.15195, 0.94834)  # of the three Q1 lenses, before the stretch lost its ceiling; five decimals


def q1(folder: Path, change) -> object:
    """The three large Q1 lenses with every pixel changed, as a lens set."""
    files = folder / "files"
    files.mkdir()
    for path in sorted((REAL / "euclid-q1").glob("102[0-9]*.fits")):
        if path.name.startswith("102018665"):  # 100 pixels
            continue
        with fits.open(path) as hdus:
            for hdu in hdus:
                if hdu.name.endswith("FLUX"):
                    hdu.data = change(hdu.data.astype(np.float32))
            hdus.writeto(files / path.name)
    return ingest(plan_euclid_q1(files, label="lens"), folder / "set")


@pytest.mark.parametrize(
    ("change", "expected", "says"),
    [
        (lambda x: x, OU66, None),
        (lambda x: 1000 * x, OU66, None),
        (lambda x: x + 20_000, None, "the sky is not subtracted"),
    ],
    ids=["as they are", "times 1000", "pedestal"],
)
def test_ou66_on_q1_lenses(change, expected, says, tmp_path):
    finder, lens_set = load_finder("ou66").for_field(None, resample=True), q1(tmp_path, change)
    scores = score_set(finder, lens_set)
    assert scores.failed == {}
    if expected is not None:
        np.testing.assert_allclose(scores.p_lens, expected, atol=1e-5)  # five decimals; float32 rounding of the factor
    remarks = remarks_on(finder.name, scores.clipping)
    assert (remarks == []) if says is None else says in remarks[0]


@pytest.mark.parametrize("name", ["deeplens", "petrillo"])
def test_hsc_lenses_without_unit_are_refused_and_refitted(name, tmp_path):
    policy = PixelPolicy(given_scale={"*": 0.168}, size_arcsec=8.1)
    plan = plan_fits(REAL / "hsc-lenses", [parse_band("g=lens_*.fits[1]")], label="lens", policy=policy)
    lens_set = ingest(plan, tmp_path / "hsc")
    finder = load_finder(name).for_field(None, resample=True)
    with pytest.raises(DataError, match=r"electron / s at 28\.33 mag, the set's pixels"):
        score_set(finder, lens_set)
    scores = score_set(refitted(finder, lens_set), lens_set)
    assert scores.failed == {}
    assert scores.p_lens.min() > 0.1, "at .018 to .045 with the statistics of electron/s"
