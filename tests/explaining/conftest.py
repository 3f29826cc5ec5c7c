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

from occlusion_nets import ROUNDING, filled, picture, run_engine  # noqa: E402
from plain_occlusion import plain_logits  # noqa: E402

from lensaudit.explaining.occluding.exact import Outcome  # noqa: E402
from lensaudit.finders import Finder, initialised, load_recipe, save_finder  # noqa: E402
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSetWriter, Records, chunk_for  # noqa: E402

BANDS = {"VIS": (200, 0.1), "Y": (66, 0.3), "J": (66, 0.3), "H": (66, 0.3)}


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
    label = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens", dtype="int64")
    bands = tuple(
        BandHeader(name=b, shape=(n, n), pixel_scale_arcsec=s, zero_point_mag=24.0, unit="electron / s")
        for b, (n, s) in BANDS.items()
    )
    header = Header(instrument="euclid", bands=bands, n=3, chunk=chunk_for(3), columns=(label,))
    rng = np.random.default_rng(8)
    images = {b: rng.random((3, n, n)).astype(np.float32) for b, (n, _) in BANDS.items()}
    images["Y"][2] = 1.0
    writer = LensSetWriter(folder / "set", header)
    writer.start()
    for chunk in range(header.n_chunks):
        span = header.span(chunk)
        ids = [f"system-{i}" for i in range(span.start, span.stop)]
        part = {band: block[span] for band, block in images.items()}
        writer.write(chunk, Records(ids=ids, images=part, rows=[{"label": 1} for _ in ids]))
    writer.finish()
    return folder / "ou66", folder / "set"
