"""Layouts of FITS cutouts: Euclid Q1's multi-extension files, and any others as the user describes them."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.challenges import chosen_bands
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import BAD_PIXEL_POLICIES, Number, PixelPolicy, Plan, Plate, System
from lensaudit.untrusted import printable, regular_size, typed_name

SIZE_ARCSEC = 20.0
"""Default crop: the central 200×200 pixels at 0.1″, the field the published Euclid finders were trained on."""

BANDS = ("VIS", "J", "Y", "H")
_EXTENSIONS: dict[str, tuple[str | int, ...]] = {
    "VIS": ("VIS_FLUX", "VIS_BGSUB"),
    "J": ("NIR_J_FLUX", "NIR_J_BGSUB"),
    "Y": ("NIR_Y_FLUX", "NIR_Y_BGSUB"),
    "H": ("NIR_H_FLUX", "NIR_H_BGSUB"),
}


def plan_euclid_q1(
    path: Path,
    *,
    label: str = "unknown",
    catalogue: Path | None = None,
    bands: Sequence[str] = (),
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of Q1 cutouts.

    Parameters
    ----------
    path
        One FITS file, or a folder of them; a system's id is its file's name.
    label, catalogue
        See `external_rows`.
    policy
        Without a size, 20″ are kept.
    """
    policy = policy or PixelPolicy()
    files = _files(path)
    chosen = chosen_bands(bands, BANDS)
    rows = external_rows([_name(file) for file in files], label, catalogue)
    systems = tuple(
        System(_name(file), {band: Plate(str(file), _EXTENSIONS[band]) for band in chosen}, rows.values[_name(file)])
        for file in files
    )
    return Plan(
        layout="euclid-q1",
        instrument="euclid",
        bands=chosen,
        systems=systems,
        columns=rows.columns,
        policy=policy if policy.size_arcsec or policy.size_pixels else replace(policy, size_arcsec=SIZE_ARCSEC),
        unit="flux unit of the archive (see zero_point_mag)",
        root=path if path.is_dir() else path.parent,
        source={"release": "Euclid Q1", **rows.facts},
        notes=rows.notes,
        inputs=rows.inputs,
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        regular_size(path)  # says what is there instead: nothing, a pipe, a device
    files = sorted(f for f in path.iterdir() if f.name.endswith((".fits", ".fits.gz")))
    if not files:
        raise UsageError(f"{path}: holds no .fits file; check the path")
    names = [_name(file) for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"{path}: {twice} is there as .fits and .fits.gz; remove one of them")
    return files


def _name(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".fits")


_WORDS = re.compile(
    r"(?P<band>[A-Za-z0-9][A-Za-z0-9_+-]{0,63})=(?P<pattern>[^\[\]]*)"
    r"(\[(?P<extension>[^\[\]]+)\])?(\[(?P<plane>\d{1,6})\])?"
)


@dataclass(frozen=True)
class BandPattern:
    """Where one band's images lie: a path pattern whose ``*`` is the id, an extension, and a plane of a cube."""

    band: str
    pattern: str
    extension: str | int
    plane: int | None = None

    def __str__(self) -> str:
        plane = "" if self.plane is None else f"[{self.plane}]"
        return f"{self.band}={self.pattern}[{self.extension}]{plane}"


def parse_band(words: str) -> BandPattern:
    """Read ``VIS=*_vis.fits[1]``; the extension is a number, a name or ``NAME,VERSION``, 0 by default.

    ``g=*/*_g.fits`` finds files in the folders of their objects, ``g=cube.fits[0][2]`` takes the third plane of a
    cube. An empty pattern (``VIS=[VIS_FLUX]``) means every FITS file given.
    """
    match = _WORDS.fullmatch(words)
    if match is None or "**" in match["pattern"] or (not match["pattern"] and not match["extension"]):
        raise UsageError(
            f"--band '{printable(words, 100)}': write NAME=PATTERN[EXTENSION], e.g. VIS=*_vis.fits[1], "
            "or NAME=PATTERN[EXTENSION][PLANE] for a cube"
        )
    extension = match["extension"] or "0"
    plane = None if match["plane"] is None else int(match["plane"])
    return BandPattern(
        match["band"], match["pattern"], int(extension) if re.fullmatch(r"\d{1,4}", extension) else extension, plane
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
        One per band.
    duplicate
        Band → bands that get the same image, as Wilde et al. do for lenses observed in one band.
    label, catalogue
        See `external_rows`.
    """
    policy = policy or PixelPolicy()
    if not patterns:
        raise UsageError("give --band at least once, e.g. --band VIS=*_vis.fits[0]")
    plates = _add_copies(_find_all(path, patterns), duplicate or {})
    bands = tuple(plates)
    names = sorted({name for found in plates.values() for name in found})
    rows = external_rows(names, label, catalogue)
    systems = tuple(
        System(name, {band: plates[band][name] for band in bands if name in plates[band]}, rows.values[name])
        for name in names
    )
    copied = {source: list(copies) for source, copies in (duplicate or {}).items()}
    notes = tuple(f"bands {', '.join(copies)} are copies of {source}" for source, copies in copied.items())
    return Plan(
        layout="fits",
        instrument=typed_name("--instrument", instrument),
        bands=bands,
        systems=systems,
        columns=rows.columns,
        policy=replace(
            policy,
            given_scale=_with_copies(policy.given_scale, copied),
            given_zero_point=_with_copies(policy.given_zero_point, copied),
            size_pixels=_with_copies(policy.size_pixels, copied),
        ),
        unit="unit of the files",
        root=path if path.is_dir() else path.parent,
        source={"patterns": [str(p) for p in patterns], "copies": copied, **rows.facts},
        notes=(*notes, *rows.notes),
        inputs=rows.inputs,
    )


def parse_by_band(option: str, words: Sequence[str], kind: Callable[[str], Number]) -> dict[str, Number]:
    """Read ``VIS=0.1``, or ``0.05`` for all bands (kept under ``*``), of an option that may be given for each band."""
    values: dict[str, Number] = {}
    for word in words:
        band, _, value = word.rpartition("=")
        try:
            values[band or "*"] = kind(value)
        except ValueError as error:
            what = "ARCSEC" if option == "--pixel-scale" else "MAG" if option == "--zero-point" else "PIXELS"
            example = {"ARCSEC": "VIS=0.1", "MAG": "VIS=24.6", "PIXELS": "VIS=200"}[what]
            raise UsageError(
                f"{option} '{printable(word, 60)}': write {what} or BAND={what}, e.g. {example}"
            ) from error
    return values


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


def _with_copies(given: Mapping[str, Number], copied: Mapping[str, Sequence[str]]) -> dict[str, Number]:
    """What is given by band, where a copy has that of its origin unless given otherwise."""
    inherited = {copy: given[source] for source, copies in copied.items() if source in given for copy in copies}
    return inherited | dict(given)


def _find_all(path: Path, patterns: Sequence[BandPattern]) -> dict[str, dict[str, Plate]]:
    """Band → id → plate."""
    names = [pattern.band for pattern in patterns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--band {twice} is given twice; give each band once")
    if path.is_file():
        return {pattern.band: {_stem(path): _plate(_only(path, pattern), pattern)} for pattern in patterns}
    if not path.is_dir():
        regular_size(path)  # says what is there instead: nothing, a pipe, a device
    fixed = [pattern for pattern in patterns if pattern.pattern and "*" not in pattern.pattern]
    if fixed and len(fixed) < len(patterns):
        raise UsageError(
            f"--band {fixed[0]}: has no * where other bands have one; give every band a * (many objects), or none"
        )
    found = {pattern.band: _matching(path, pattern) for pattern in patterns}
    if not fixed:
        return found
    files = [next(iter(plates.values())).path for plates in found.values()]
    name = _common_name(files)
    return {band: {name: next(iter(plates.values()))} for band, plates in found.items()}


def _only(path: Path, pattern: BandPattern) -> Path:
    """The one file given; DataError where the pattern means another."""
    if pattern.pattern not in ("", path.name, str(path)):
        raise UsageError(f"{path} is one file: write --band {pattern.band}=[{pattern.extension}], or give its folder")
    return path


def _plate(file: Path, pattern: BandPattern) -> Plate:
    return Plate(str(file), (pattern.extension,), pattern.plane)


def _matching(path: Path, pattern: BandPattern) -> dict[str, Plate]:
    """Id → plate of one band: what stands for the ``*`` of the pattern, relative to `path` or absolute.

    Where several ``*`` stand for different words, they are joined by ``-``; ``OBJ/OBJ_g.fits`` is OBJ.
    """
    words = os.path.expanduser(pattern.pattern) or "*.fits"
    files = sorted(glob.glob(words, root_dir=path))
    if not files:
        raise UsageError(f"{path}: no file matches {printable(words, 100)} (band {pattern.band}); check --band")
    shape = re.compile("([^/]*)".join(re.escape(part) for part in words.split("*")).replace(r"\?", "[^/]"))
    found: dict[str, Plate] = {}
    for file in files:
        match = shape.fullmatch(file)
        stars = [] if match is None else [star for star in match.groups() if star]
        name = "-".join(dict.fromkeys(stars)) if pattern.pattern and stars else _stem(Path(file))
        if name in found:
            raise DataError(
                f"{path / file}: id {printable(name, 60)} is there twice in band {pattern.band}; "
                "make the pattern narrower"
            )
        found[name] = _plate(path / file, pattern)
    return found


def _common_name(files: Sequence[Path]) -> str:
    """Id of one object whose bands are these files: what their names begin with alike, else their folder's name."""
    stems = [_stem(file) for file in files]
    if len(set(stems)) == 1:
        return stems[0]
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*stems, strict=False))
    return "".join(signs[0] for signs in alike).rstrip(" _-.") or files[0].resolve().parent.name


def _add_copies(
    plates: dict[str, dict[str, Plate]], duplicate: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Plate]]:
    complete = dict(plates)
    for source, copies in duplicate.items():
        if source not in plates:
            raise UsageError(f"--duplicate: '{source}' is not one of the bands {', '.join(plates)}")
        for copy in copies:
            if copy in complete:
                raise UsageError(f"--duplicate: band {copy} is there already; leave it out")
            complete[copy] = plates[source]
    return complete


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".fits")
