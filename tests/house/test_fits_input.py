"""FITS of other hands: every kind of damage ends in one line, soon, and in little memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.fits_input import LARGEST_BYTES, number, open_fits, pixels_of
from lensaudit.lensset.coordinates import header_sky

PIXELS = (np.random.default_rng(0).standard_normal((40, 30)) * 10).astype(np.float32)
TILED = ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1")
VALUES = (
    b"abc",
    b"'abc'",
    b"1E400",
    b"-1",
    b"0",
    b"99999999999",
    b"2147483647",
    b"T",
    b"NaN",
    b"1e300",
    b"\xe9",
    b"\0",
)


def sky() -> fits.Header:
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 10.0, "MAGZERO": 25.0})
    header.update({"CRPIX1": 15.0, "CRPIX2": 20.0, "CD1_1": -1e-4, "CD2_2": 1e-4})
    return header


def stored(*hdus: fits.hdu.base.ExtensionHDU, checksum: bool = False) -> bytes:
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(stream, checksum=checksum)
    return stream.getvalue()


def tiled(kind: str, *, checksum: bool = False, **options: object) -> bytes:
    return stored(fits.CompImageHDU(PIXELS, sky(), compression_type=kind, **options), checksum=checksum)


PLAIN = stored(fits.ImageHDU(PIXELS, sky()), fits.ImageHDU((PIXELS * 10).astype(np.int16), sky()))
SOUND = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    **{kind: tiled(kind) for kind in TILED},
}


def read(path: Path) -> list[np.ndarray]:
    """Every image of a file, with its coordinates and zero point looked at."""
    with open_fits(path) as hdus:
        images = []
        for place, hdu in enumerate(hdus[1:], 1):
            images.append(pixels_of(hdu, f"{path}: extension {place}"))
            header_sky(hdu.header, hdus)
            number(hdu.header, "MAGZERO", f"{path}")
        return images


def harmed(data: bytes, rng: np.random.Generator, kind: str) -> bytes:
    """`data` with bytes changed, cut off, taken out, or one header card given another value."""
    changed = bytearray(data)
    if kind == "bytes":
        for _ in range(rng.integers(1, 8)):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    elif kind == "cut":
        del changed[int(rng.integers(len(changed))) :]
    elif kind == "taken out":
        begin = int(rng.integers(len(changed)))
        del changed[begin : begin + int(rng.integers(1, 200))]
    else:
        cards = [at for at in range(0, len(changed), 80) if changed[at + 8 : at + 10] == b"= "] or [0]
        at = cards[int(rng.integers(len(cards)))]
        changed[at + 10 : at + 80] = VALUES[int(rng.integers(len(VALUES)))].rjust(20).ljust(70)
    return bytes(changed)


@pytest.mark.parametrize("form", SOUND)
def test_every_form_is_read(tmp_path, form):
    path = tmp_path / "a.fits"
    path.write_bytes(SOUND[form])
    image = read(path)[0]
    # tiles of noise are quantised to a 16th of it
    np.testing.assert_allclose(image, PIXELS, atol=10 / 16 if form in TILED else 0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("harm", ["bytes", "cut", "taken out", "card"])
@pytest.mark.parametrize("form", SOUND)
def test_damage_ends_in_one_line_or_in_an_image(tmp_path, form, harm):
    path = tmp_path / "a.fits"
    for seed in range(4):  # 8 forms, 4 harms, 4 seeds: 128 files
        path.write_bytes(harmed(SOUND[form], np.random.default_rng((11, seed)), harm))
        said = refusal(path)
        assert said is None or (said.isprintable() and str(path) in said)


@pytest.mark.parametrize("form", ["plain", "gzip", "RICE_1"])
def test_bytes_lost_or_added_are_told_by_the_length(tmp_path, form):
    """In the middle of the pixels: what follows is shifted, and nothing else tells."""
    data = gzip.decompress(SOUND[form]) if form == "gzip" else SOUND[form]
    middle = len(data) - 2880 + 100
    path = tmp_path / "a.fits"
    for changed in (data[:middle] + data[middle + 7 :], data[:middle] + b"lost" + data[middle:], data + b"\n"):
        path.write_bytes(gzip.compress(changed) if form == "gzip" else changed)
        with pytest.raises(DataError, match=r"a\.fits: .*(bytes are no whole blocks|nothing but zeros)"):
            read(path)


@pytest.mark.parametrize("key", ["EXTNAME", "EXTVER"])
def test_a_torn_name_of_an_extension_is_said_on_opening(tmp_path, key):
    """It was a traceback where extensions are looked for by name."""
    path = tmp_path / "a.fits"
    path.write_bytes(PLAIN.replace(b"MAGZERO =                 25.0", f"{key:8}=                  inf".encode()))
    with pytest.raises(DataError, match=rf"a\.fits: cannot be read as FITS .*{key}"):
        read(path)


def test_the_padding_of_the_last_data_may_be_missing(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(PLAIN[: -(-PIXELS.size * 2 % 2880)])
    np.testing.assert_array_equal(read(path)[1], (PIXELS * 10).astype(np.int16))


@pytest.mark.parametrize(("others", "told"), [(((8, 8),), "name another extension, such as [2]"), ((), "no other")])
def test_an_extension_without_image_is_told_with_those_that_have_one(tmp_path, others, told):
    """As files with an empty first extension are; neither a table nor an image of no rows is one."""
    empty = fits.ImageHDU(np.zeros((0, 8), np.float32))
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.ones(3))])
    images = [fits.ImageHDU(np.ones(shape, np.float32)) for shape in others]
    fits.HDUList([fits.PrimaryHDU(), empty, *images, table]).writeto(tmp_path / "a.fits")
    with open_fits(tmp_path / "a.fits") as hdus:
        for hdu in (hdus[0], hdus[1], hdus[-1]):
            with pytest.raises(DataError, match=rf"^here holds no image.*; {re.escape(told)}"):
                pixels_of(hdu, "here", beside=hdus)


def refusal(path: Path) -> str | None:
    """What is said of a file that is refused; None of one that is read."""
    try:
        read(path)
    except LensauditError as error:
        return str(error)
    return None


def with_card(data: bytes, key: str, value: str) -> bytes:
    at = data.index(f"{key:8}= ".encode(), 2880)  # of the first extension
    return data[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + data[at + 80 :]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("form", "key", "value"),
    [
        ("HCOMPRESS_1", "ZTILE1", "-1"),  # the decoder writes beyond its memory
        ("RICE_1", "ZTILE1", "0"),
        ("RICE_1", "ZVAL1", "0"),
        ("RICE_1", "ZVAL2", "3"),
        ("RICE_1", "ZNAXIS1", "2147483647"),  # 480 GB
        ("RICE_1", "TFIELDS", "2147483647"),  # astropy counts to it
        ("GZIP_2", "NAXIS", "99999999999"),
        ("plain", "NAXIS1", "-30"),
        ("plain", "NAXIS1", "2147483647"),
        ("plain", "GCOUNT", "-1"),  # astropy goes backwards for ever
        ("plain", "BITPIX", "17"),
    ],
)
def test_headers_that_would_hang_or_fill_memory(tmp_path, form, key, value):
    path = tmp_path / "a.fits"
    path.write_bytes(with_card(SOUND[form], key, value))
    tracemalloc.start()
    tiling = "its tiles cannot be as the header says" if key[:2] in ("ZT", "ZV") else ""
    with pytest.raises(DataError, match=rf"a\.fits: .*{tiling}"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("key", ["BSCALE", "BZERO"])
def test_scales_of_pixels_are_numbers(tmp_path, key):
    path = tmp_path / "a.fits"
    path.write_bytes(PLAIN.replace(b"MAGZERO =                 25.0", f"{key:8}= 'abc'".ljust(30).encode()))
    with pytest.raises(DataError, match=rf"header card {key} is 'abc', not a number"):
        read(path)


@pytest.mark.parametrize("kind", TILED)
def test_damaged_tiles_are_told_by_their_checksum(tmp_path, kind):
    data = bytearray(tiled(kind, checksum=True))
    data[-2880 + 5] ^= 1  # a single bit of the compressed pixels
    path = tmp_path / "a.fits"
    path.write_bytes(data)
    with pytest.raises(DataError, match="data differ from their checksum"):
        read(path)
    path.write_bytes(tiled(kind, checksum=True))
    assert len(read(path)) == 1


def test_a_damaged_gzip_is_refused_though_its_first_image_is_whole(tmp_path):
    data = bytearray(SOUND["gzip"])
    data[-6] ^= 1  # of the checksum at its end
    path = tmp_path / "a.fits.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC check failed"):
        read(path)


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 24)
    return b"".join([packer.compress(PLAIN), *(packer.compress(zeros) for _ in range(size >> 24)), packer.flush()])


@pytest.mark.timeout(60)
def test_a_decompression_bomb_is_left_packed(tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.fits_input.LARGEST_BYTES", 1 << 24)
    for name, data in (("a.gz", bomb(1 << 26)), ("a.xz", lzma.compress(PLAIN + bytes(1 << 25), preset=0))):
        (tmp_path / name).write_bytes(data)
        tracemalloc.start()
        with pytest.raises(DataError, match="unpacks to more than 16 MiB, which no cutout needs"):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 4 << 24  # what is unpacked, and what xz hands over as one piece
        tracemalloc.stop()
    assert LARGEST_BYTES == 1 << 29


def test_a_tile_that_is_a_bomb(tmp_path):
    honest = fits.CompImageHDU(PIXELS, compression_type="GZIP_1", quantize_level=0, tile_shape=PIXELS.shape)
    data = stored(honest)
    with fits.open(io.BytesIO(data)) as hdus:
        packed = bomb(1 << 24)
        info = hdus[1].fileinfo()
    begin = data.index(b"\x1f\x8b\x08", info["datLoc"])
    longer = data[:begin] + packed
    longer = with_card(longer, "PCOUNT", str(len(packed)))
    row = info["datLoc"]
    longer = longer[:row] + len(packed).to_bytes(4, "big") + longer[row + 4 :]
    path = tmp_path / "a.fits"
    path.write_bytes(longer + bytes(-len(longer) % 2880))
    with pytest.raises(DataError, match="a tile unpacks to more than its pixels"):
        read(path)


def test_a_hole_of_six_gigabytes_is_not_read(tmp_path):
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 40_000, "NAXIS2": 40_000})
    path = tmp_path / "a.fits"
    path.write_bytes(header.tostring().encode())
    os.truncate(path, 2880 + 40_000**2 * 4)
    with (
        open_fits(path) as hdus,
        pytest.raises(DataError, match=r"40000×40000 pixels \(6.4 GB\) are more than the 512"),
    ):
        pixels_of(hdus[0], f"{path}")
    path.write_bytes(b"SIMPLE  =                    T")
    os.truncate(path, 6 << 30)  # a header without end
    tracemalloc.start()
    with pytest.raises(DataError, match="cannot be read as FITS"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 4e6  # of the 16 MiB that all headers may take
    tracemalloc.stop()


def test_pipes_devices_and_other_kinds(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "page.fits").write_text("<html><body>404</body></html>")
    (tmp_path / "page.fits.gz").write_bytes(gzip.compress(b"<html><body>404</body></html>"))
    for path, said in (
        (tmp_path / "pipe.fits", "is a named pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.fits", "no such file"),
    ):
        with pytest.raises(UsageError, match=said):
            read(path)
    with pytest.raises(DataError, match="is an HTML page, not a FITS file"):
        read(tmp_path / "page.fits")
    with pytest.raises(DataError, match="holds, once unpacked, an HTML page"):
        read(tmp_path / "page.fits.gz")


def test_only_one_module_opens_fits(repository):
    opening = [
        path.name
        for path in (repository / "lensaudit").rglob("*.py")
        if "fits.open(" in path.read_text(encoding="utf-8").replace("`", "")
    ]
    assert opening == ["fits_input.py"]
