"""FITS cutouts as the user describes them: a pattern of files for each band, its PSF and its noise."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import (
    BAD_PIXEL_POLICIES,
    NOISE_KINDS,
    UNKNOWN_UNIT,
    Beside,
    Number,
    PixelPolicy,
    Plan,
)
from lensaudit.lensset.ingest.systems import FilePlaces, PlacesByKind, Plate, Systems, stem
from lensaudit.untrusted import printable, regular_size, typed_name

T = TypeVar("T")

_WORDS = re.compile(
    r"(?P<band>[A-Za-z0-9][A-Za-z0-9_+-]{0,63})=(?P<pattern>[^\[\]]*)"
    r"(\[(?P<extension>[^\[\]]+)\])?(\[(?P<plane>\d{1,6})\])?"
)


@dataclass(frozen=True)
class BandPattern:
    """Where one band's images lie: a path pattern whose ``*`` is the id, an extension, and a plane of a cube.

    `what` they are is ``image``, ``psf``, or one of `NOISE_KINDS`.
    """

    band: str
    pattern: str
    extension: str | int
    plane: int | None = None
    what: str = "image"

    @property
    def option(self) -> str:
        """The option that says it."""
        return "--band" if self.what == "image" else f"--{self.what}"

    def __str__(self) -> str:
        plane = "" if self.plane is None else f"[{self.plane}]"
        kind = "" if self.what == "image" else f"{self.what} "
        return f"{kind}{self.band}={self.pattern}[{self.extension}]{plane}"


def parse_band(words: str, what: str = "image") -> BandPattern:
    """Read ``VIS=*_vis.fits[1]``; the extension is a number, a name or ``NAME,VERSION``, 0 by default.

    ``g=*/*_g.fits`` finds files in the folders of their objects, ``g=cube.fits[0][2]`` takes the third plane of a
    cube. An empty pattern (``VIS=[VIS_FLUX]``) means every FITS file given; of a PSF or noise, the file of the image.
    """
    match = _WORDS.fullmatch(words)
    if match is None or "**" in match["pattern"] or (not match["pattern"] and not match["extension"]):
        option = "--band" if what == "image" else f"--{what}"
        raise UsageError(
            f"{option} '{printable(words, 100)}': write NAME=PATTERN[EXTENSION], e.g. VIS=*_vis.fits[1], "
            "or NAME=PATTERN[EXTENSION][PLANE] for a cube"
        )
    extension = match["extension"] or "0"
    plane = None if match["plane"] is None else int(match["plane"])
    return BandPattern(
        match["band"],
        match["pattern"],
        int(extension) if re.fullmatch(r"\d{1,4}", extension) else extension,
        plane,
        what,
    )


def parse_duplicate(words: str) -> tuple[str, tuple[str, ...]]:
    """Read ``VIS:J,Y,H``: the band that is there, and the bands it stands for."""
    source, _, copies = words.partition(":")
    names = tuple(name.strip() for name in copies.split(",") if name.strip())
    if not source or not names:
        raise UsageError(f"--duplicate '{words}': write BAND:COPY,COPY, e.g. VIS:J,Y,H")
    return source.strip(), tuple(typed_name(f"--duplicate '{printable(words, 60)}'", name) for name in names)


def plan_fits(
    path: Path,
    patterns: Sequence[BandPattern],
    *,
    duplicate: Mapping[str, Sequence[str]] | None = None,
    label: str = "unknown",
    catalogue: Path | None = None,
    instrument: str = "unknown",
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of arbitrary FITS cutouts.

    Parameters
    ----------
    path
        A folder the patterns are relative to, or one FITS file.
    patterns
        One per band, and per band at most one of its PSF and one of its noise; where theirs has no ``*`` though those
        of images have one, it is one for the whole set.
    duplicate
        Band → bands that get the same image, as Wilde et al. do for lenses observed in one band.
    label, catalogue
        See `external_rows`.
    """
    policy = policy or PixelPolicy()
    if not patterns:
        raise UsageError("give --band at least once, e.g. --band VIS=*_vis.fits[0]")
    names, images = _find_all(path, [pattern for pattern in patterns if pattern.what == "image"])
    _refuse_copies(images, duplicate or {})
    own, one = _find_beside(path, names, images, [pattern for pattern in patterns if pattern.what != "image"])
    rows = external_rows(names, label, catalogue)
    copied = {source: list(copies) for source, copies in (duplicate or {}).items()}
    notes = tuple(f"bands {', '.join(copies)} are copies of {source}" for source, copies in copied.items())
    kinds = {pattern.band: pattern.what for pattern in patterns if pattern.what in NOISE_KINDS}
    psfs = {pattern.band: "" for pattern in patterns if pattern.what == "psf"}
    return Plan(
        layout="fits",
        instrument=typed_name("--instrument", instrument),
        bands=tuple(_with_copies(dict.fromkeys(images), copied, before=False)),
        systems=Systems(names, rows.values, own.with_copies(copied)),
        columns=rows.columns,
        policy=replace(
            policy,
            given_scale=_with_copies(policy.given_scale, copied),
            given_zero_point=_with_copies(policy.given_zero_point, copied),
            size_pixels=_with_copies(policy.size_pixels, copied),
            given_electrons=_with_copies(policy.given_electrons, copied),
        ),
        beside=Beside(
            _with_copies(kinds, copied),
            tuple(_with_copies(psfs, copied)),
            _with_copies(one.psfs, copied),
            _with_copies(one.noise, copied),
        ),
        unit=UNKNOWN_UNIT,
        root=path if path.is_dir() else path.parent,
        source={"patterns": [str(p) for p in patterns], "copies": copied, **rows.facts},
        notes=(*notes, *rows.notes),
        inputs=rows.inputs,
    )


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
                f"--filter '{printable(word, 60)}': write BAND=NAME with the name of a filter in speclite, e.g. "
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


def _with_copies(given: Mapping[str, T], copied: Mapping[str, Sequence[str]], *, before: bool = True) -> dict[str, T]:
    """What is given by band, where a copy has that of its origin unless given otherwise; copies stand first or last."""
    inherited = {copy: given[source] for source, copies in copied.items() if source in given for copy in copies}
    return inherited | dict(given) if before else dict(given) | inherited


def _find_all(path: Path, patterns: Sequence[BandPattern]) -> tuple[list[str], dict[str, FilePlaces]]:
    """Ids in order, and band → where the images lie."""
    bands = [pattern.band for pattern in patterns]
    if twice := next((band for band in bands if bands.count(band) > 1), None):
        raise UsageError(f"--band {twice} is given twice; give each band once")
    if path.is_file():
        single = {pattern.band: _places(pattern, [str(_only(path, pattern))]) for pattern in patterns}
        return [stem(path)], single
    if not path.is_dir():
        regular_size(path)  # says what is there instead: nothing, a pipe, a device
    fixed = [pattern for pattern in patterns if pattern.pattern and "*" not in pattern.pattern]
    if fixed and len(fixed) < len(patterns):
        raise UsageError(
            f"--band {fixed[0]}: has no * where other bands have one; give every band a * (many objects), or none"
        )
    found = {pattern.band: _matching(path, pattern) for pattern in patterns}
    if fixed:
        files = {band: next(iter(files.values())) for band, files in found.items()}
        name = _common_name([Path(file) for file in files.values()])
        return [name], {pattern.band: _places(pattern, [files[pattern.band]]) for pattern in patterns}
    names = sorted(set().union(*found.values()))
    return names, {pattern.band: _aligned(path, pattern, names, found.pop(pattern.band)) for pattern in patterns}


@dataclass(frozen=True)
class _One:
    """Band → what there is one of, for the whole set."""

    psfs: dict[str, Plate]
    noise: dict[str, Plate]


def _find_beside(
    path: Path, names: Sequence[str], images: Mapping[str, FilePlaces], patterns: Sequence[BandPattern]
) -> tuple[PlacesByKind, _One]:
    """Where PSFs and noise maps lie: of each system, and of the whole set."""
    psfs: dict[str, FilePlaces] = {}
    noise: dict[str, FilePlaces] = {}
    one = _One({}, {})
    for pattern in patterns:
        own, shared = (psfs, one.psfs) if pattern.what == "psf" else (noise, one.noise)
        if pattern.band not in images:
            raise UsageError(f"{pattern.option}: '{pattern.band}' is not one of {', '.join(images)}")
        if pattern.band in own or pattern.band in shared:
            other = "--psf" if pattern.what == "psf" else "--rms, --variance or --weight"
            raise UsageError(f"{pattern.option} {pattern.band}: {other} is given for that band already; give one")
        if not pattern.pattern:
            own[pattern.band] = replace(images[pattern.band], extensions=(pattern.extension,), plane=pattern.plane)
        elif "*" in pattern.pattern:
            own[pattern.band] = _aligned(path, pattern, names, _matching(path, pattern))
        else:
            file = (path.parent if path.is_file() else path) / os.path.expanduser(pattern.pattern)
            regular_size(file)  # says what is there instead
            shared[pattern.band] = Plate(str(file), (pattern.extension,), pattern.plane)
    return PlacesByKind(images, psfs, noise), one


def _only(path: Path, pattern: BandPattern) -> Path:
    """The one file given; DataError where the pattern means another."""
    if pattern.pattern not in ("", path.name, str(path)):
        raise UsageError(f"{path} is one file: write --band {pattern.band}=[{pattern.extension}], or give its folder")
    return path


def _places(pattern: BandPattern, files: Sequence[str]) -> FilePlaces:
    return FilePlaces((pattern.extension,), pattern.plane, tuple(files))


def _aligned(path: Path, pattern: BandPattern, names: Sequence[str], found: Mapping[str, str]) -> FilePlaces:
    """Where the files `found` (by id) lie, in the order of `names`; by their names alone, where that is enough."""
    before, _, after = str(path / (os.path.expanduser(pattern.pattern) or "*.fits")).partition("*")
    if not set("*?[") & set(before + after) and all(found.get(name) == f"{before}{name}{after}" for name in names):
        return FilePlaces((pattern.extension,), pattern.plane, before=before, after=after)
    return _places(pattern, [found.get(name, "") for name in names])


def _matching(path: Path, pattern: BandPattern) -> dict[str, str]:
    """Id → file of one band: what stands for the ``*`` of the pattern, relative to `path` or absolute.

    Where several ``*`` stand for different words, they are joined by ``-``; ``OBJ/OBJ_g.fits`` is OBJ.
    """
    words = os.path.expanduser(pattern.pattern) or "*.fits"
    files = sorted(glob.glob(words, root_dir=path))
    if not files:
        raise UsageError(
            f"{path}: no file matches {printable(words, 100)} (band {pattern.band}); check {pattern.option}"
        )
    shape = re.compile("([^/]*)".join(re.escape(part) for part in words.split("*")).replace(r"\?", "[^/]"))
    found: dict[str, str] = {}
    for file in files:
        match = shape.fullmatch(file)
        stars = [] if match is None else [star for star in match.groups() if star]
        name = "-".join(dict.fromkeys(stars)) if pattern.pattern and stars else stem(Path(file))
        if name in found:
            raise DataError(
                f"{path / file}: id {printable(name, 60)} is there twice in band {pattern.band}; "
                "make the pattern narrower"
            )
        found[name] = str(path / file)
    return found


def _common_name(files: Sequence[Path]) -> str:
    """Id of one object whose bands are these files: what their names begin with alike, else their folder's name."""
    stems = [stem(file) for file in files]
    if len(set(stems)) == 1:
        return stems[0]
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*stems, strict=False))
    return "".join(signs[0] for signs in alike).rstrip(" _-.") or files[0].resolve().parent.name


def _refuse_copies(bands: Iterable[str], duplicate: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError for copies of a band that is not there, or that are there already."""
    taken = list(bands)
    for source, copies in duplicate.items():
        if source not in bands:
            raise UsageError(f"--duplicate: '{source}' is not one of the bands {', '.join(bands)}")
        for copy in copies:
            if copy in taken:
                raise UsageError(f"--duplicate: band {copy} is there already; leave it out")
            taken.append(copy)
