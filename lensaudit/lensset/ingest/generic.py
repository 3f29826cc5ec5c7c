"""Any FITS cutouts: each band is a file pattern with an extension, and the user tells what the headers do not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import PixelPolicy, Plan, Plate, System
from lensaudit.untrusted import printable, typed_name

_WORDS = re.compile(r"(?P<band>[A-Za-z0-9][A-Za-z0-9_+-]{0,63})=(?P<pattern>[^\[\]]*)(\[(?P<extension>[^\[\]]+)\])?")


@dataclass(frozen=True)
class BandPattern:
    """Where one band's images lie: a path pattern with at most one ``*``, which is the id, and an extension."""

    band: str
    pattern: str
    extension: str | int


def parse_band(words: str) -> BandPattern:
    """Read ``VIS=*_vis.fits[1]``; the extension is a number or a name, 0 by default.

    An empty pattern (``VIS=[VIS_FLUX]``) means every FITS file given.
    """
    match = _WORDS.fullmatch(words)
    if match is None or match["pattern"].count("*") > 1 or (not match["pattern"] and not match["extension"]):
        raise UsageError(f"--band '{words}': write NAME=PATTERN[EXTENSION] with at most one *, e.g. VIS=*_vis.fits[1]")
    extension = match["extension"] or "0"
    return BandPattern(match["band"], match["pattern"], int(extension) if extension.isdigit() else extension)


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
        policy=replace(policy, told_scale=_with_copies(policy.told_scale, copied)),
        unit="unit of the files",
        root=path if path.is_dir() else path.parent,
        source={"patterns": [f"{p.band}={p.pattern}[{p.extension}]" for p in patterns], "copies": copied, **rows.facts},
        notes=(*notes, *rows.notes),
        inputs=rows.inputs,
    )


def parse_scales(words: Sequence[str]) -> dict[str, float]:
    """Read ``VIS=0.1``, or ``0.05`` for all bands (kept under ``*``)."""
    scales: dict[str, float] = {}
    for word in words:
        band, _, value = word.rpartition("=")
        try:
            scales[band or "*"] = float(value)
        except ValueError as error:
            raise UsageError(f"--pixel-scale '{word}': write ARCSEC or BAND=ARCSEC, e.g. VIS=0.1") from error
    return scales


def _with_copies(told: Mapping[str, float], copied: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Told scales, where a copy has that of its origin unless told otherwise."""
    inherited = {copy: told[source] for source, copies in copied.items() if source in told for copy in copies}
    return inherited | dict(told)


def _find_all(path: Path, patterns: Sequence[BandPattern]) -> dict[str, dict[str, Plate]]:
    plates: dict[str, dict[str, Plate]] = {}
    for pattern in patterns:
        if pattern.band in plates:
            raise UsageError(f"--band {pattern.band} is given twice; give each band once")
        plates[pattern.band] = _find(path, pattern)
    return plates


def _find(path: Path, pattern: BandPattern) -> dict[str, Plate]:
    """Id → plate of one band."""
    extensions = (pattern.extension,)
    if path.is_file():
        if pattern.pattern not in ("", path.name):
            raise UsageError(
                f"{path} is one file: write --band {pattern.band}=[{pattern.extension}], or give its folder"
            )
        return {_stem(path): Plate(path, extensions)}
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder; check the path")
    glob = pattern.pattern or "*.fits"
    before, _, after = glob.partition("*")
    files = sorted(path.glob(glob))
    if not files:
        raise UsageError(f"{path}: no file matches {glob} (band {pattern.band}); check --band")
    found: dict[str, Plate] = {}
    for file in files:
        whole = file.relative_to(path).as_posix()
        name = whole[len(before) : len(whole) - len(after)] if "*" in glob else _stem(file)
        if name in found:
            raise DataError(f"{file}: id {name} is there twice in band {pattern.band}; make the pattern narrower")
        found[name or _stem(file)] = Plate(file, extensions)
    return found


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
