"""The three published finders on three real Euclid Q1 lenses."""

import os
from pathlib import Path

import pytest
import torch
from astropy.io import fits

from lensaudit.finders import Finder, load_finder, load_recipe, read_published, save_finder

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(
    not (REAL / "wilde2022").is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA to their folder"
)

FINDERS = {"ou200": ("OU_200", 331_632), "ou66": ("OU_66", 203_192), "ou-jyh": ("OU_JYH", 202_742)}
P_LENS = {  # measured with the authors' own preprocessing; printed to five decimals
    "102020057": {"ou200": 0.88219, "ou66": 0.99632, "ou-jyh": 0.86638},
    "102042913": {"ou200": 0.91259, "ou66": 0.88179, "ou-jyh": 0.43023},
    "102159187": {"ou200": 0.97502, "ou66": 0.95580, "ou-jyh": 0.79865},
}
ATOL = 1e-4  # float32 network against float32 network, other resize arithmetic


def published(name: str) -> Finder:
    return read_published(REAL / "wilde2022" / f"{FINDERS[name][0]}_Weights.pt", load_recipe(name))


def central_cutouts(lens: str) -> dict:
    """Central 200×200 of the 300×300 pixels of 0.1″."""
    path = next((REAL / "euclid-q1").glob(f"{lens}_*.fits"))
    names = {"VIS": "VIS_FLUX"} | {band: f"NIR_{band}_FLUX" for band in "YJH"}
    with fits.open(path) as hdus:
        return {band: hdus[extension].data[None, 50:250, 50:250] for band, extension in names.items()}


@pytest.mark.parametrize("name", FINDERS)
def test_parameter_counts_are_those_of_the_paper(name):
    assert published(name).parameters == FINDERS[name][1]


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("lens", P_LENS)
def test_scores_of_real_lenses_are_those_measured(name, lens, tmp_path):
    save_finder(published(name), tmp_path, origin="published")
    finder = load_finder(str(tmp_path))
    with torch.inference_mode():
        p = finder.logit(finder.preprocess(central_cutouts(lens))).sigmoid().item()
    assert p == pytest.approx(P_LENS[lens][name], abs=ATOL)
