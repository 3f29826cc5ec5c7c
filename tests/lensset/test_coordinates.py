"""Coordinates of cutouts and of maps against astropy's own reading of the original header, over the whole cutout."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import astropy.wcs.tests
import numpy as np
import pytest
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.errors import DataError
from lensaudit.lensset.coordinates import (
    from_cards,
    header_sky,
    plain_wcs,
    rescaled_about_reference,
    scale_arcsec,
    shifted_cards,
    wcs_on_grid,
)

DATA = Path(astropy.wcs.tests.__file__).parent / "data"
EXACT_ARCSEC = 1e-6  # cards hold 1e-12 degrees, which is 4e-9″; every scale here is above 0.03″

# Headers of astropy's own tests: file, extension, and whether cards can hold what they say.
KINDS = {
    "SIP of HST ACS": ("j94f05bgq_flt.fits", 1, True),
    "SIP of IRAC": ("irac_sip.hdr", None, True),
    "SIP without inverse": ("sip.fits", 0, True),
    "SIP of PTF": ("siponly.hdr", None, True),
    "TPV of PTF": ("tpvonly.hdr", None, True),
    "ZPN with PV of 2MASS": ("2wcses.hdr", None, True),
    "plate polynomial of DSS": ("dss.14.29.56-62.41.05.fits.gz", 0, True),
    "CD in a cube": ("3d_cd.hdr", None, True),
    "PC and CDELT": ("locale.hdr", None, True),
    "CAR in galactic coordinates": ("unit.hdr", None, True),
    "-TAB on the third axis": ("tab-time-last-axis.fits", 0, True),
    "lookup tables of HST ACS": ("dist_lookup.fits.gz", 1, False),
    "detector lookup table of HST": ("ie6d07ujq_wcs.fits", 0, False),
}


@contextmanager
def original(file: str, extension: int | None) -> Iterator[tuple[fits.Header, fits.HDUList | None]]:
    """A header and the file that its tables lie in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what astropy says of its own test data
        if extension is None:
            yield fits.Header.fromstring((DATA / file).read_bytes()), None
            return
        with fits.open(DATA / file) as hdus:
            yield hdus[extension].header, hdus


def apart(one: np.ndarray, other: np.ndarray, like: WCS) -> float:
    """Largest distance in arcsec."""
    a, b, lng, lat = np.radians(one), np.radians(other), like.wcs.lng, like.wcs.lat
    return float(np.degrees(angular_separation(a[:, lng], a[:, lat], b[:, lng], b[:, lat])).max() * 3600)


def pixels(side: int) -> np.ndarray:
    """Positions (n, 2) from edge to edge of a square image; other ones than the code compares."""
    places = np.linspace(-0.5, side - 0.5, 14)
    return np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)


@pytest.mark.parametrize("size", [66, 101])
@pytest.mark.parametrize("kind", KINDS)
def test_a_map_lies_where_the_header_says(kind, size):
    file, extension, exact = KINDS[kind]
    rows, columns, first = 200, 180, np.array([307, 614])  # of a cutout that is not square
    with original(file, extension) as (header, hdus):
        oracle = WCS(header, fobj=hdus, naxis=2)
        sky = header_sky(header, hdus)
        assert sky.wcs is not None, sky.reason
        cards = shifted_cards(sky, first[1], first[0], (rows, columns))
        cutout = from_cards(cards.text)
        on_map = wcs_on_grid(cutout, (rows, columns), size)
        stored = from_cards(on_map.to_header(relax=True).tostring(sep="\n"))
        places = pixels(size)
        native = (places + 0.5) * [columns / size, rows / size] - 0.5
        wanted = oracle.all_pix2world(native + first, 0)
        errors = [
            apart(cutout.all_pix2world(native, 0), wanted, oracle),
            apart(on_map.all_pix2world(places, 0), wanted, oracle),
            apart(stored.all_pix2world(places, 0), wanted, oracle),
        ]
    assert (cards.error_arcsec == 0) == exact
    # a fit may err between the points it was measured at, by less than it errs at them
    assert max(errors) < (EXACT_ARCSEC if exact else 1.1 * cards.error_arcsec)
    assert max(errors) < 0.25 * scale_arcsec(oracle)
    if not exact:
        np.testing.assert_allclose(stored.wcs.csyer * 3600, cards.error_arcsec, rtol=1e-6)


def rotated(**cards: float | str) -> fits.Header:
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0})
    header.update({"CRPIX1": 90.0, "CRPIX2": 110.0, **cards})
    return header


@pytest.mark.parametrize("form", ["CROTA", "PC"])
def test_turned_pixels_stay_turned_in_maps_that_are_not_square(form):
    turn = np.radians(30)
    scales = {"CDELT1": -0.05 / 3600, "CDELT2": 0.05 / 3600}
    matrix = {"PC1_1": np.cos(turn), "PC1_2": np.sin(turn), "PC2_1": -np.sin(turn), "PC2_2": np.cos(turn)}
    wcs = header_sky(rotated(**scales, **({"CROTA2": 30.0} if form == "CROTA" else matrix))).wcs
    on_map = wcs_on_grid(wcs, (200, 180), 66)
    places = pixels(66)
    wanted = wcs.all_pix2world((places + 0.5) * [180 / 66, 200 / 66] - 0.5, 0)
    assert apart(on_map.all_pix2world(places, 0), wanted, wcs) < EXACT_ARCSEC


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({}, "no CDELT or CD, or its default of 1 degree per pixel"),
        ({"CDELT1": 1.0, "CDELT2": 1.0}, "default of 1 degree"),
        ({"CDELT1": -1e300, "CDELT2": 1e300}, "″ per pixel"),
        ({"CD1_1": "abc", "CD2_2": 1e-5}, "header card CD1_1 is 'abc', not a number"),
        ({"CDELT1": -1e-5, "CDELT2": 1e-5, "CRVAL1": "10:00:00"}, "header card CRVAL1 is '10:00:00', not a number"),
        ({"CDELT1": True, "CDELT2": 1e-5}, "header card CDELT1 is True, not a number"),
        ({"CDELT1": -1e-5, "CDELT2": 1e-5, "CTYPE1": "RA---XYZ"}, "astropy cannot read them"),
        ({"CDELT1": -1e-5, "CDELT2": 1e-5, "CTYPE1": 5}, "astropy cannot read them"),
        ({"CD1_1": 0.0, "CD2_2": 0.0}, ""),
    ],
)
def test_coordinates_that_cannot_be_used_say_why(cards, reason):
    sky = header_sky(rotated(**cards))
    assert sky.wcs is None
    assert reason in sky.reason
    assert sky.reason
    assert "\n" not in sky.reason


def test_a_header_without_coordinates_is_no_fault():
    assert header_sky(fits.Header()).wcs is None
    assert header_sky(fits.Header()).reason == ""


def test_rescaling_keeps_reference_and_orientation():
    wcs = header_sky(rotated(CD1_1=-2e-5, CD1_2=1e-5, CD2_1=1e-5, CD2_2=2e-5)).wcs
    doubled = rescaled_about_reference(wcs, 2.0).wcs
    assert scale_arcsec(doubled) == pytest.approx(2 * scale_arcsec(wcs), rel=1e-9)  # nine of the sixteen digits
    near, far = wcs.all_pix2world([[89, 109], [99, 109]], 0), doubled.all_pix2world([[89, 109], [94, 109]], 0)
    assert apart(near, far, wcs) < EXACT_ARCSEC


def test_cards_that_are_none_are_refused_in_one_line():
    with pytest.raises(DataError, match=r"sky coordinates .* cannot be read") as caught:
        from_cards("CTYPE1  = 'RA---XYZ'\nCTYPE2  = 'DEC--XYZ'")
    assert "\n" not in str(caught.value)


def test_coordinates_made_here_are_centred():
    wcs = plain_wcs((10, 20), 0.1)
    assert apart(wcs.all_pix2world([[9.5, 4.5]], 0), np.zeros((1, 2)), wcs) < EXACT_ARCSEC
