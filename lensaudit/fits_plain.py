"""Plain FITS images without astropy: small cutouts in many files, read some ten times as fast.

Whatever is not plain is left to `lensaudit.fits_input`, which opens every FITS file.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.fits_input import BLOCK, CARD
from lensaudit.untrusted import regular_size

_MOST_BYTES = 1 << 26
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_IMAGE = b"'IMAGE   '"
_END = re.compile(rb"END {77}")
_CARDS = re.compile(rb"(BITPIX|NAXIS\d?|[PG]COUNT|BSCALE|BZERO|BLANK|ZIMAGE|EXTNAME|XTENSION) *= *('[^']*'|[^ /]+)")


def plain_image(path: Path, extension: int | str) -> NDArray[Any] | None:
    """The 2-D image of an extension, as stored, of a file in which nothing is odd; None where `open_fits` must look.

    Some ten times as fast as astropy, for folders of many small cutouts: headers are gone through by their mandatory
    cards alone. What is compressed, scaled, torn, repeated or of more axes is left to `open_fits` and its messages.
    """
    if regular_size(path) > _MOST_BYTES:
        return None
    try:
        return _image(Path(path).read_bytes(), extension)
    except ValueError:  # a card that holds no whole number
        return None


def _image(data: bytes, extension: int | str) -> NDArray[Any] | None:
    at, number = 0, 0
    found: NDArray[Any] | None = None
    if len(data) % BLOCK or not data.startswith(b"SIMPLE  ="):
        return None
    while at < len(data):
        header = _header(data, at)
        if header is None:
            return None
        begin, cards = header
        sides = [int(cards.get(b"NAXIS%d" % axis, b"-1")) for axis in range(1, int(cards[b"NAXIS"]) + 1)]
        bits = int(cards[b"BITPIX"])
        if any(side < 0 for side in sides) or bits not in _TYPES:
            return None
        beside, groups = int(cards.get(b"PCOUNT", b"0")), int(cards.get(b"GCOUNT", b"1"))
        if not 0 <= beside < 2**40 or not 0 <= groups <= 1:
            return None
        size = groups * (beside + math.prod(sides)) * abs(bits) // 8 if sides else 0
        if begin + size > len(data):
            return None
        name = cards.get(b"EXTNAME", b"").strip(b"' ").decode("ascii", "replace").upper()
        if number == extension or (isinstance(extension, str) and name == extension.upper()):
            scaled = {b"BSCALE", b"BZERO", b"BLANK", b"ZIMAGE"} & cards.keys()
            if (
                found is not None
                or scaled
                or (beside, groups) != (0, 1)
                or len(sides) != 2
                or 0 in sides
                or cards.get(b"XTENSION", _IMAGE) != _IMAGE
            ):
                return None
            found = np.frombuffer(data, _TYPES[bits], math.prod(sides), begin).reshape(sides[::-1])
        at, number = begin + -(-size // BLOCK) * BLOCK, number + 1
    return found


def _header(data: bytes, at: int) -> tuple[int, dict[bytes, bytes]] | None:
    """Where the data after the header at byte `at` begin, and the values of the cards that say how they lie."""
    end = _END.search(data, at)
    while end is not None and (end.start() - at) % CARD:
        end = _END.search(data, end.start() + 1)
    if end is None:
        return None
    cards: dict[bytes, bytes] = {}
    for place in range(at, end.start(), CARD):
        card = _CARDS.match(data, place, place + CARD)
        if card is not None:
            if card[1] in cards:
                return None
            cards[card[1]] = card[2]
    if b"NAXIS" not in cards or b"BITPIX" not in cards or not 0 <= int(cards[b"NAXIS"]) <= 4:
        return None
    return at + -(-(end.start() + CARD - at) // BLOCK) * BLOCK, cards
