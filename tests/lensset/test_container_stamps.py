"""Point-spread functions and noise beside cutouts: as in the set that ingest makes, refused where they are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits
from container_files import (
    Sample,
    fits_cube,
    fits_folder,
    fits_listed,
    fits_table,
    hdf5,
    hdf5_apart,
    npy_apart,
    parquet,
    webdataset,
)

import lensaudit as la
from lensaudit.errors import LensauditError
from lensaudit.injection.sets import SetHosts
from lensaudit.lensset import open_cutouts
from lensaudit.lensset.containers import ContainerFile

N, SIDE = 9, 12
OF_EACH_BAND = (hdf5_apart, npy_apart, fits_folder, fits_listed, fits_table, fits_cube, webdataset, parquet)
WRITERS = {one.__name__: one for one in OF_EACH_BAND}


def gaussian(side: int, width: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.exp(-(x**2 + y**2) / 2 / width**2).astype(np.float32)


@pytest.fixture(scope="module")
def sample() -> Sample:
    """With a PSF and a noise map of each image as two bands more; some pixels have no weight."""
    drawn = Sample.drawn(n=N, side=SIDE)
    psf = np.stack([gaussian(7, 1 + i / 10) / gaussian(7, 1 + i / 10).sum() for i in range(N)])
    rms = np.full((N, SIDE, SIDE), 0.5, np.float32) + np.arange(N, dtype=np.float32)[:, None, None]
    rms[2, 0, 0] = 0
    drawn.images["VIS"][4, 3, 3] = np.nan  # type: ignore[index]
    return replace(drawn, images=dict(drawn.images) | {"psf": psf, "rms": rms})


def declared(path: Path, **words: Any) -> Path:
    """The declaration whose last bands are the stamps of VIS, with other words; None takes one out."""
    known = yaml.safe_load(path.read_text())
    if isinstance(known.get("images"), dict) and "psf" in known["images"]:
        beside = {name: {"VIS": known["images"].pop(name)} for name in ("psf", "rms")}
        known |= beside | {"bands": ["VIS", "H"]}
    path.write_text(yaml.safe_dump({name: value for name, value in (known | words).items() if value is not None}))
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_each_image_has_its_own(name: str, sample: Sample, tmp_path: Path):
    opened = open_cutouts(declared(WRITERS[name](tmp_path, sample)))
    order = [opened.ids.index(one) for one in sample.ids]
    assert [(opened.has_psf(band), opened.has_rms(band)) for band in ("VIS", "H")] == [(True, True), (False, False)]
    np.testing.assert_allclose(opened.psf("VIS", order), sample.images["psf"], rtol=1e-6)  # its sum is 1 again
    wanted = sample.images["rms"].copy()
    wanted[2, 0, 0] = wanted[4, 3, 3] = np.inf
    np.testing.assert_array_equal(opened.rms("VIS", order), wanted)
    part = open_cutouts(tmp_path / opened.path.name).psf("VIS", [order[3], order[1]])
    np.testing.assert_array_equal(part, opened.psf("VIS", order)[[3, 1]])


def test_the_middle_alone_is_taken(sample: Sample, tmp_path: Path):
    whole = open_cutouts(declared(hdf5_apart(tmp_path, sample)))
    middle = open_cutouts(declared(tmp_path / "c.yaml", size_pixels={"VIS": 7}))
    assert (middle.shape["VIS"], middle.shape["H"]) == ((7, 7), (12, 12))
    assert middle.pixel_scale_arcsec == whole.pixel_scale_arcsec
    for read in ("images", "rms"):
        found = getattr(middle, read)("VIS", slice(None))
        np.testing.assert_array_equal(found, getattr(whole, read)("VIS", slice(None))[:, 2:9, 2:9])
    assert middle.psf("VIS", 0).shape == (1, 7, 7)
    with pytest.raises(LensauditError, match="band VIS: has 12×12 pixels; correct size_pixels, 13"):
        open_cutouts(declared(tmp_path / "c.yaml", size_pixels=13))


def of_all(folder: Path, sample: Sample, **words: Any) -> Path:
    """HDF5 with one PSF and one variance for all images, in FITS files."""
    psf = fits.ImageHDU(3 * sample.images["psf"][0].astype(">f8"), name="PSF")
    fits.HDUList([fits.PrimaryHDU(), psf]).writeto(folder / "psf.fits")
    fits.writeto(folder / "variance.fits", np.full((SIDE, SIDE), 4.0))
    own = replace(sample, images={band: sample.images[band] for band in ("VIS", "H")})
    return hdf5(folder, own, psf="psf.fits[PSF]", variance={"H": "variance.fits"}, instrument=None, **words)


def test_one_for_all_is_read_from_fits(sample: Sample, tmp_path: Path):
    opened = open_cutouts(of_all(tmp_path, sample))
    assert opened.psf("H", slice(None)).shape == (N, 7, 7)
    np.testing.assert_allclose(opened.psf("VIS", 5)[0], sample.images["psf"][0], rtol=1e-6)  # its sum was 3
    assert (opened.rms("H", [0, 3]) == 2).all()
    assert any("its sum was 3 and is 1 now" in note for note in opened.header.source.notes)
    assert opened.told.model_copy(update={"psf": None}).hashed() != opened.told.hashed()
    np.save(tmp_path / "psf.npy", sample.images["psf"][0])
    again = open_cutouts(declared(tmp_path / "c.yaml", psf={"VIS": "psf.npy"}, bands=list(sample.images)[:2]))
    np.testing.assert_array_equal(again.psf("VIS", 1)[0], opened.psf("VIS", 1)[0])


def test_ingest_keeps_them(sample: Sample, tmp_path: Path):
    (tmp_path / "own").mkdir()
    for path in (of_all(tmp_path, sample), declared(hdf5_apart(tmp_path / "own", sample, instrument=None))):
        opened, made = open_cutouts(path), la.ingest(path, out=path.parent / "set", nan="keep")
        assert made.header.bands == opened.header.bands
        for band in opened.bands:
            for has, read in (("has_psf", "psf"), ("has_rms", "rms")):
                assert getattr(made, has)(band) == getattr(opened, has)(band)
                if getattr(made, has)(band):
                    found = [getattr(one, read)(band, slice(None)) for one in (made, opened)]
                    np.testing.assert_array_equal(*found)
        mine, same = (SetHosts(one)[3] for one in (opened, made))  # what injection takes
        for read in ("images", "psf", "rms"):
            np.testing.assert_equal(dict(getattr(mine, read)), dict(getattr(same, read)))
        assert (mine.zero_point_mag, mine.filters) == (same.zero_point_mag, same.filters)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"psf": "gone.fits"}, "psf: 'gone.fits' is not there; correct the name"),
        ({"psf": "../psf.fits"}, "is not in the YAML's folder or below"),
        ({"psf": {"K": "psf.fits"}}, "psf: K is not one of the bands VIS, H"),
        ({"psf": "psf.fits[9]"}, "psf.fits"),
        ({"psf": "short.npy"}, "short.npy: has 3 rows, 9 images are there; give one for each"),
        ({"psf": {"VIS": "nowhere"}}, "dataset nowhere: is not there"),
        ({"psf": {"VIS": "holes.npy"}}, "image 2: 1 of 49 pixels of the PSF are NaN or infinite; give a whole one"),
        ({"psf": {"VIS": "dark.npy"}}, "image 1: the PSF's sum is 0, it must be positive"),
        ({"psf": {"VIS": "astray.npy"}}, "off the middle of 7; cut it round the star"),
        ({"rms": {"VIS": "psf.npy"}}, "rms of band VIS: has 7×7 pixels, the images have 12×12"),
        ({"rms": "variance.fits"}, "variance and rms"),
        ({"variance": None, "rms": {"VIS": "zero.npy"}}, "image 5: no pixel has a positive, finite value"),
        ({"electrons_per_unit": -1}, "electrons_per_unit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(words: dict[str, Any], told: str, sample: Sample, tmp_path: Path):
    path = of_all(tmp_path, sample)
    psf = sample.images["psf"].copy()
    np.save(tmp_path / "psf.npy", psf)
    np.save(tmp_path / "short.npy", psf[:3])
    zero = np.ones((N, SIDE, SIDE))
    zero[5] = 0
    np.save(tmp_path / "zero.npy", zero)
    for name, place, value in (("holes", (2, 1, 1), np.nan), ("dark", (1,), 0.0), ("astray", (0,), 0.0)):
        wrong = psf.copy()
        wrong[place] = value
        if name == "astray":
            wrong[0, 0, 0] = 1
        np.save(tmp_path / f"{name}.npy", wrong)
    known = yaml.safe_load(path.read_text())
    words = ({"variance": None} if "rms" in words and told != "variance and rms" else {}) | words
    path.write_text(yaml.safe_dump({name: value for name, value in (known | words).items() if value is not None}))
    with pytest.raises(LensauditError) as caught:
        la.ingest(path, out=tmp_path / "set", nan="keep")
    line = str(caught.value)
    assert told in line or sorted(told.split(" and ")) == sorted(line.split(": ")[-2].split(" and ")), line
    assert "\n" not in line


def test_declarations_without_them_keep_their_hash():
    told = ContainerFile.model_validate({"data": "c.h5", "images": "i", "bands": ["g"], "pixel_scale_arcsec": 1})
    assert not {"psf", "rms", "filters"} & told.hashed().keys()
    assert told.hashed()["zero_point_mag"] is None
