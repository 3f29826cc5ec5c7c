"""Kernels: sum, shape, three-fold symmetry on a pixel-free rendering, real kernels by file."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError
from lensaudit.imaging import EUCLID, kernel
from lensaudit.imaging.psf import TREFOIL_REFERENCE_NM, gaussian_kernel
from lensaudit.scenes import Psf

VIS = EUCLID.band("VIS")


@pytest.mark.parametrize("band", EUCLID.bands, ids=lambda band: band.name)
@pytest.mark.parametrize("kind", ["gaussian", "trefoil"])
def test_kernels_are_odd_and_sum_to_one(kind: str, band) -> None:
    values = kernel(Psf(kind, angle_deg=35.0), band)
    assert values.shape[0] == values.shape[1]
    assert values.shape[0] % 2 == 1
    assert values.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.unravel_index(values.argmax(), values.shape) == (values.shape[0] // 2,) * 2


def test_gaussian_has_its_fwhm() -> None:
    values = gaussian_kernel(0.8, 0.02, 201)
    profile = values[100] / values[100, 100]
    assert profile[100 + 20] == pytest.approx(0.5, abs=1e-12)


def azimuthal_amplitude(profile, radius_arcsec: float, m: int) -> float:
    """Amplitude of the m-th harmonic over the mean, from a GalSim profile itself, so that no pixel grid enters."""
    import galsim

    image = profile.drawImage(nx=121, ny=121, scale=0.01, method="no_pixel").array
    angle = np.linspace(0.0, 2 * np.pi, 360, endpoint=False)
    column = np.rint(60 + radius_arcsec / 0.01 * np.cos(angle)).astype(int)
    row = np.rint(60 + radius_arcsec / 0.01 * np.sin(angle)).astype(int)
    spectrum = np.fft.fft(image[row, column])
    assert galsim is not None
    return float(2 * abs(spectrum[m]) / abs(spectrum[0]))


def test_the_three_fold_amplitude_is_that_of_real_kernels() -> None:
    import galsim

    from lensaudit.imaging.psf import MIN_BLUR_ARCSEC, _optics

    psf = Psf("trefoil")
    optics = _optics(TREFOIL_REFERENCE_NM, psf.trefoil_waves)
    profile = galsim.Convolve(optics, galsim.Gaussian(fwhm=MIN_BLUR_ARCSEC), galsim.Pixel(0.1))
    # The real VIS kernels of the Q1 files show about 0.3 at radii of 0.3–0.4″.
    for radius in (0.3, 0.35, 0.4):
        three = azimuthal_amplitude(profile, radius, 3)
        assert 0.2 < three < 0.5
        # Rounding to a 0.01″ grid leaves at most a few per cent in the other harmonics.
        assert azimuthal_amplitude(profile, radius, 2) < 0.05


def test_turning_by_a_third_changes_nothing_and_by_a_sixth_does() -> None:
    start, third, sixth = (kernel(Psf("trefoil", angle_deg=a), VIS) for a in (10.0, 130.0, 70.0))
    np.testing.assert_array_equal(start, third)
    assert np.abs(start - sixth).max() > 0.02 * start.max()


def write_kernel(path: Path, values: np.ndarray) -> Path:
    header = fits.Header({"CD1_1": -0.1 / 3600})
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, header, name="VIS_PSF")]).writeto(path)
    return path


def test_a_file_at_the_bands_scale_comes_back_unchanged(tmp_path: Path) -> None:
    values = gaussian_kernel(0.4, 0.1, VIS_PIXELS)
    path = write_kernel(tmp_path / "psf.fits", values)
    # Cubic splines pass through their nodes; centre crop of a fading Gaussian.
    np.testing.assert_allclose(kernel(Psf("fits", path=str(path)), VIS), values, atol=1e-9)


def test_a_file_is_resampled_and_turned(tmp_path: Path) -> None:
    values = gaussian_kernel(1.2, 0.1, 41)
    path = write_kernel(tmp_path / "psf.fits", values)
    nisp = kernel(Psf("fits", path=str(path)), EUCLID.band("H"))
    expected = gaussian_kernel(1.2, 0.3, nisp.shape[0])
    # A spline through samples 5 per FWHM apart reproduces a Gaussian to a per mille of its peak.
    np.testing.assert_allclose(nisp, expected, atol=2e-3 * expected.max())
    lopsided = values * np.linspace(0.5, 1.5, 41)
    path = write_kernel(tmp_path / "lopsided.fits", lopsided)
    turned = kernel(Psf("fits", path=str(path), angle_deg=90.0), VIS)
    straight = kernel(Psf("fits", path=str(path)), VIS)
    np.testing.assert_allclose(turned, np.rot90(straight, -1), atol=1e-9)


VIS_PIXELS = 41


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:3000]), "cannot be read|truncated|no extension|must be a square"),
        (lambda p: write_kernel(p.with_name("nan.fits"), np.full((5, 5), np.nan)).replace(p), "finite numbers"),
        (lambda p: write_kernel(p.with_name("wide.fits"), np.ones((5, 7))).replace(p), "must be a square"),
    ],
)
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_bad_files_are_named(tmp_path: Path, spoil, message: str) -> None:
    path = write_kernel(tmp_path / "psf.fits", np.ones((5, 5)))
    spoil(path)
    with pytest.raises(DataError, match=message):
        kernel(Psf("fits", path=str(path)), VIS)


def test_missing_extension_lists_those_there(tmp_path: Path) -> None:
    path = write_kernel(tmp_path / "psf.fits", np.ones((5, 5)))
    with pytest.raises(DataError, match=r"no extension 'NIR_PSF' for the PSF; it has .*VIS_PSF"):
        kernel(Psf("fits", path=str(path), extension="NIR_PSF"), VIS)
