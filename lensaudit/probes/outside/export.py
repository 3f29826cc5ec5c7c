"""Writing an export: cutouts under names that tell nothing, and the key apart from them."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.files import replacing, sha256, writable_folder, write_text
from lensaudit.imaging.band import ELECTRONS_PER_S
from lensaudit.probes.collect import truth_table
from lensaudit.probes.experiment import Images, TruthRow, changed_pixels
from lensaudit.probes.outside.key import PLAN_FILE, claim, read_part, write_key, write_part
from lensaudit.probes.outside.plan import WHEN, CutoutFormat, ExportPlan, Unit, cutout_format, steps_key
from lensaudit.spread import spread

KEY_README = """\
This folder is the key of the export: it says which cutout is what.

Whoever scores the cutouts must not see it, or the scores are worth nothing. `lensaudit probe import-scores` needs it,
so do not lose it either. key.parquet is the key; the rest lets an interrupted export go on.
"""


def organiser_readme(key: str) -> str:
    """README of the export, for whoever runs the audit; `key` says where the key lies."""
    return f"""\
An audit of a lens finder that does not run inside lensaudit.

HAND OVER   the folder cutouts, whole: the FITS files, manifest.csv, and a README.txt that says what to do.
            Nothing in it tells what a cutout is for. Copy it, or pack it: file dates are made equal, but the order in
            which files were created still shows in the file system of this machine.
KEEP        {key}: the key, and this file. The seed of the export is part of the secret,
            too: whoever has lensaudit and the seed can make the export again. For a test that somebody may want to
            pass, choose a --seed that cannot be guessed.

When the scores are back:

    lensaudit probe import-scores THIS_FOLDER scores.csv --out audit --name "name of the finder"
"""


def finder_readme(plan: ExportPlan, n_cutouts: int) -> str:
    """README beside the cutouts, for whoever scores them; tells nothing of probes, arms or labels."""
    rows = [plan.written_as.band(band) for band in plan.bands]
    galaxies = "simulated galaxies" if plan.hosts is None else "galaxies"
    unit = "electron/s" if all(band.unit == ELECTRONS_PER_S for band in rows) else rows[0].unit
    table = "\n".join(
        f"    {b.name:<4} {b.pixels} x {b.pixels} pixels of {b.pixel_scale_arcsec:g} arcsec, zero point "
        f"{b.zero_point_mag:g} mag (AB)"
        for b in rows
    )
    return f"""\
{n_cutouts} cutouts of {galaxies}, some of them strong lenses. Please score every one of them.

WHAT TO DO
    Give each cutout a number p between 0 and 1: how probable it is that it shows a strong gravitational lens.
    Write them into one file, scores.csv, with these two columns and one line for each cutout:

        id,p
        c0123456789abcdef,0.972
        cfedcba9876543210,0.004

    ids are those of manifest.csv. Every cutout needs exactly one p: without one of them nothing can be said of the
    others. Send scores.csv back; the order of its lines does not matter, and further columns are ignored.

    A network: p is what its last sigmoid or softmax gives for "lens". Write all digits; do not round.
    A pipeline: any score that grows with the probability, mapped to [0, 1] so that its usual threshold is known.
    People: p is the fraction of the inspectors who vote for a lens; with one inspector, 0 or 1.

    Treat them as you treat your survey's cutouts, with your usual scaling, and decide on each by itself. Many cutouts
    show the same field; comparing them with each other answers another question than the one asked.

THE FILES
    manifest.csv   one line for each cutout: its id and its file{"s" if _many(plan) else ""}, relative to this folder
    *.fits         {_layout(plan)}
                   float32, in {unit} (BUNIT), sky subtracted; MAGZERO (and ZP) is the AB magnitude of 1 {unit},
                   PIXSCALE the side of a pixel. The coordinates (WCS) have the right scale and no meaning beyond it.
{table}

IN PYTHON
    import csv
    from astropy.io import fits

    with open("manifest.csv") as manifest, open("scores.csv", "w", newline="") as out:
        scores = csv.writer(out)
        scores.writerow(["id", "p"])
        for row in csv.DictReader(manifest):
            {_reading(plan)}
            scores.writerow([row["id"], float(my_finder(images))])
"""


def _many(plan: ExportPlan) -> bool:
    return plan.form == "single" and len(plan.bands) > 1


def _layout(plan: ExportPlan) -> str:
    if _many(plan):
        return "one file for each cutout and band, ID_BAND.fits, the image in its first unit"
    if plan.form == "single":
        return "one file for each cutout, the image in its first unit"
    return f"one file for each cutout, one extension for each band: {', '.join(plan.bands)}"


def _reading(plan: ExportPlan) -> str:
    bands = ", ".join(f'"{band}"' for band in plan.bands)
    comma = "," if len(plan.bands) == 1 else ""
    if _many(plan):
        return f'images = {{band: fits.getdata(row["file_" + band]) for band in ({bands}{comma})}}'
    if plan.form == "single":
        return f'images = {{{bands}: fits.getdata(row["file"])}}'
    return f'images = {{band: fits.getdata(row["file"], band) for band in ({bands}{comma})}}'


CUTOUTS = "cutouts"
KEY = "key"
MANIFEST = "manifest.csv"
README = "README.txt"
GB = 1e9
SPARE = 0.1
"""Fraction of the estimate that must be free beyond it: arms may be alike in the first system and differ in others."""

TOGETHER = 16
"""Arms rendered in one go: they share work, and the light that is shared takes memory."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    cutouts, key
        Folder that is handed over, and folder that is kept.
    n_cutouts, n_bytes
        Different cutouts, and the size of their files.
    plan
        What was exported.
    """

    cutouts: Path
    key: Path
    n_cutouts: int
    n_bytes: int
    plan: ExportPlan


@dataclass(frozen=True)
class Place:
    """Where the two halves of an export lie."""

    cutouts: Path
    key: Path


@dataclass(frozen=True)
class WriteUnit:
    """Makes one unit and writes its cutouts, then its rows of the key; picklable."""

    plan: ExportPlan
    place: Place

    @cached_property
    def form(self) -> CutoutFormat:
        """How cutouts are stored."""
        return cutout_format(self.plan.written_as, self.plan.bands, self.plan.form)

    def __call__(self, number: int) -> int:
        """Write unit `number`; returns it."""
        unit = self.plan.units[number]
        rows: list[dict[str, Any]] = []
        for index in unit.span:
            system = _System(self.plan, unit, index)
            names = system.names
            # Sorted: within a system, not even the order of creation tells the arm.
            for name in sorted(set(names.values())):
                steps = next(one for one in names if names[one] == name)
                self.form.write(self.place.cutouts, name, system.made[steps][0])
            rows += system.rows()
        words = ("probe", "population", "arm", "index", "id", "changed")
        columns: dict[str, Any] = {word: [row[word] for row in rows] for word in words}
        columns |= truth_table([row["truth"] for row in rows], self.plan.columns)
        write_part(self.place.key, self.plan, number, columns)
        return number


class _System:
    """One system in all its arms."""

    def __init__(self, plan: ExportPlan, unit: Unit, index: int) -> None:
        self.plan, self.unit, self.index = plan, unit, index
        arms = plan.arms[unit.source]
        self.made: dict[str, tuple[Images, TruthRow]] = {}
        for first in range(0, len(arms), TOGETHER):
            keys = list(arms)[first : first + TOGETHER]
            self.made |= zip(keys, unit.source.arms(index, tuple(arms[key] for key in keys)), strict=True)
        for images, _ in self.made.values():
            _check_finite(images, unit.source.id(index))

    @cached_property
    def names(self) -> dict[str, str]:
        """Steps → name of the cutout; arms with the same pixels, as all controls of no change, are one cutout."""
        first: dict[bytes, str] = {}
        for steps, (images, _) in self.made.items():
            first.setdefault(b"".join(images[band].tobytes() for band in self.plan.bands), steps)
        canonical = {}
        for steps, (images, _) in self.made.items():
            canonical[steps] = first[b"".join(images[band].tobytes() for band in self.plan.bands)]
        return {steps: self.plan.name(self.unit.source, self.index, one) for steps, one in canonical.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per probe, population and arm that asks for this system."""
        band = self.unit.source.fields.bands[0]
        for asked in self.plan.asked:
            if asked.source != self.unit.source:
                continue
            keys = [steps_key(arm) for arm in asked.experiment.arms]
            changed = changed_pixels(np.stack([self.made[steps][0][band][None] for steps in keys]))[:, 0]
            for arm, steps in enumerate(keys):
                yield {
                    "probe": asked.definition.name,
                    "population": asked.label,
                    "arm": arm,
                    "index": self.index,
                    "id": self.names[steps],
                    "changed": int(changed[arm]),
                    "truth": self.made[steps][1],
                }


def _check_finite(images: Images, name: str) -> None:
    for band, image in images.items():
        if not np.isfinite(image).all():
            raise DataError(f"{name}: band {band} has pixels that are not finite; correct the edit that makes them")


def export_cutouts(
    plan: ExportPlan,
    out: Path,
    key: Path | None = None,
    workers: int = 1,
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the cutouts of all arms into ``out/cutouts`` and the key into `key` (by default ``out/key``).

    The cutouts carry opaque names, one header and one date; a cutout that several probes ask for is written once. An
    interrupted export goes on with the units it lacks.

    Parameters
    ----------
    workers
        Processes that render and write.
    say
        Told how large the export will be, before anything is written.
    progress
        Told (systems done, systems in all).

    Raises
    ------
    UsageError
        `out` holds something else, the key would be handed over with the cutouts, or an edit refuses a scene.
    MachineError
        The disk has too little room, or is full.
    """
    place = _place(Path(out), key)
    if claim(place.key, plan):
        shutil.rmtree(place.cutouts)  # of a unit that was not finished; they would be handed over with the others
        writable_folder(place.cutouts)
    task = WriteUnit(plan, place)
    missing = [unit.number for unit in plan.units if not _is_done(task, unit)]
    _check_room(task, missing, say)
    write_text(place.key / README, KEY_README)
    kept = "the folder key" if key is None else f"the folder {place.key.name}, which lies elsewhere"
    write_text(Path(out) / README, organiser_readme(kept))
    _write_units(task, missing, workers, progress)
    return _finish(task)


def _place(out: Path, key: Path | None) -> Place:
    place = Place(out / CUTOUTS, out / KEY if key is None else Path(key))
    if place.cutouts.resolve() in (place.key.resolve(), *place.key.resolve().parents):
        raise UsageError(f"--key {place.key}: lies in the folder that is handed over; choose another place")
    if place.cutouts.is_dir() and any(place.cutouts.iterdir()) and not (place.key / PLAN_FILE).is_file():
        raise UsageError(f"{place.cutouts}: is not empty and there is no key to it; choose another --out")
    for folder in (place.cutouts, place.key):
        writable_folder(folder)
    return place


def _is_done(task: WriteUnit, unit: Unit) -> bool:
    table = read_part(task.place.key, task.plan, unit.number)
    return table is not None and all(
        task.form.is_whole(task.place.cutouts, name) for name in set(table.column("id").to_pylist())
    )


def _check_room(task: WriteUnit, missing: Sequence[int], say: Callable[[str], None] | None) -> None:
    """Say how large the export will be, and refuse it where the disk is too small.

    How many cutouts a system has is counted on the first of each source: which arms are the same in every pixel is not
    known before they are rendered.
    """
    plan = task.plan
    heads = {source: Unit(-1, source, 0) for source in plan.arms}
    each = {source: len(set(_System(plan, unit, 0).names.values())) for source, unit in heads.items()}
    total = sum(n * source.n for source, n in each.items())
    left = sum(each[plan.units[k].source] * len(plan.units[k].span) for k in missing)
    free = shutil.disk_usage(task.place.cutouts).free
    if say is not None:
        rest = "" if left == total else f", {left * task.form.n_bytes / GB:.2g} GB of it still to write"
        say(
            f"about {total} cutouts in {', '.join(plan.bands)}, {total * task.form.n_bytes / GB:.2g} GB{rest}; the "
            f"disk has {free / GB:.3g} GB free"
        )
    needed = left * task.form.n_bytes * (1 + SPARE)
    if needed > free:
        raise MachineError(
            f"{task.place.cutouts}: the export needs {needed / GB:.2g} GB and the disk has {free / GB:.2g} GB free; "
            "choose another --out, a smaller --n, or fewer --probe or --bands"
        )


def _write_units(
    task: WriteUnit, missing: Sequence[int], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    units = task.plan.units
    total = sum(len(unit.span) for unit in units)
    done = total - sum(len(units[number].span) for number in missing)
    if progress is not None:
        progress(done, total)
    with closing(spread(task, list(missing), workers)) as finished:
        for number in finished:
            done += len(units[number].span)
            if progress is not None:
                progress(done, total)


def _finish(task: WriteUnit) -> Exported:
    """Manifest, the finder's README, and the key last: where it lies, all it names lies too."""
    plan, place = task.plan, task.place
    ids = {name for table in _parts(task) for name in table.column("id").to_pylist()}
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(task.form.columns)
    lines.writerows((name, *task.form.files(name)) for name in sorted(ids))
    _write_dated(place.cutouts / MANIFEST, stream.getvalue())
    _write_dated(place.cutouts / README, finder_readme(plan, len(ids)))
    write_key(place.key, plan, _parts(task), sha256(place.cutouts / MANIFEST))
    return Exported(place.cutouts, place.key, len(ids), len(ids) * task.form.n_bytes, plan)


def _parts(task: WriteUnit) -> Iterator[pa.Table]:
    for unit in task.plan.units:
        table = read_part(task.place.key, task.plan, unit.number)
        assert table is not None, "every unit was written"
        yield table


def _write_dated(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
        os.utime(partial, (WHEN, WHEN))
