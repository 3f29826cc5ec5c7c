"""Kernels from FITS files of other hands: what is read, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError, LensauditError
from lensaudit.imaging import EUCLID
from lensaudit.imaging.psf import check_kernel, fits_kernel, gaussian_kernel

VIS = EUCLID.band("VIS")
KERNEL = gaussian_kernel(0.3, 0.1, 41)


def written(path, values: np.ndarray = KERNEL, **cards: object):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, fits.Header(cards), name="VIS_PSF")]).writeto(path)
    return path


@pytest.mark.parametrize("cards", [{}, {"PIXSCALE": 0.1}, {"CD1_1": -0.1 / 3600}, {"CDELT1": 0.1 / 3600}])
def test_a_kernel_at_the_bands_scale_is_kept(tmp_path, cards):
    values = fits_kernel(written(tmp_path / "psf.fits", **cards), "vis_psf", VIS)
    np.testing.assert_allclose(values, KERNEL, atol=1e-12)  # the spline goes through its knots, to rounding


@pytest.mark.parametrize(
    ("values", "cards", "said"),
    [
        (KERNEL[:, 1:], {}, "must be a square image of at most 2048"),
        (np.full((5, 5), np.nan), {}, "finite numbers with positive sum"),
        (-KERNEL, {}, "finite numbers with positive sum"),
        (np.full((5, 5), 1e308), {}, "finite numbers with positive sum"),
        (KERNEL, {"CD1_1": "abc"}, "header card CD1_1 is 'abc', not a number"),
        (KERNEL, {"PIXSCALE": 1e300}, r"its header gives 1e\+300″ per pixel"),
        (KERNEL, {"PIXSCALE": True}, "header card PIXSCALE is True, not a number"),
        (np.zeros((3, 5, 5)), {}, "name a plane of the cube"),
    ],
)
def test_kernels_that_cannot_be_used(tmp_path, values, cards, said):
    with pytest.raises(DataError, match=said):
        check_kernel(written(tmp_path / "psf.fits", values, **cards), "VIS_PSF")


def test_files_that_hold_no_kernel(tmp_path):
    with pytest.raises(DataError, match="no extension 'J_PSF' for the PSF; it has PRIMARY, VIS_PSF"):
        check_kernel(written(tmp_path / "psf.fits"), "J_PSF")
    (tmp_path / "page.fits").write_text("<html></html>")
    for name, said in (("page.fits", "is an HTML page, not a FITS file"), ("none.fits", "no such file")):
        with pytest.raises(LensauditError, match=said):
            check_kernel(tmp_path / name, "VIS_PSF")
