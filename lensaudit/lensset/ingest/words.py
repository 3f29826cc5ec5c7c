"""Options of an ingest as they are typed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from lensaudit.errors import UsageError
from lensaudit.lensset.ingest.plan import BAD_PIXEL_POLICIES, Number
from lensaudit.untrusted import printable, typed_name


def parse_duplicate(words: str) -> tuple[str, tuple[str, ...]]:
    """Read ``VIS:J,Y,H``: the band that is there, and the bands it stands for."""
    source, _, copies = words.partition(":")
    names = tuple(name.strip() for name in copies.split(",") if name.strip())
    if not source or not names:
        raise UsageError(f"--duplicate '{words}': write BAND:COPY,COPY, e.g. VIS:J,Y,H")
    return source.strip(), tuple(typed_name(f"--duplicate '{printable(words, 60)}'", name) for name in names)


_BY_BAND = {
    "--pixel-scale": ("ARCSEC", "VIS=0.1"),
    "--zero-point": ("MAG", "VIS=24.6"),
    "--size-pixels": ("PIXELS", "VIS=200"),
    "--electrons-per-unit": ("NUMBER", "g=4.2"),
}
"""What is given for each band, and an example."""


def parse_filters(words: Sequence[str]) -> dict[str, str]:
    """Read ``g=hsc2017-g``: band, and name of its filter in speclite.

    Raises
    ------
    UsageError
        It is no such pair, or speclite has no such filter.
    """
    if not words:
        return {}
    from speclite.filters import load_filter

    filters: dict[str, str] = {}
    for word in words:
        band, _, name = word.partition("=")
        try:
            load_filter(name if re.fullmatch(r"[\w-]+", name) else "")
        except Exception as error:  # speclite raises ValueError or OSError by what the name looks like
            raise UsageError(
                f"--filter {printable(word, 60)}: speclite has no such filter; give a band and one of its names, e.g. "
                "g=hsc2017-g, VIS=Euclid-VIS, r=lsst2023-r"
            ) from error
        filters[band] = name
    return filters


def parse_by_band(option: str, words: Sequence[str], kind: Callable[[str], Number]) -> dict[str, Number]:
    """Read ``VIS=0.1``, or ``0.05`` for all bands (kept under ``*``), of an option that may be given for each band."""
    values: dict[str, Number] = {}
    for word in words:
        band, _, value = word.rpartition("=")
        try:
            values[band or "*"] = kind(value)
        except ValueError as error:
            what, example = _BY_BAND[option]
            raise UsageError(
                f"{option} '{printable(word, 60)}': write {what} or BAND={what}, e.g. {example}"
            ) from error
    return values


def parse_bits(words: str) -> tuple[int, ...]:
    """Read ``0,1,8``: bits of a mask, counted from 0."""
    bits = [word.strip() for word in words.split(",") if word.strip()]
    if not all(re.fullmatch(r"\d{1,2}", bit) and int(bit) < 64 for bit in bits):
        raise UsageError(f"--mask-bits '{printable(words, 60)}': write bits from 0 to 63, e.g. 0,1,8")
    return tuple(int(bit) for bit in bits)


def parse_masked(words: Sequence[str], policy: str = "zero") -> tuple[tuple[float, ...], str]:
    """Read ``-99``, ``zero`` or ``-99:median``: values of masked pixels, and what becomes of them.

    Parameters
    ----------
    policy
        What becomes of them where no word says.
    """
    values: list[float] = []
    policies: set[str] = set()
    for word in words:
        value, colon, chosen = word.rpartition(":")
        number = _number(value if colon else word)
        if number is not None and not colon:
            values.append(number)
            continue
        if chosen not in BAD_PIXEL_POLICIES or (colon and number is None):
            raise UsageError(
                f"--masked '{printable(word, 60)}': write VALUE, VALUE:POLICY or POLICY, e.g. -99:median; "
                f"a policy is one of {', '.join(BAD_PIXEL_POLICIES)}"
            )
        values += [] if number is None else [number]
        policies.add(chosen)
    if len(policies) > 1:
        raise UsageError(f"--masked: {' and '.join(sorted(policies))} are both given; choose one policy")
    return tuple(dict.fromkeys(values)), policies.pop() if policies else policy


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
