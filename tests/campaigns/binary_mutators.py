"""Edits of FITS files, of safetensors and of torch's own files, on the level of their bytes."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from astropy.io import fits
from campaigns.damage import Rng, cut, flip, rewrite
from hostile import EVERY

_CARDS = (
    "NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "BSCALE", "BZERO", "BLANK", "BUNIT", "CDELT1", "CDELT2", "CD1_1", "CD2_2",
    "PC1_1", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "EQUINOX", "RADESYS", "MAGZERO", "MAGZP", "ZEROPOINT",
    "PHOTZP", "EXTNAME", "XTENSION", "PCOUNT", "GCOUNT", "TFIELDS", "ZNAXIS1", "ZCMPTYPE", "ZTILE1", "A_ORDER",
    "PV1_1", "WCSAXES", "NAXIS3", "SIMPLE", "END", "LONPOLE", "OBJECT",
)  # fmt: skip
_VALUES = (
    "'text'", "NaN", "inf", "1e300", "-1e300", "0", "-1", "1", "2", "3.5", "99999999999", "T", "''", "'\x1b[31m'",
    "'$\\frac{'", "1E400", "'../../evil'", "-32", "64", "(1.0, 2.0)",
)  # fmt: skip


def edit_card(path: Path, rng: Rng) -> str:
    """Overwrite, or add, the value of a card in the bytes of a header, as another program might."""
    data = bytearray(_plain(path))
    headers = [
        found.start() for found in re.finditer(rb"(?:SIMPLE  =|XTENSION=)", bytes(data)) if found.start() % 80 == 0
    ]
    key = str(rng.choice(_CARDS))
    value = _VALUES[int(rng.integers(len(_VALUES)))]
    card = f"{key:<8}= {value:>20}".ljust(80)[:80].encode("latin-1")
    first = headers[int(rng.integers(len(headers)))] if headers else 0
    place = next((i for i in range(first, len(data), 80) if data[i : i + 8].decode("latin-1").strip() == key), None)
    if place is None:
        place = next((i for i in range(first + 400, len(data), 80) if data[i : i + 8].strip() in (b"END", b"")), first)
        data[place + 80 : place + 80] = b""
        data[place : place + 160] = card + b"END".ljust(80) if data[place : place + 3] == b"END" else card
    else:
        data[place : place + 80] = card
    rewrite(path, bytes(data))
    return f"{key} = {value}"


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def edit_pixels(path: Path, rng: Rng) -> str:
    value = float(rng.choice([math.nan, math.inf, -math.inf, 1e38, -1e38, 0.0]))
    portion = float(rng.choice([0.01, 0.5, 1.0]))
    with fits.open(io.BytesIO(_plain(path))) as units:
        for unit in units:
            if unit.data is not None and getattr(unit.data, "dtype", None) is not None and unit.data.dtype.kind == "f":
                unit.data[rng.random(unit.data.shape) < portion] = value
        out = io.BytesIO()
        units.writeto(out)
    rewrite(path, out.getvalue())
    return f"{portion:g} of the pixels are {value:g}"


def store_compressed(path: Path, rng: Rng) -> str:
    """Stored tile-compressed or gzipped, then damaged."""
    kind = str(rng.choice(["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "gz"]))
    with fits.open(io.BytesIO(_plain(path))) as units:
        if kind == "gz":
            out = io.BytesIO()
            units.writeto(out)
            rewrite(path, gzip.compress(out.getvalue(), mtime=0))
        else:
            images = [fits.CompImageHDU(u.data, u.header, compression_type=kind) for u in units if _is_image(u)]
            out = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), *images]).writeto(out)
            rewrite(path, out.getvalue())
    return f"as {kind}, then {flip(path, rng) if rng.random() < 0.7 else cut(path, rng)}"


def _is_image(unit: Any) -> bool:
    return unit.data is not None and unit.data.ndim == 2


def edit_safetensors(path: Path, rng: Rng) -> str:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    name = str(rng.choice(names))
    deed = str(rng.choice(["dtype", "shape", "offsets", "drop", "rename", "length", "nan"]))
    if deed == "dtype":
        header[name]["dtype"] = str(rng.choice(["F8_E4M3", "F8_E5M2", "F64", "I8", "BOOL", "U64", "C64", "XX", "F16"]))
    elif deed == "shape":
        header[name]["shape"] = [[], [-1], [10**12], [2**62, 4], [1] * 80, ["a"], [0]][int(rng.integers(7))]
    elif deed == "offsets":
        header[name]["data_offsets"] = [[0, 10**15], [-4, 4], [8, 0], [0]][int(rng.integers(4))]
    elif deed == "drop":
        del header[name]
    elif deed == "rename":
        header[f"{name}.{EVERY[str(rng.choice(list(EVERY)))]}"] = header.pop(name)
    elif deed == "nan":
        first, last = header[name]["data_offsets"]
        body = body[:first] + b"\xff" * (last - first) + body[last:]
    words = json.dumps(header).encode()
    length = 2**40 if deed == "length" else len(words)
    rewrite(path, struct.pack("<Q", length) + words + body)
    return f"{name}: {deed}"


def edit_zip(path: Path, rng: Rng) -> str:
    """Members of a torch file dropped, doubled, emptied or blown up."""
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    name = str(rng.choice(list(members)))
    deed = str(rng.choice(["drop", "empty", "junk", "bomb", "climb"]))
    if deed == "drop":
        del members[name]
    elif deed == "climb":
        members["../../evil"] = members[name]
    else:
        members[name] = {"empty": b"", "junk": rng.bytes(100), "bomb": bytes(300 << 20)}[deed]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for member, content in members.items():
            packed.writestr(member, content)
    rewrite(path, out.getvalue())
    return f"{name}: {deed}"
