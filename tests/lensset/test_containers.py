"""Cutouts in place: every container gives the arrays, ids, labels and scores of the lens set of the same images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from container_files import EXACT, SCALE, Sample, as_bytes, pictures
from lens_sets import write_set

from lensaudit.lensset import CatalogueColumn, LensSet, open_cutouts
from lensaudit.lensset.containers import Container, fits_files
from lensaudit.lensset.containers.adapter import FlatArray
from lensaudit.lensset.part import Part

COLUMNS = (
    CatalogueColumn(name="label", unit="", description="", dtype="int8"),
    CatalogueColumn(name="ra", unit="deg", description="", dtype="float64"),
)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample.drawn()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, sample: Sample) -> dict[str, Path]:
    """Container → its declaration."""
    made = {}
    for name, write in EXACT.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = write(folder, sample)
    return made


@pytest.fixture(scope="module")
def lens_set(tmp_path_factory: pytest.TempPathFactory, sample: Sample) -> LensSet:
    folder = tmp_path_factory.mktemp("set") / "set"
    table = {"label": sample.labels, "ra": sample.ra}
    scales = dict.fromkeys(sample.images, SCALE)
    return write_set(folder, sample.images, scales, table, columns=COLUMNS, zero_point_mag=25.0)


@pytest.mark.parametrize("name", EXACT)
def test_a_container_has_the_images_of_the_set(name: str, places: dict[str, Path], sample: Sample, lens_set: LensSet):
    opened = open_cutouts(places[name])
    order = [opened.ids.index(one) for one in sample.ids]  # files in folders come in the order of their names
    assert sorted(opened.ids) == sorted(sample.ids)
    assert opened.labels[order].tolist() == sample.labels
    assert (opened.bands, opened.instrument, len(opened)) == (lens_set.bands, "euclid", len(lens_set))
    assert dict(opened.shape) == lens_set.shape
    assert dict(opened.pixel_scale_arcsec) == lens_set.pixel_scale_arcsec
    assert dict(opened.pixel_units) == lens_set.pixel_units
    for band, images in sample.images.items():
        found = opened.images(band, order)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(opened.images(band, slice(2, 9, 3)), opened.images(band, [2, 5, 8]))
        np.testing.assert_array_equal(opened.images(band, [-1, 0, 0, 5]), opened.images(band, [10, 0, 0, 5]))
    if "ra" in opened.columns:
        assert opened.column("ra")[order].tolist() == sample.ra
        assert opened.units["ra"] == "deg"


@pytest.mark.parametrize("kind", ["fits-cube", "fits-table"])
def test_whole_numbers_that_fits_scales_are_what_astropy_reads(kind: str, tmp_path: Path):
    """Unsigned numbers are stored with a zero of 32768, others with a scale too; 8 rows of 6 pixels are 3″ wide."""
    pixels = np.random.default_rng(3).integers(0, 60_000, (5, 8, 6)).astype(np.uint16)
    if kind == "fits-cube":
        made: fits.ImageHDU | fits.BinTableHDU = fits.ImageHDU(pixels, name="VIS")
    else:
        column = fits.Column(name="VIS", format="48I", dim="(6,8)", array=pixels, bzero=32768)
        made = fits.BinTableHDU.from_columns([column])
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(tmp_path / "c.fits")
    words = f"data: c.fits\nformat: {kind}\nimages: VIS\nbands: [VIS]\nfield_of_view_arcsec: 3\n"
    (tmp_path / "c.yaml").write_text(words)
    opened = open_cutouts(tmp_path / "c.yaml")
    np.testing.assert_array_equal(opened.images("VIS", slice(None)), pixels.astype(np.float32))
    assert dict(opened.shape) == {"VIS": (8, 6)}
    assert dict(opened.pixel_scale_arcsec) == {"VIS": 0.5}


def test_transparency_of_a_picture_is_left_out_and_a_palette_is_its_colours(tmp_path: Path):
    from PIL import Image

    levels = np.random.default_rng(2).integers(0, 255, (12, 12, 4)).astype(np.uint8)
    (tmp_path / "p").mkdir()
    Image.fromarray(levels).save(tmp_path / "p" / "a.png")
    paletted = Image.fromarray(levels[..., :3] // 128 * 255).quantize(8)
    paletted.save(tmp_path / "p" / "b.png")
    (tmp_path / "c.yaml").write_text("data: p\nformat: pictures\nbands: [R, G, B]\npixel_scale_arcsec: 1\n")
    opened = open_cutouts(tmp_path / "c.yaml")
    for place, band in enumerate("RGB"):
        wanted = np.stack([levels[..., place], np.asarray(paletted.convert("RGB"))[..., place]])
        np.testing.assert_array_equal(opened.images(band, slice(None)), wanted.astype(np.float32))


def test_a_label_that_is_no_number_is_unknown_and_spans_may_run_backwards(tmp_path: Path):
    np.save(tmp_path / "c.npy", np.ones((4, 5, 5), np.float32))
    np.save(tmp_path / "y.npy", np.array([1.0, np.nan, 0.0, -1.0]))
    words = "data: c.npy\nbands: [VIS]\nlabels: y.npy\npixel_scale_arcsec: 1\n"
    (tmp_path / "c.yaml").write_text(words)
    opened = open_cutouts(tmp_path / "c.yaml")
    assert opened.labels.tolist() == [1, -1, 0, -1]
    assert opened.labels_in(slice(None, None, -1)).tolist() == [-1, 0, -1, 1]
    assert opened.ids_in(slice(2, 0, -1)) == opened.ids[2:0:-1]


@pytest.mark.parametrize("name", EXACT)
def test_spans_are_parts_of_all(name: str, places: dict[str, Path]):
    opened = open_cutouts(places[name])
    assert opened.ids_in(slice(3, 7)) == opened.ids[3:7]
    assert opened.labels_in(slice(3, 7)).tolist() == opened.labels[3:7].tolist()
    assert opened.ids_in(slice(4, 4)) == []
    assert opened.images(opened.bands[0], slice(4, 4)).shape == (0, 12, 12)
    batches = list(opened.batches(4))
    assert [span.stop for span, _ in batches] == [4, 8, 11]
    np.testing.assert_array_equal(np.concatenate([block["H"] for _, block in batches]), opened.images("H", slice(None)))
    part = Part(opened, np.array([5, 1]))
    assert part.ids == [opened.ids[5], opened.ids[1]]
    np.testing.assert_array_equal(part.images("VIS", 0), opened.images("VIS", 5))


@pytest.mark.parametrize("name", EXACT)
def test_a_container_is_named_by_its_content(name: str, places: dict[str, Path]):
    opened = open_cutouts(places[name])
    assert isinstance(opened, Container)
    assert opened.hashed_whole
    again = pickle.loads(pickle.dumps(opened))
    assert again.content_hash == opened.content_hash == open_cutouts(places[name]).content_hash
    assert len(opened.content_hash) == 64


@pytest.mark.parametrize("end", ["png", "jpg"])
def test_pictures_are_what_they_show(end: str, tmp_path: Path):
    sample = Sample.drawn(side=16, bands=("R", "G", "B"))
    opened = open_cutouts(pictures(tmp_path, sample, end))
    order = [opened.ids.index(f"{folder}/{one}") for one, folder in zip(sample.ids, _folders(sample), strict=True)]
    assert opened.labels[order].tolist() == sample.labels
    off = [
        np.abs(opened.images(band, order) - as_bytes(sample)[..., place].astype(np.float32))
        for place, band in enumerate(opened.bands)
    ]
    # 8-bit rounding is the writer's; JPEG of pure noise, the worst there is, moves a value by up to 100 of 255
    assert np.max(off) == 0 if end == "png" else np.mean(off) < 25


def _folders(sample: Sample) -> list[str]:
    return [{1: "lens", 0: "non-lens", -1: "unknown"}[label] for label in sample.labels]


def test_values_of_a_fits_table_are_read_some_rows_at_a_time(
    places: dict[str, Path], sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    read = FlatArray.read
    longest: list[int] = []
    monkeypatch.setattr(fits_files, "_READ_BYTES", 3000)  # two rows of 2 × 12 × 12 float32
    monkeypatch.setattr(FlatArray, "read", lambda self, rows: longest.append(len(rows)) or read(self, rows))
    opened = open_cutouts(places["fits_table"])
    assert opened.ids == sample.ids
    assert opened.labels.tolist() == sample.labels
    assert max(longest) == 2
