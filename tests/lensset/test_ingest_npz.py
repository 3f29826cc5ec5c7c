"""Cutouts in numpy's .npz files: what is found in them, what is refused, and that nothing is unpickled."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.lensset import LensSet
from lensaudit.lensset.ingest import PixelPolicy, ingest, plan_npz

from fits_files import noise, star  # isort: skip - beside this file

TOLD = PixelPolicy(given_scale={"*": 0.168}, given_zero_point={"*": 27.0})
N, BANDS = 3, ("g", "r")


def arrays(n: int = N, seed: int = 1) -> dict[str, np.ndarray]:
    images = np.stack([[noise(seed + 10 * i + b, (10, 12)) for b in range(2)] for i in range(n)])
    psfs = np.stack([[star(7, sigma=1 + 0.1 * b) for b in range(2)] for _ in range(n)])
    return {
        "images": images,
        "variance": np.abs(images) + 1,
        "psfs": psfs,
        "filters": np.array(BANDS),
        "ids": np.array([f"s{seed}-{i}" for i in range(n)]),
    }


def written(
    path: Path, changes: dict[str, np.ndarray | None] | None = None, *, seed: int = 1, packed: bool = False
) -> Path:
    given = {name: one for name, one in (arrays(seed=seed) | (changes or {})).items() if one is not None}
    (np.savez_compressed if packed else np.savez)(path, **given)
    return path


def taken(*paths: Path, out: str = "out", skip_bad: bool = False, policy: PixelPolicy = TOLD, **options) -> LensSet:
    return ingest(plan_npz(paths, policy=policy, **options), paths[0].parent / out, skip_bad=skip_bad)


@pytest.mark.parametrize("packed", [False, True])
def test_what_a_file_holds_is_what_the_set_holds(tmp_path: Path, packed: bool):
    given = arrays()
    found = taken(written(tmp_path / "a.npz", packed=packed))
    assert (found.ids, found.bands) == (["s1-0", "s1-1", "s1-2"], BANDS)
    for b, band in enumerate(BANDS):
        np.testing.assert_array_equal(found.images(band, slice(None)), given["images"][:, b])
        np.testing.assert_array_equal(
            found.rms(band, slice(None)), np.sqrt(given["variance"][:, b].astype(float)).astype("f4")
        )
        np.testing.assert_allclose(found.psf(band, slice(None)), given["psfs"][:, b], rtol=1e-6)  # normalised again
    assert found.header.bands[0].zero_point_mag == 27
    found.verify()


def test_one_system_and_what_is_of_the_whole_file(tmp_path: Path):
    given = arrays()
    one = {"images": given["images"][0], "variance": given["variance"][0], "psfs": given["psfs"][0], "ids": None}
    found = taken(written(tmp_path / "single.npz", one))
    assert (found.ids, found.header.bands[0].psf.per_cutout) == (["single"], True)
    shared = {"variance": given["variance"][0], "psfs": given["psfs"][0, 0], "ids": None}
    found = taken(written(tmp_path / "many.npz", shared), out="many")
    assert found.ids == ["many-000000", "many-000001", "many-000002"]
    assert found.rms("r", [0, 2]).strides[0] == 0
    np.testing.assert_allclose(found.psf("r", 1)[0], given["psfs"][0, 0], rtol=1e-6)  # normalised again


def test_several_files_are_one_set(tmp_path: Path):
    first, second = written(tmp_path / "a.npz"), written(tmp_path / "b.npz", seed=5)
    found = taken(tmp_path)
    assert found.ids == ["s1-0", "s1-1", "s1-2", "s5-0", "s5-1", "s5-2"]
    np.testing.assert_array_equal(found.images("r", 4)[0], arrays(seed=5)["images"][1, 1])
    with pytest.raises(DataError, match="id s1-0 is there twice"):
        taken(first, first, out="twice")
    written(second, {"variance": None}, seed=5)
    with pytest.raises(DataError, match=r"b\.npz: holds images, psfs.*into sets of their own"):
        taken(first, second, out="other")


def test_labels_and_columns(tmp_path: Path):
    more = {"labels": np.array([1, 0, -1]), "z": np.array([0.1, 0.2, np.nan]), "survey": np.array(["a", "bb", "c"])}
    found = taken(written(tmp_path / "a.npz", more | {"table": np.zeros((5, 2))}))
    assert found.labels.tolist() == [1, 0, -1]
    np.testing.assert_array_equal(found.column("z"), more["z"])
    assert found.column("survey").tolist() == ["a", "bb", "c"]
    assert any(note.startswith("table is left out") for note in found.header.source.notes)


def test_masks(tmp_path: Path):
    bad = np.zeros((N, 2, 10, 12), bool)
    bad[1, 0, 4, 5] = True
    keep = {"given_scale": {"*": 0.168}, "masked": "keep"}
    found = taken(written(tmp_path / "a.npz", {"mask": bad}), policy=PixelPolicy(**keep))
    assert found.column("n_masked_g").tolist() == [0, 1, 0]
    assert np.isnan(found.images("g", 1)[0, 4, 5])
    assert np.isinf(found.rms("g", 1)[0, 4, 5])
    bits = np.where(bad, 1 << 8, 32).astype(np.int32)
    path = written(tmp_path / "b.npz", {"mask": bits})
    assert any("--mask-bits" in note for note in taken(path, out="unused").header.source.notes)
    found = taken(path, out="bits", policy=PixelPolicy(**keep, bad_bits=(0, 8)))
    assert found.column("n_masked_g").tolist() == [0, 1, 0]


def test_bands_without_names(tmp_path: Path):
    path = written(tmp_path / "a.npz", {"filters": None})
    with pytest.raises(UsageError, match="does not name its 2 bands; give their names in order"):
        taken(path)
    assert taken(path, bands=["i", "z"]).bands == ("i", "z")
    assert taken(written(tmp_path / "b.npz"), bands=["r"], out="r").bands == ("r",)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path):
    trap = np.array([Trap(str(tmp_path / "sprung"))], dtype=object)
    with pytest.raises(DataError, match="array images: holds Python objects"):
        taken(written(tmp_path / "a.npz", {"images": trap}))
    note = taken(written(tmp_path / "b.npz", {"extra": trap})).header.source.notes
    assert any(line.startswith("extra is left out") for line in note)
    assert not (tmp_path / "sprung").exists()


BAD = {
    "no images": ({"images": None}, "has no array images or image or cutouts, it has variance"),
    "images of one axis": ({"images": np.zeros(5, np.float32)}, "images have shape"),
    "noise of other pixels": ({"variance": np.ones((N, 2, 9, 12))}, "array variance: has shape"),
    "two noise maps": ({"rms": np.ones((N, 2, 10, 12))}, "has rms and variance, one noise map is needed"),
    "too few ids": ({"ids": np.array(["a"])}, "array ids: has shape"),
    "labels that are none": ({"labels": np.array([1, 2, 3])}, "array labels: must be 3 labels"),
    "words for pixels": ({"images": np.full((N, 2, 10, 12), "x")}, "array images: holds no numbers"),
    "columns first": ({"images": np.asfortranarray(arrays()["images"])}, "is in Fortran order"),
}


@pytest.mark.parametrize("harm", BAD)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, harm: str):
    changes, said = BAD[harm]
    path = written(tmp_path / "a.npz", changes)
    with pytest.raises(DataError, match=said) as caught:
        taken(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_damaged_files_are_one_line(tmp_path: Path):
    path = written(tmp_path / "a.npz", packed=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        taken(path)
    path.write_text("hello")
    with pytest.raises(DataError, match=r"not an \.npz file"):
        taken(path)
    with zipfile.ZipFile(path, "w") as archive:  # a header that promises more than there is
        archive.writestr(
            "images.npy",
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000, 9000), }".ljust(117)
            + b"\n",
        )
    with pytest.raises(DataError, match="has 0 bytes, its shape"):
        taken(path)
    with pytest.raises(UsageError, match="no such file"):
        taken(tmp_path / "none.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \.npz file"):
        taken(tmp_path / "empty")


@pytest.mark.parametrize("packed", [False, True])
def test_edited_bytes_are_refused_in_one_line_or_read(tmp_path: Path, packed: bool):
    whole = written(tmp_path / "a.npz", packed=packed).read_bytes()
    rng = np.random.default_rng(7)
    for place in rng.integers(0, len(whole), 30):
        edited = bytearray(whole)
        edited[place] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{place}.npz"
        path.write_bytes(edited)
        try:
            taken(path, out=f"{place}")
        except LensauditError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right


def test_a_psf_that_is_none_is_skipped(tmp_path: Path):
    psfs = arrays()["psfs"]
    psfs[1, 1] = 0
    path = written(tmp_path / "a.npz", {"psfs": psfs})
    with pytest.raises(DataError, match="array psfs: band r: the PSF's sum is 0"):
        taken(path)
    assert taken(path, out="skipped", skip_bad=True).ids == ["s1-0", "s1-2"]
