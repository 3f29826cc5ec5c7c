"""What a set keeps beside its images: point-spread functions and noise maps, of each cutout or one for all."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import fake_sky
import numpy as np
import pytest
from lens_sets import write_set
from pydantic import ValidationError

from lensaudit.errors import DataError
from lensaudit.lensset import BandHeader, LensSet, LensSetWriter
from lensaudit.lensset.check import check_set
from lensaudit.lensset.header import PsfHeader, RmsHeader
from lensaudit.lensset.part import Part
from lensaudit.lensset.simulation import write_chunks

N = 20  # three chunks of eight


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> LensSet:
    out = tmp_path_factory.mktemp("sets") / "set"
    return write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))


@pytest.mark.parametrize("kind", ["psf", "rms"])
def test_each_cutout_has_its_own_or_one_does_for_all(whole: LensSet, kind: str):
    read = getattr(whole, kind)
    own = read("VIS", [11, 2, 2])
    assert np.array_equal(own, fake_sky.survey(kind, "VIS", range(N))[[11, 2, 2]])
    one = read("H", slice(None))
    assert len(one) == N
    assert np.array_equal(one[[0, 9, 19]], np.repeat(fake_sky.survey(kind, "H", range(N)), 3, axis=0))
    assert one.strides[0] == 0  # stored once, handed out broadcast
    assert read("H", 3).shape == (1, *one.shape[1:])


def test_a_part_has_those_of_its_systems(whole: LensSet):
    part = Part(whole, np.array([17, 3]))
    assert np.array_equal(part.psf("VIS", slice(None)), whole.psf("VIS", [17, 3]))
    assert np.array_equal(part.rms("VIS", 1), whole.rms("VIS", 3))
    assert part.rms("H", slice(None)).shape == (2, 7, 7)


def test_a_band_without_says_how_to_have_it(tmp_path: Path):
    made = write_set(tmp_path / "set", {"VIS": np.ones((2, 4, 4), np.float32)}, {"VIS": 0.1})
    assert not made.has_psf("VIS")
    assert not made.has_rms("VIS")
    with pytest.raises(DataError, match="band VIS has no PSF; ingest it with --psf VIS=PATTERN"):
        made.psf("VIS", 0)
    with pytest.raises(DataError, match="--rms VIS=PATTERN"):
        made.rms("VIS", 0)


def test_the_check_reads_them(whole: LensSet, tmp_path: Path):
    whole.verify()
    for array in ("psf/VIS/c/1/0/0", "psf/H/c/0/0/0", "rms/VIS/c/2/0/0"):
        harmed = tmp_path / array.replace("/", "-")
        shutil.copytree(whole.path, harmed)
        file = harmed / array
        file.write_bytes(b"\1" + file.read_bytes()[1:])
        with pytest.raises(DataError, match="corrupt"):
            LensSet.open(harmed).verify()


def test_the_check_names_their_bands(tmp_path: Path):
    header = fake_sky.header(N, has_scenes=False)
    write_chunks(WithoutScenes(tmp_path / "set", header))
    found = check_set(tmp_path / "set")
    assert (found.psf, found.rms) == (("VIS", "H"), ("VIS", "H"))


class WithoutScenes(fake_sky.FakeTask):
    def __call__(self, chunk: int) -> int:
        span = self.header.span(chunk)
        records = replace(fake_sky.records(1, span), scenes=None)
        LensSetWriter(self.root, self.header).write(chunk, records)
        return span.stop - span.start


def test_those_of_another_set_are_refused(whole: LensSet, tmp_path: Path):
    harmed = tmp_path / "set"
    shutil.copytree(whole.path, harmed)
    shutil.copy(harmed / "rms/VIS/c/1/0/0", harmed / "rms/VIS/c/0/0/0")
    with pytest.raises(DataError, match="other pixels"):
        LensSet.open(harmed).rms("VIS", 0)


def test_a_set_without_them_is_written_and_named_as_before(tmp_path: Path):
    """Both digests were computed by the version before there were any."""
    pixels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    made = write_set(tmp_path / "set", {"VIS": pixels}, {"VIS": 0.1}, zero_point_mag=24.6)
    assert made.content_hash == "40d214b5d0866cb0822d74c763d64d959db7aa749b789bfc5d19499f28ade5d7"
    text = (tmp_path / "set" / "lensset.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "ea81ef6012190f9b5d1edead637b11bd8d2c82ec46b9b35bfd6a93e39fc2b50f"
    assert "psf" not in json.loads(text)["bands"][0]


def test_a_band_keeps_what_it_knows():
    band = BandHeader(name="g", shape=(4, 4), pixel_scale_arcsec=0.2, unit="ADU")
    known = band.model_copy(
        update={"psf": PsfHeader(side=5, per_cutout=False), "rms": RmsHeader(per_cutout=True), "filter": "hsc2017-g"}
    )
    assert BandHeader(**known.model_dump(mode="json")) == known
    assert "electrons_per_unit" not in known.model_dump(mode="json")
    with pytest.raises(ValidationError, match="odd"):
        PsfHeader(side=20, per_cutout=True)


def test_a_set_shows_which_bands_have_them(whole: LensSet, tmp_path: Path):
    assert "VIS, H" in whole._repr_html_()
    made = write_set(tmp_path / "set", {"VIS": np.ones((2, 4, 4), np.float32)}, {"VIS": 0.1})
    assert "none" in made._repr_html_()
