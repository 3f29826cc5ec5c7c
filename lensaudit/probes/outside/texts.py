"""The README files of an export."""

from __future__ import annotations

from lensaudit.imaging import INSTRUMENTS
from lensaudit.probes.outside.plan import ExportPlan

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
    instrument = INSTRUMENTS[plan.instrument]
    rows = [instrument.band(band) for band in plan.bands]
    table = "\n".join(
        f"    {b.name:<4} {b.pixels} x {b.pixels} pixels of {b.pixel_scale_arcsec:g} arcsec, zero point "
        f"{b.zero_point_mag:g} mag (AB)"
        for b in rows
    )
    return f"""\
{n_cutouts} cutouts of simulated galaxies, some of them strong lenses. Please score every one of them.

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
    People: p is the share of the inspectors who vote for a lens; with one inspector, 0 or 1.

    Treat them as you treat your survey's cutouts, with your usual scaling, and decide on each by itself. Many cutouts
    show the same field; comparing them with each other answers another question than the one asked.

THE FILES
    manifest.csv   one line for each cutout: its id and its file{"s" if _many(plan) else ""}, relative to this folder
    *.fits         {_layout(plan)}
                   float32, in electron/s (BUNIT), sky subtracted; MAGZERO (and ZP) is the AB magnitude of 1 electron/s,
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
