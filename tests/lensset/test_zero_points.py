"""Zero points out of headers: each kind of card against astropy's units, their precedence, their bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset import LensSet
from lensaudit.lensset.ingest import ingest, parse_band, plan_fits
from lensaudit.lensset.ingest.flux import ZeroPoint, zero_point_of
from lensaudit.lensset.ingest.plan import PixelPolicy

EMPTY = fits.Header()
HST = {"PHOTFLAM": 7.0767e-20, "PHOTPLAM": 8045.0}
"""ACS F814W, erg/s/cm²/Å for 1 electron/s and Å."""


def found(own: dict, primary: dict | None = None) -> ZeroPoint | None:
    header = fits.Header(own)
    return zero_point_of(header, header if primary is None else fits.Header(primary), "a.fits: band g")


@pytest.mark.parametrize(("flam", "plam"), [(7.0767e-20, 8045.0), (1.5274e-20, 15369.2), (3.0e-18, 2704.0)])
def test_hubble_sensitivity_is_an_ab_zero_point(flam: float, plam: float):
    flux = flam * u.Unit("erg / (s cm2 Angstrom)")
    expected = flux.to(u.ABmag, u.spectral_density(plam * u.Angstrom)).value
    # the handbook's constant is rounded to 1e-3
    assert found({"PHOTFLAM": flam, "PHOTPLAM": plam}).mag == pytest.approx(expected, abs=1e-3)


def test_sums_over_an_exposure_need_its_length():
    rate = found({**HST, "BUNIT": "ELECTRONS/S"}).mag
    whole = found({**HST, "BUNIT": "ELECTRONS"}, {"EXPTIME": 2000.0})
    # a source of that magnitude gives 1 electron in the exposure, so 1/2000 electron/s
    assert (whole.mag * u.ABmag).to(u.Jy).value * 2000 == pytest.approx((rate * u.ABmag).to(u.Jy).value, rel=1e-9)
    assert whole.cards == "PHOTFLAM and PHOTPLAM, over EXPTIME 2000 s"
    assert found({**HST, "BUNIT": "COUNTS"}) is None


@pytest.mark.parametrize("flux", [63095734448.0194, 1e9, 3.7e12])
def test_flux_of_magnitude_zero(flux: float):
    one = found({"FLUXMAG0": flux})
    # 1 count is 1/FLUXMAG0 of 3631 Jy; magnitudes are exact to rounding
    assert one.mag == pytest.approx((3631 / flux * u.Jy).to(u.ABmag).value, abs=1e-4)  # AB is 3630.78 Jy
    assert one.cards == "2.5 log10 FLUXMAG0"


@pytest.mark.parametrize("card", ["MAGZERO", "MAGZEROP", "MAGZPT", "MAGZP", "ZP", "IMAGEZPT"])
def test_magnitudes_are_taken_as_they_are(card: str):
    assert found({card: 25.3}) == ZeroPoint(25.3, card)


def test_precedence_is_magnitude_flux_sensitivity_and_own_before_primary():
    every = {"MAGZERO": 24.0, "FLUXMAG0": 1e10, **HST}
    assert found(every).cards == "MAGZERO"
    assert found({"FLUXMAG0": 1e10, **HST}).cards == "2.5 log10 FLUXMAG0"
    assert found(HST, {"MAGZERO": 24.0, "FLUXMAG0": 1e10}).cards == "PHOTFLAM and PHOTPLAM"
    assert found({}, {"FLUXMAG0": 1e10}) == ZeroPoint(25.0, "2.5 log10 FLUXMAG0 of the primary header")
    assert found({}, {"MAGZERO": 24.0}) is None  # it may be that of another band
    assert found({"INHERIT": True}, {"MAGZERO": 24.0}).mag == 24.0
    assert found({}, {}) is None


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"FLUXMAG0": 0.0}, "FLUXMAG0 is 0, no zero point"),
        ({"FLUXMAG0": -3.0}, "FLUXMAG0 is -3, no zero point"),
        ({"FLUXMAG0": "n/a"}, "FLUXMAG0 is 'n/a', not a number"),
        ({"FLUXMAG0": 1e300}, "FLUXMAG0 is 1e.300, no zero point"),
        ({**HST, "PHOTFLAM": -1.0}, "PHOTFLAM is -1, no zero point"),
        ({**HST, "PHOTFLAM": 1e-200}, "PHOTFLAM is 1e-200, no zero point"),
        ({"MAGZPT": 1000.0}, "MAGZPT is 1000, no zero point"),
    ],
)
def test_what_gives_no_zero_point_is_refused_by_its_card(cards: dict, words: str):
    with pytest.raises(DataError, match=rf"a\.fits: band g: header card {words}.*or give --zero-point"):
        found(cards)


def test_no_calibration_is_no_zero_point():
    assert found({**HST, "PHOTFLAM": 0.0}) is None  # as archives write it for grisms
    assert found({"PHOTFLAM": 7e-20}) is None


def test_the_set_says_which_card_it_came_from(tmp_path: Path):
    rng = np.random.default_rng(1)
    for name, flux in (("a", 1e10), ("b", 1e11)):
        image = fits.ImageHDU(rng.normal(size=(20, 20)).astype(np.float32))
        primary = fits.PrimaryHDU()
        primary.header["FLUXMAG0"] = flux
        fits.HDUList([primary, image]).writeto(tmp_path / f"{name}.fits")

    def made(out: str, **told: float) -> LensSet:
        policy = PixelPolicy(given_scale={"*": 0.168}, given_zero_point=told)
        return ingest(plan_fits(tmp_path, [parse_band("g=*.fits[1]")], policy=policy), tmp_path / out)

    found = made("set")
    assert found.header.source.zero_point_cards == {"g": "2.5 log10 FLUXMAG0 of the primary header"}
    assert found.pixel_units == {"g": "unit of the files at 25 mag"}
    assert any("25 mag (AB), from header card 2.5 log10 FLUXMAG0" in note for note in found.header.source.notes)
    assert found.column("zero_point_mag_g").tolist() == [25.0, 27.5]
    with fits.open(tmp_path / "b.fits") as second:  # 2.5 mag deeper: a tenth of its counts at the set's zero point
        np.testing.assert_allclose(found.images("g", [1])[0], second[1].data / 10, rtol=1e-6)  # float32
    told = made("told", g=30.0)
    assert told.pixel_units == {"g": "unit of the files at 30 mag"}
    assert not told.header.source.zero_point_cards


def test_the_same_files_with_other_rows_are_another_set(tmp_path: Path):
    image = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    fits.PrimaryHDU(image).writeto(tmp_path / "a.fits")
    plan = plan_fits(tmp_path, [parse_band("g=*.fits")], policy=PixelPolicy(given_scale={"*": 0.2}))
    other = replace(plan, systems=tuple(replace(one, row={**one.row, "label": 1}) for one in plan.systems))
    ingest(plan, tmp_path / "set")
    with pytest.raises(UsageError, match="holds another lens set"):
        ingest(other, tmp_path / "set")
