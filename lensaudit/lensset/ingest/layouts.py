"""FITS cutouts as the user describes them: a pattern of files for each band, its PSF and its noise."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import (
    NOISE_KINDS,
    UNKNOWN_UNIT,
    Beside,
    PixelPolicy,
    Plan,
    of_instrument,
)
from lensaudit.lensset.ingest.systems import FilePlaces, PlacesByKind, Plate, Systems, stem
from lensaudit.untrusted import printable, regular_size

T = TypeVar("T")

_WORDS = re.compile(
    r"(?P<band>[A-Za-z0-9][A-Za-z0-9_+-]{0,63})=(?P<pattern>[^\[\]]*)"
    r"(\[(?P<extension>[^\[\]]+)\])?(\[(?P<plane>\d{1,6})\])?"
)


@dataclass(frozen=True)
class BandPattern:
    """Where one band's images lie: a path pattern whose ``*`` is the id, an extension, and a plane of a cube.

    `what` they are is ``image``, ``psf``, ``mask``, or one of `NOISE_KINDS`.
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
        One per band, and per band at most one of its PSF, one of its noise and one of its mask; where theirs has no
        ``*`` though those of images have one, it is one for the whole set.
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
    instrument, policy = of_instrument(instrument, list(images), policy)
    rows = external_rows(names, label, catalogue)
    copied = {source: list(copies) for source, copies in (duplicate or {}).items()}
    notes = tuple(f"bands {', '.join(copies)} are copies of {source}" for source, copies in copied.items())
    kinds = {pattern.band: pattern.what for pattern in patterns if pattern.what in NOISE_KINDS}
    psfs = {pattern.band: "" for pattern in patterns if pattern.what == "psf"}
    return Plan(
        layout="fits",
        instrument=instrument,
        bands=tuple(_with_copies(dict.fromkeys(images), copied, before=False)),
        systems=Systems(names, rows.values, own.with_copies(copied)),
        columns=rows.columns,
        policy=replace(
            policy,
            known_scale=_with_copies(policy.known_scale, copied),
            known_zero_point=_with_copies(policy.known_zero_point, copied),
            known_filter=_with_copies(policy.known_filter, copied),
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
            masked=bool(own.masks),
        ),
        unit=UNKNOWN_UNIT,
        root=path if path.is_dir() else path.parent,
        source={"patterns": [str(p) for p in patterns], "copies": copied, **rows.facts},
        notes=(*notes, *rows.notes),
        inputs=rows.inputs,
    )


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
        plates = [one.places.plate(0, one.names[0]) for one in found.values()]
        return [_common_name([plate.path for plate in plates if plate])], {b: one.places for b, one in found.items()}
    first = next(iter(found.values())).names
    alike = all(one.names == first for one in found.values())
    names = first if alike else sorted(set().union(*(one.names for one in found.values())))
    return names, {band: one.aligned(names) for band, one in found.items()}


@dataclass(frozen=True)
class _One:
    """Band → what there is one of, for the whole set."""

    psfs: dict[str, Plate]
    noise: dict[str, Plate]
    masks: dict[str, Plate]


def _find_beside(
    path: Path, names: Sequence[str], images: Mapping[str, FilePlaces], patterns: Sequence[BandPattern]
) -> tuple[PlacesByKind, _One]:
    """Where PSFs, noise maps and masks lie: of each system, and of the whole set."""
    psfs: dict[str, FilePlaces] = {}
    noise: dict[str, FilePlaces] = {}
    masks: dict[str, FilePlaces] = {}
    one = _One({}, {}, {})
    kinds = {"psf": (psfs, one.psfs, "--psf"), "mask": (masks, one.masks, "--mask")}
    for pattern in patterns:
        own, shared, options = kinds.get(pattern.what, (noise, one.noise, "--rms, --variance or --weight"))
        if pattern.band not in images:
            raise UsageError(f"{pattern.option}: '{pattern.band}' is not one of {', '.join(images)}")
        if pattern.band in own or pattern.band in shared:
            raise UsageError(f"{pattern.option}: {options} is given for band {pattern.band} already; give one")
        if not pattern.pattern:
            own[pattern.band] = replace(images[pattern.band], extensions=(pattern.extension,), plane=pattern.plane)
        elif "*" in pattern.pattern:
            own[pattern.band] = _matching(path, pattern).aligned(names)
        else:
            file = (path.parent if path.is_file() else path) / os.path.expanduser(pattern.pattern)
            regular_size(file)  # says what is there instead
            shared[pattern.band] = Plate(str(file), (pattern.extension,), pattern.plane)
    for band, plate in one.masks.items():
        masks[band] = FilePlaces(plate.extensions, plate.plane, (plate.file,) * len(names))
    return PlacesByKind(images, psfs, noise, masks), one


def _only(path: Path, pattern: BandPattern) -> Path:
    """The one file given; DataError where the pattern means another."""
    if pattern.pattern not in ("", path.name, str(path)):
        raise UsageError(f"{path} is one file: write --band {pattern.band}=[{pattern.extension}], or give its folder")
    return path


def _places(pattern: BandPattern, files: Sequence[str]) -> FilePlaces:
    return FilePlaces((pattern.extension,), pattern.plane, tuple(files))


@dataclass(frozen=True)
class _Found:
    """Ids in order, and where their files lie."""

    names: list[str]
    places: FilePlaces

    def aligned(self, names: Sequence[str]) -> FilePlaces:
        """Where the files of `names` lie, in their order."""
        if self.names == names:
            return self.places
        there = {name: place for place, name in enumerate(self.names)}
        plates = (self.places.plate(there[name], name) if name in there else None for name in names)
        files = tuple("" if plate is None else plate.file for plate in plates)
        return replace(self.places, files=files, before="", after="")


def _matching(path: Path, pattern: BandPattern) -> _Found:
    """Files of one band; the id is what stands for the ``*`` of the pattern, relative to `path` or absolute.

    Where several ``*`` stand for different words, they are joined by ``-``; ``OBJ/OBJ_g.fits`` is OBJ.
    """
    words = os.path.expanduser(pattern.pattern) or "*.fits"
    if plain := _listed(path, pattern, words):
        return plain
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
    names = sorted(found)
    return _Found(names, _places(pattern, [found[name] for name in names]))


def _listed(path: Path, pattern: BandPattern, words: str) -> _Found | None:
    """The same of a pattern whose one ``*`` is part of a file's name: of 100 000 files only the ids are kept."""
    before, star, after = str(path / words).partition("*")
    folder, _, begin = before.rpartition("/")
    if not star or set("*?[/") & set(after) or set("?[") & set(before):
        return None
    fixed = len(begin) + len(after)
    with suppress(OSError), os.scandir(folder or "/") as entries:
        there = (entry.name for entry in entries if begin or not entry.name.startswith("."))
        fitting = (one for one in there if len(one) >= fixed and one.startswith(begin) and one.endswith(after))
        names = sorted(one[len(begin) : len(one) - len(after)] for one in fitting)
        if names and names[0]:
            return _Found(names, FilePlaces((pattern.extension,), pattern.plane, before=before, after=after))
    return None


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
