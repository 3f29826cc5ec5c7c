"""Makes the helpers of this folder and the slow references importable; fixtures made of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "reference")]

from lens_sets import EUCLID, write_set  # noqa: E402
from occlusion_nets import ROUNDING, filled, picture, run_engine  # noqa: E402
from plain_occlusion import plain_logits  # noqa: E402

from lensaudit.explaining.occluding.exact import Outcome  # noqa: E402
from lensaudit.finders import Finder, initialised, load_recipe, save_finder  # noqa: E402


@pytest.fixture
def assert_exact():
    """Compare the exact engine with the slow reference: (module, image, patch, stride) → outcome, to look into."""

    def compare(module: nn.Module, image: torch.Tensor, patch: int, stride: int, **options: object) -> Outcome:
        outcome = run_engine(module, image, patch, stride, **options)
        logits, base = plain_logits(module, image, patch, stride)
        scale = 1 + np.abs(logits).max()
        np.testing.assert_allclose(outcome.logits, logits, rtol=0, atol=ROUNDING * scale)
        assert outcome.base_logit == pytest.approx(base, abs=ROUNDING * scale)
        assert np.ptp(logits) > 1e-6 * scale, "the occlusion changes nothing, so nothing was tested"
        return outcome

    return compare


@pytest.fixture
def make_module():
    """Fill a module with seeded weights."""
    return filled


@pytest.fixture
def make_picture():
    """(size, bands) → image."""
    return picture


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> tuple[Path, Path]:
    """Folders of a seeded ou66 and of a set of three systems, the last of which has an unusable band."""
    folder = tmp_path_factory.mktemp("occlusion")
    module = initialised("ou66", 4, generator=torch.Generator().manual_seed(2))
    save_finder(Finder(load_recipe("ou66"), module, "test"), folder / "ou66", origin="He-normal weights of a test")
    rng = np.random.default_rng(8)
    images = {b: rng.random((3, n, n)).astype(np.float32) for b, (n, _) in EUCLID.items()}
    images["Y"][2] = 1.0
    scales = {band: scale for band, (_, scale) in EUCLID.items()}
    write_set(folder / "set", images, scales, {"label": [1, 1, 1]}, ids="system-{}", zero_point_mag=24.0)
    return folder / "ou66", folder / "set"
