"""What an export will hold: probes, systems and their arms, and the names under which cutouts go out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensaudit import __version__
from lensaudit.errors import UsageError
from lensaudit.files import replacing
from lensaudit.imaging import Band, Column, Instrument, truth_columns
from lensaudit.imaging.band import ELECTRONS_PER_S
from lensaudit.injection.settings import without_places
from lensaudit.lensset.coordinates import plain_wcs
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.columns import check_columns
from lensaudit.probes.definition import FROM_FILE, TEXTURE, ProbeDefinition
from lensaudit.probes.elsewhere import on_instrument, why_no_scene
from lensaudit.probes.experiment import Drawn, Experiment
from lensaudit.probes.on_hosts import HOSTS_LABEL, OnHosts, as_recorded, from_record, on_hosts
from lensaudit.probes.result import ProbeSettings
from lensaudit.probes.run import ProbeOptions, settled
from lensaudit.probes.steps import Arm

FORMS = ("multi", "single")
SYSTEMS = 4
"""Systems of a unit, the smallest part that is done or not done; one holds some hundred cutouts of each system."""

ID_BYTES = 8
"""Of a name: with a million cutouts, two share one with a probability of 3e-8."""


@dataclass(frozen=True)
class Asked:
    """One population of one probe."""

    definition: ProbeDefinition
    label: str
    source: Drawn | OnHosts

    @property
    def experiment(self) -> Experiment:
        """Its systems and arms."""
        return Experiment(self.source, self.definition.arms())


@dataclass(frozen=True)
class Unit:
    """Some systems of one source, in all arms that any probe asks for."""

    number: int
    source: Drawn | OnHosts
    first: int

    @property
    def span(self) -> range:
        """Indices of its systems."""
        return range(self.first, min(self.first + SYSTEMS, self.source.n))


@dataclass(frozen=True)
class ExportPlan:
    """The whole export; the same plan writes the same bytes.

    Attributes
    ----------
    definitions
        Probes in the order of the audit.
    n, seed
        Pairs of each population, and the seed of their scenes.
    bands
        Bands of a cutout, in this order.
    form
        ``multi``: one file per cutout with one extension per band; ``single``: one file per band.
    refused
        Probe → why it is left out.
    hosts
        Real cutouts that the arcs are put into, in place of drawn scenes; they say how many systems there are.
    inputs
        Of the hosts: their set and files → SHA-256.
    """

    definitions: tuple[ProbeDefinition, ...]
    n: int
    seed: int
    bands: tuple[str, ...]
    form: str = "multi"
    refused: dict[str, str] = field(default_factory=dict)
    hosts: OnHosts | None = None
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def seen_by(self) -> Instrument:
        """Instrument of all cutouts."""
        return self.definitions[0].seen_by

    @property
    def written_as(self) -> Instrument:
        """The same with the units of the hosts' pixels, as their set says them."""
        if self.hosts is None:
            return self.seen_by
        units, seen_by = self.hosts.band_units, self.seen_by
        return replace(seen_by, bands=tuple(replace(band, unit=units[band.name]) for band in seen_by.bands))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of a truth row."""
        return truth_columns(self.seen_by)

    def settings(self, definition: ProbeDefinition, tolerance: float | None = None) -> ProbeSettings:
        """Settings of one probe as an own finder's run has them."""
        found = settled(definition, self.n, self.seed, ProbeOptions(tolerance=tolerance))[0]
        if self.hosts is None:
            return found
        hosts = self.hosts.of(definition)
        return replace(found, n=hosts.n, hosts=hosts.used)

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """Every population of every probe."""
        if self.hosts is not None:
            return tuple(Asked(one, HOSTS_LABEL, self.hosts.of(one)) for one in self.definitions)
        return tuple(
            Asked(definition, label, definition.drawn(population, self.seed, self.n))
            for definition in self.definitions
            for label, population in definition.mode(None)[1].populations.items()
        )

    @cached_property
    def arms(self) -> dict[Drawn | OnHosts, dict[str, Arm]]:
        """Source → its arms over all probes, each once, by their steps."""
        found: dict[Drawn | OnHosts, dict[str, Arm]] = {}
        for one in self.asked:
            found.setdefault(one.source, {}).update({steps_key(arm): arm for arm in one.experiment.arms})
        return found

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units in a seeded order, so that the order of writing tells no population."""
        pieces = [(source, first) for source in self.arms for first in range(0, source.n, SYSTEMS)]
        order = np.random.default_rng([self.seed, 4711]).permutation(len(pieces))
        return tuple(Unit(number, *pieces[k]) for number, k in enumerate(order))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that the cutouts and their names depend on."""
        words = self.to_json()
        if self.hosts is not None:  # but not on where their files lie
            words["hosts"] = {**words["hosts"], "path": "", "settings": asdict(without_places(self.hosts.settings))}
        return hashlib.sha256(json.dumps([words, __version__], sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The plan as data; `from_json` reads it."""
        return {
            "definitions": [one.model_dump(mode="json") for one in self.definitions],
            "n": self.n,
            "seed": self.seed,
            "bands": list(self.bands),
            "form": self.form,
            "refused": self.refused,
            **({} if self.hosts is None else {"hosts": as_recorded(self.hosts), "inputs": self.inputs}),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ExportPlan:
        """The plan that `to_json` wrote; KeyError, TypeError or ValueError where it is none."""
        definitions = tuple(ProbeDefinition.model_validate(one) for one in record["definitions"])
        bands, refused = tuple(record["bands"]), dict(record["refused"])
        hosts = from_record(record["hosts"]) if "hosts" in record else None
        inputs = {} if hosts is None else dict(record["inputs"])
        return cls(
            definitions, int(record["n"]), int(record["seed"]), bands, str(record["form"]), refused, hosts, inputs
        )

    def name(self, source: Drawn | OnHosts, index: int, steps: str) -> str:
        """Name of a cutout: a keyed hash, so that neither it nor its rank tells system, probe or arm.

        It begins with a letter, or spreadsheets would read ``12e4567`` as a number.
        """
        words = f"{source.name}|{index}|{steps}".encode()
        key = bytes.fromhex(self.fingerprint)
        return "c" + hashlib.blake2b(words, digest_size=ID_BYTES, key=key).hexdigest()


def steps_key(arm: Arm) -> str:
    """All steps of an arm as one word; arms of two probes with the same one are the same cutouts."""
    words = [[step.model_dump(mode="json") for step in steps] for steps in (arm.steps, arm.snr_of) if steps]
    return json.dumps(words if arm.snr_of else words[0], sort_keys=True)


def plan_export(
    n: int,
    seed: int,
    probes: Sequence[str] = (),
    bands: Sequence[str] = (),
    form: str = "multi",
    instrument: Instrument | None = None,
    hosts: OnHosts | None = None,
) -> ExportPlan:
    """Settle what is exported.

    Parameters
    ----------
    n, seed
        Pairs of each population, and the seed of their scenes.
    probes
        Names or YAML files; by default all that `lensaudit.probes.run_audit` runs.
    bands
        Bands of a cutout; by default all of the instrument.
    form
        ``multi`` or ``single``, see `ExportPlan`.
    instrument
        Whose cutouts are written; None takes that of the probes.
    hosts
        Real cutouts that arcs are put into, in place of drawn scenes.

    Raises
    ------
    UsageError
        A value is unknown or out of range, the probes are of two instruments, or none can be exported.
    """
    if form not in FORMS:
        raise UsageError(f"--format '{form}' is unknown; allowed: {', '.join(FORMS)}")
    if TEXTURE in probes:
        raise UsageError(f"--probe {TEXTURE}: takes real galaxies from files, which an export does not; leave it out")
    definitions = audited_probes(probes)
    if hosts is not None:
        if instrument is not None:
            raise UsageError("--hosts and --instrument: each says whose cutouts are written; give one of them")
        definitions = [on_hosts(one, hosts) for one in definitions]
    if instrument is not None:
        definitions = [on_instrument(one, instrument) for one in definitions]
    seen_by = definitions[0].seen_by
    if other := [one.name for one in definitions if one.seen_by != seen_by]:
        raise UsageError(f"--probe {other[0]}: renders another instrument than {definitions[0].name}; export it apart")
    kept, refused = [], {}
    chosen = _bands(seen_by, bands)
    for definition in definitions:
        settled(definition, n, seed, ProbeOptions())
        check_columns(definition)
        if (reason := _why_not(definition, chosen)) or (hosts is None and (reason := why_no_scene(definition))):
            refused[definition.name] = reason
        elif hosts is not None and (reason := hosts.of(definition).why_not(definition)):
            refused[definition.name] = f"it {reason}"
        else:
            kept.append(definition)
    if not kept:
        raise UsageError(f"no probe can be exported: {next(iter(refused.values()))}")
    return ExportPlan(tuple(kept), n, seed, chosen, form, refused, hosts, {} if hosts is None else hosts.inputs)


def _bands(instrument: Instrument, bands: Sequence[str]) -> tuple[str, ...]:
    known = instrument.band_names
    for band in bands:
        if band not in known:
            raise UsageError(f"--bands: {instrument.name} has no band '{band}'; allowed: {', '.join(known)}")
    if len(set(bands)) != len(bands):
        raise UsageError(f"--bands {','.join(bands)}: a band is given twice; give each once")
    return tuple(bands) or known


def _why_not(definition: ProbeDefinition, bands: tuple[str, ...]) -> str | None:
    """Why a probe cannot be asked of a finder that sees these bands of stored cutouts."""
    if definition.colour_only and len(bands) == 1:
        return (
            f"probe {definition.name} changes colours only, which band {bands[0]} alone does not show; "
            f"name two bands or more by --bands, or another probe"
        )
    if definition.mode(None)[1].stretch is not None:
        return "its mode replaces the finder's stretch, which is out of reach outside lensaudit"
    for step in (*definition.edits.control, *definition.edits.treated):
        if step.edit in (FROM_FILE, TEXTURE):
            what = "a kernel" if step.edit == FROM_FILE else "real galaxies"
            return f"it takes {what} from a file, which an export does not"
    return None


PLACE = "c" + "00" * ID_BYTES
"""What stands in a header template where the id goes."""

WHEN = 946_684_800
"""Date of every file, 2000-01-01 UTC: in the order of writing, the arms of a system stand together."""

BLOCK = 2880


@dataclass(frozen=True)
class Piece:
    """One file of a cutout: ``(header, band)`` of its units, the band None where a unit holds no image."""

    suffix: str
    units: tuple[tuple[bytes, str | None], ...]


@dataclass(frozen=True)
class CutoutFormat:
    """How a cutout becomes files."""

    pieces: tuple[Piece, ...]
    bands: tuple[str, ...]
    n_bytes: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the manifest."""
        return ("id", *((f"file_{band}" for band in self.bands) if len(self.pieces) > 1 else ("file",)))

    def files(self, name: str) -> tuple[str, ...]:
        """File names of the cutout called `name`."""
        return tuple(f"{name}{piece.suffix}.fits" for piece in self.pieces)

    def is_whole(self, folder: Path, name: str) -> bool:
        """Whether all files of the cutout lie in `folder`; a file is whole or absent, see `lensaudit.files`."""
        return all((folder / file).is_file() for file in self.files(name))

    def write(self, folder: Path, name: str, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the images (h, w) of one cutout."""
        for piece, file in zip(self.pieces, self.files(name), strict=True):
            data = b"".join(
                header.replace(PLACE.encode(), name.encode()) + (b"" if band is None else _stored(images[band]))
                for header, band in piece.units
            )
            with replacing(folder / file) as partial:
                partial.write_bytes(data)
                os.utime(partial, (WHEN, WHEN))


def cutout_format(instrument: Instrument, bands: tuple[str, ...], form: str) -> CutoutFormat:
    """Headers and sizes of the files, made once."""
    found = [instrument.band(band) for band in bands]
    if form == "single" and len(bands) > 1:
        pieces = tuple(Piece(f"_{band.name}", ((_header(band, primary=True), band.name),)) for band in found)
    elif form == "single":
        pieces = (Piece("", ((_header(found[0], primary=True), bands[0]),)),)
    else:
        first = fits.PrimaryHDU()
        first.header["OBJECT"] = (PLACE, "id of the cutout")
        images = ((_header(band, primary=False), band.name) for band in found)
        pieces = (Piece("", ((first.header.tostring().encode("ascii"), None), *images)),)
    data = sum(-(-(band.pixels**2) * 4 // BLOCK) * BLOCK for band in found)
    return CutoutFormat(pieces, bands, data + sum(len(header) for piece in pieces for header, _ in piece.units))


def _header(band: Band, *, primary: bool) -> bytes:
    """Header of one band's image, padded to whole blocks."""
    shape = (band.pixels, band.pixels)
    empty = np.zeros(shape, dtype=">f4")
    hdu = fits.PrimaryHDU(empty) if primary else fits.ImageHDU(empty)
    header = hdu.header
    header["EXTNAME"] = band.name
    header["OBJECT"] = (PLACE, "id of the cutout")
    header["FILTER"] = band.name
    plain = band.unit == ELECTRONS_PER_S
    header["BUNIT"] = ("electron s-1" if plain else band.unit, "sky subtracted")
    header["MAGZERO"] = (band.zero_point_mag, f"[mag] AB magnitude of 1 {'electron/s' if plain else 'pixel unit'}")
    header["ZP"] = (band.zero_point_mag, "[mag] the same")
    header["PIXSCALE"] = (band.pixel_scale_arcsec, "[arcsec] side of a pixel")
    header.update(plain_wcs(shape, band.pixel_scale_arcsec).to_header())
    return str(header.tostring()).encode("ascii")


def _stored(image: NDArray[np.float32]) -> bytes:
    """Pixels as FITS holds them: big-endian, padded with zeros to whole blocks; float32 keeps every bit."""
    data = image.astype(">f4").tobytes()
    return data + b"\0" * (-len(data) % BLOCK)
