"""Containers that are torn, doubled, of another shape or hostile: one line that names file, field and fix."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from container_files import (
    EXACT,
    Sample,
    add,
    as_npy,
    declare,
    fits_folder,
    hdf5,
    huggingface,
    npy,
    npz,
    npz_packed,
    parquet,
    pictures,
    webdataset,
)

from lensaudit.errors import LensauditError
from lensaudit.fits_plain import plain_image
from lensaudit.lensset import open_cutouts
from lensaudit.lensset.containers import content, numpy_files

SAMPLE = Sample.drawn(n=6, side=8)


def refusal(path: Path) -> str:
    """What is said of a container when it is opened and read whole."""
    with pytest.raises(LensauditError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert ";" in line, f"no fix: {line}"
    return line


def read(path: Path) -> None:
    opened = open_cutouts(path)
    assert len(opened.ids) == len(opened.labels) == len(opened)
    for _ in opened.batches(4):
        pass
    for name in opened.columns:
        opened.column(name)


def declared(path: Path, **words: Any) -> Path:
    """The declaration `path` with other words; None takes one out."""
    known = yaml.safe_load(path.read_text()) | words
    path.write_text(yaml.safe_dump({name: value for name, value in known.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"images": "data/missing"}, "data/missing: is not there; correct the name, the file has images"),
        ({"images": "nowhere/images"}, "is not there; correct the name, the file has data, is_lens, name, ra"),
        ({"images": "data"}, "is a group; name a dataset in it: images"),
        ({"labels": "truth"}, "dataset truth: is not there"),
        ({"bands": ["H", "VIS"]}, "the file names its bands VIS, H, c.yaml H, VIS; correct bands"),
        ({"bands": ["VIS", "J", "H"]}, "shape (2, 8, 8), which 3 bands do not fit"),
        ({"bands": ["VIS"], "images": {"VIS": "data/images"}}, "which 1 band do not fit"),
        ({"layout": "NHWC"}, "2 bands and layout NHWC do not fit"),
        ({"ids": "is_lens"}, "id -1 is there twice; give each image an id of its own"),
        ({"labels": "name"}, "image 0: name is 'J000-0'; allowed: 1, true or lens"),
        ({"images": None}, "images is not given; name the dataset"),
        ({"pixel_scale_arcsec": None}, "pixel_scale_arcsec or field_of_view_arcsec: give one of them"),
        ({"pixel_scale_arcsec": {"VIS": 0.1}}, "pixel_scale_arcsec: names VIS, the bands are VIS, H"),
        ({"zero_point_mag": {"J": 24.0}}, "zero_point_mag: J is not one of the bands"),
        ({"bands": ["VIS", "VIS"]}, "bands: one is named twice"),
        ({"columns": {"label": ""}}, "columns: label is there already"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"data": "../c.h5"}, "data: '../c.h5' is not in the YAML's folder or below; move it there"),
        ({"data": "/etc/passwd"}, "'/etc/passwd' is not in the YAML's folder or below"),
        ({"data": "../*.h5"}, "'../*.h5' is no pattern of files below"),
        ({"data": "**/c.h5"}, "is no pattern of files below"),
        ({"data": "d*.h5"}, "no file is called 'd*.h5'"),
        ({"data": "d.h5"}, "'d.h5' is not there; correct the name"),
        ({"catalogue": "../labels.csv"}, "catalogue: '../labels.csv' is not in the YAML's folder"),
        ({"format": "parquet"}, "c.h5: is an HDF5 file"),
        ({"format": "zarr"}, "format: Input should be 'hdf5'"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_told(words: dict[str, Any], told: str, tmp_path: Path):
    assert told in refusal(declared(hdf5(tmp_path, SAMPLE), **words))


def test_an_hdf5_that_points_elsewhere_is_refused(tmp_path: Path):
    import h5py

    path = hdf5(tmp_path, SAMPLE)
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file["outside"] = h5py.ExternalLink("/etc/passwd", "x")
        file["soft"] = h5py.SoftLink("/data/images")
        layout = h5py.VirtualLayout((6, 8, 8), "f4")
        layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (6, 8, 8))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("words", data=["a"] * 6)
        file["short"] = [1, 2]
    for name in ("outside", "soft"):
        assert "is a link, which is not followed" in refusal(declared(path, images=name))
    assert "lies in other files, which are not opened" in refusal(declared(path, images="virtual"))
    assert "images × rows × columns" in refusal(declared(path, images="words"))
    assert "dataset short has 2 rows, data/images has 6" in refusal(
        declared(path, images="data/images", labels="short")
    )


def test_shards_of_other_sizes_are_told(tmp_path: Path):
    for name, side in (("c-0", 6), ("c-1", 7)):
        np.save(tmp_path / f"{name}.npy", np.ones((3, side, side), np.float32))
    (tmp_path / "c.yaml").write_text("data: c-*.npy\nbands: [VIS]\npixel_scale_arcsec: 1\n")
    opened = open_cutouts(tmp_path / "c.yaml")
    assert opened.images("VIS", slice(0, 3)).shape == (3, 6, 6)
    line = refusal(tmp_path / "c.yaml")
    assert "c-1.npy: it has images of shape (7, 7), those of " in line
    assert "c-0.npy have (6, 6); declare them apart" in line


def test_doubled_ids_over_shards_are_told(tmp_path: Path):
    path = webdataset(tmp_path, SAMPLE)
    with tarfile.open(tmp_path / "c-002.tar", "w") as archive:
        for band in SAMPLE.images:
            add(archive, f"{SAMPLE.ids[1]}.{band}.npy", as_npy(SAMPLE.images[band][0]))
        add(archive, f"{SAMPLE.ids[1]}.json", b'{"is_lens": 1, "ra": 2}')
    assert f"id {SAMPLE.ids[1]} is there twice" in refusal(path)


def member(name: str, data: bytes) -> Callable[[tarfile.TarFile], None]:
    return lambda archive: add(archive, name, data)


def link(archive: tarfile.TarFile) -> None:
    info = tarfile.TarInfo("X.VIS.npy")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(info)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (link, "member X.VIS.npy is a link or no file"),
        (member("X.VIS.npy", as_npy(np.zeros((8, 8)))), "member X.H.npy: is missing; write the shard again"),
        (member(f"{SAMPLE.ids[0]}.H.npy", b""), f"member {SAMPLE.ids[0]}.H.npy is there twice"),
        (member("X.VIS.npy", as_npy(np.zeros((9, 8)))), "member X.VIS.npy: has shape (9, 8), the first image (8, 8)"),
        (member("X.VIS.npy", as_npy(np.zeros((8, 8)))[:-9]), "its shape (8, 8) says others"),
        (member("X.VIS.npy", pickled()), "holds Python objects, a pickle, which are not read"),
        (member("X.VIS.npy", b"cos\nsystem\n"), "is a text file; give an array (.npy), or a PNG or JPEG picture"),
        (member("X.VIS.npy", as_npy(np.zeros((8, 8), complex))), "images are real numbers"),
    ],
)  # fmt: skip
def test_a_bad_member_is_told(change: Callable[[tarfile.TarFile], None], told: str, tmp_path: Path):
    path = declared(webdataset(tmp_path, SAMPLE, shards=1), labels=None, columns=None)
    with tarfile.open(tmp_path / "c-000.tar", "a") as archive:
        change(archive)
    assert told in refusal(path)


def test_a_shard_without_a_label_is_told(tmp_path: Path):
    path = webdataset(tmp_path, SAMPLE, shards=1)
    assert "json: has no value truth; write it, or name another" in refusal(declared(path, labels="truth"))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_told(name: str, kept: float, tmp_path: Path):
    path = EXACT[name](tmp_path, SAMPLE)
    data = max((file for file in tmp_path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    whole = data.read_bytes()
    length = len(whole.rstrip(b"\0") if data.suffix == ".tar" else whole)  # a tar ends with zeros
    data.write_bytes(whole[: int(kept * length)])
    line = refusal(path)
    assert data.name in line


@pytest.mark.parametrize("save", [npz, npz_packed])
def test_arrays_of_objects_are_refused(save: Callable[..., Path], tmp_path: Path):
    path = save(tmp_path, SAMPLE)
    np.savez(tmp_path / "c.npz", images=SAMPLE.stack, name=np.array([{}] * 6), is_lens=SAMPLE.labels, ra=SAMPLE.ra)
    assert "holds Python objects" in refusal(path)


def test_arrays_that_do_not_fit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = npy(tmp_path, SAMPLE)
    np.save(tmp_path / "is_lens.npy", np.zeros(5))
    assert "is_lens.npy: has shape (5,), 6 values are needed" in refusal(path)
    np.save(tmp_path / "is_lens.npy", np.zeros(6))
    np.save(tmp_path / "c.npy", np.asfortranarray(SAMPLE.stack))
    assert "it is in Fortran order: save np.ascontiguousarray of it" in refusal(path)
    np.save(tmp_path / "c.npy", SAMPLE.stack[:, :, 0])
    assert "bands VIS, H are declared" in refusal(path)
    packed = npz_packed(tmp_path, SAMPLE)
    monkeypatch.setattr(numpy_files, "LARGEST_BYTES", 100)
    assert "is compressed and unpacks to" in refusal(packed)


def test_bands_first_or_last_must_be_told_where_both_fit(tmp_path: Path):
    np.save(tmp_path / "c.npy", np.random.default_rng(1).normal(size=(5, 2, 7, 2)))
    path = declare(tmp_path / "c.yaml", SAMPLE, data="c.npy")
    assert "bands may come first or last; give layout, NCHW or NHWC" in refusal(path)
    assert open_cutouts(declared(path, layout="NHWC")).shape["VIS"] == (2, 7)


def test_a_catalogue_must_know_every_image(tmp_path: Path):
    path = fits_folder(tmp_path, SAMPLE)
    table = tmp_path / "catalogue.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:-1]))
    assert "has no row for image J" in refusal(path)
    table.write_text("\n".join([*rows, rows[-1]]))
    assert "is there twice; keep one of them" in refusal(path)
    (tmp_path / f"cutouts/{SAMPLE.ids[2]}_cut.fits").unlink()
    assert "c.yaml" in str(path)


def test_a_fits_folder_stays_in_its_folder(tmp_path: Path):
    path = fits_folder(tmp_path, SAMPLE)
    images = {band: f"../cutouts/*_cut.fits[{band}]" for band in SAMPLE.images}
    assert "leaves the folder; move the files" in refusal(declared(path, images=images))
    os.symlink("/etc/passwd", tmp_path / "cutouts/z_cut.fits")
    images = {band: f"*_cut.fits[{band}]" for band in SAMPLE.images}
    assert "a link there points out of" in refusal(declared(path, images=images))


def png(side: int) -> bytes:
    """A PNG of `side`² black pixels in some bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (png(60_000), "unpacks to more pixels than any cutout has"),
        (png(8000), "picture is damaged"),
        (b"GIF89a", "is a GIF picture"),
        (b"", "is empty (0 bytes)"),
    ],
    ids=["bomb", "torn", "gif", "empty"],
)  # fmt: skip
def test_a_bad_picture_is_told(data: bytes, told: str, tmp_path: Path):
    path = pictures(tmp_path, Sample.drawn(n=3, side=8, bands=("R", "G", "B")))
    (tmp_path / "pictures/lens/zzz.png").write_bytes(data)
    assert told in refusal(path)


def test_folders_that_are_no_labels_are_told(tmp_path: Path):
    path = pictures(tmp_path, Sample.drawn(n=3, side=8, bands=("R", "G", "B")))
    (tmp_path / "pictures/lens").rename(tmp_path / "pictures/arcs")
    assert "folder is 'arcs'; allowed" in refusal(path)


def test_lists_need_a_shape(tmp_path: Path):
    path = parquet(tmp_path, SAMPLE)
    assert "say in shape how they lie" in refusal(declared(path, shape=None))
    assert "holds lists of 64 numbers, shape [8, 9] has 72" in refusal(declared(path, shape=[8, 9]))
    assert "has no column stamp; correct the name, it has H, VIS" in refusal(
        declared(path, images={"VIS": "stamp", "H": "H"})
    )


def test_data_sets_of_other_forms_are_told(tmp_path: Path):
    path = huggingface(tmp_path, SAMPLE)
    state = tmp_path / "c/state.json"
    known = state.read_text()
    state.write_text(json.dumps({"_data_files": [{"filename": "../../etc/passwd"}]}))
    assert "_data_files names a file outside the folder" in refusal(path)
    state.write_text(json.dumps({"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}))
    assert "save flatten_indices() of it" in refusal(path)
    state.write_text(known)
    (tmp_path / "c/dataset_dict.json").write_text('{"splits": ["train"]}')
    assert "holds several data sets" in refusal(path)


def test_what_has_no_declaration_is_told(tmp_path: Path):
    hdf5(tmp_path, SAMPLE).unlink()
    assert "c.h5: has no declaration beside it; write c.yaml" in refusal(tmp_path / "c.h5")
    assert re.search(r"no lensset.json in it, .* or write cutouts.yaml in it, which says where", refusal(tmp_path))
    assert "no such lens set" in refusal(tmp_path / "other.yaml")


def test_large_containers_are_hashed_by_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = npy(tmp_path, SAMPLE)
    whole = open_cutouts(path).content_hash
    monkeypatch.setattr(content, "WHOLE_BYTES", 100)
    monkeypatch.setattr(content, "SAMPLED_BYTES", 64)
    sampled = open_cutouts(path).content_hash
    assert (len(whole), len(sampled), sampled[:8]) == (64, 64, "sampled:")
    np.save(tmp_path / "c.npy", SAMPLE.stack + 1)
    assert open_cutouts(path).content_hash != sampled


@pytest.mark.parametrize("kind", ["i2", "u2", "f4", "f8", "u1", "i4"])
def test_a_plain_fits_image_is_astropys(kind: str, tmp_path: Path):
    """With unsigned numbers, which FITS scales, left to astropy."""
    from astropy.io import fits

    pixels = np.random.default_rng(2).integers(0, 200, (5, 7)).astype(kind)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name="A"), fits.CompImageHDU(pixels, name="B")]
    fits.HDUList(hdus).writeto(tmp_path / "c.fits")
    found = plain_image(tmp_path / "c.fits", "a")
    assert (found is None) == (kind == "u2")
    if found is not None:
        np.testing.assert_array_equal(found, pixels)
    assert plain_image(tmp_path / "c.fits", 2) is None


def test_a_link_to_itself_is_told(tmp_path: Path):
    path = npy(tmp_path, SAMPLE)
    (tmp_path / "c.npy").unlink()
    os.symlink("c.npy", tmp_path / "c.npy")
    assert "c.npy" in refusal(path)


@pytest.mark.parametrize("card", [b"TFORM4  = '64E ", b"TTYPE1  = 'name"])
def test_torn_cards_of_a_table_are_told(card: bytes, tmp_path: Path):
    path = EXACT["fits_table"](tmp_path, SAMPLE)
    whole = (tmp_path / "c.fits").read_bytes()
    assert card in whole
    (tmp_path / "c.fits").write_bytes(whole.replace(card, card[:8] + b"=\x01\xff" + card[11:]))
    refusal(path)


def test_a_shard_cut_off_between_members_is_told(tmp_path: Path):
    path = webdataset(tmp_path, SAMPLE, shards=1)
    with tarfile.open(tmp_path / "c-000.tar") as archive:
        last = archive.getmembers()[5]  # the last of the second system
    with open(tmp_path / "c-000.tar", "r+b") as stream:
        stream.truncate(last.offset_data + 512)
    assert "has no end mark after its last member" in refusal(path)


def test_partitions_come_in_the_order_of_their_numbers(tmp_path: Path):
    assert open_cutouts(EXACT["hats"](tmp_path, Sample.drawn())).ids == Sample.drawn().ids
