"""Lens sets: simulated, or taken in from FITS cutouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from lensaudit.api.calling import Watcher, counting, front_door, kept_with, temporary_folder, warn, watching
from lensaudit.errors import UsageError
from lensaudit.lensset import LensSet, simulation

if TYPE_CHECKING:
    from lensaudit.imaging import Instrument
    from lensaudit.lensset.ingest import PixelPolicy, Plan


class SimulateOptions(TypedDict, total=False):
    """What else may be said of the scenes.

    Attributes
    ----------
    redden
        Bounds of a strength drawn for each scene, by which the colours of its arcs, and of what passes for them in
        non-lenses, move to the lens galaxy's: (0, 1.5) from those drawn to half as far beyond it again.
    """

    redden: tuple[float, float]


@front_door
def simulate(
    instrument: str | Path | Instrument = "euclid",
    n: int = 200,
    *,
    population: str | None = None,
    seed: int = 1,
    out: Path | str | None = None,
    workers: int = 1,
    progress: bool | Watcher = False,
    **options: Unpack[SimulateOptions],
) -> LensSet:
    """Simulate cutouts of lenses and of galaxies that look like them, with the truth beside them.

    Parameters
    ----------
    instrument
        A name (``euclid``: VIS at 0.1″ per pixel; Y, J, H at 0.3″; 20″ wide; ``lensaudit instruments list`` shows
        them all), the path of a YAML file, or an instrument, for instance `lensaudit.lensset.like.instrument_like`'s.
    n
        Number of systems.
    population
        What is drawn, a name in `lensaudit.scenes.POPULATIONS`; by default the instrument's own, half of it lenses.
    seed
        System i depends on (population, seed, i) alone.
    out
        Folder of the set; an interrupted run there goes on. None: a folder that is removed with the set.
    workers
        Number of processes; the set is the same whatever their number.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.sets.SimulateOptions`.

    Returns
    -------
    LensSet
        Images in the instrument's unit (Euclid's: electron / s), labels, lensed light, its mask, and a catalogue with
        every drawn parameter.

    Raises
    ------
    UsageError
        A name, `n` or `seed` is wrong, or `out` holds another set. Also a `ValueError`.
    MachineError
        The disk is full, or a worker died. Also an `OSError`.

    See Also
    --------
    ingest : a set from your own cutouts.

    Examples
    --------
    >>> import lensaudit as la
    >>> lenses = la.simulate("euclid", n=4, seed=7)
    >>> lenses.bands, lenses.images("VIS", [0]).shape
    (('VIS', 'Y', 'J', 'H'), (1, 200, 200))
    """
    called = getattr(instrument, "name", None) or Path(str(instrument)).stem
    where = temporary_folder(f"{called}-{n}-seed-{seed}") if out is None else Path(out)
    bounds = options.get("redden")
    if bounds is not None and len(bounds) != 2:
        raise UsageError(f"--redden must be two strengths, (low, high), not {len(bounds)}")
    drawn = (population or "") if bounds is None else simulation.Reddened(population or "", *bounds)
    with watching(progress) as watch:
        made = simulation.simulate(instrument, drawn, n, seed, where, workers, counting(watch, "simulating"))
    return made if out is not None else kept_with(made, where)


class IngestOptions(TypedDict, total=False):
    """What may be said of cutouts that their headers do not say.

    Attributes
    ----------
    label
        ``lens``, ``non-lens`` or ``unknown`` (the default), for all of them.
    catalogue
        Table with a column ``id`` and, perhaps, labels: CSV, ECSV, FITS, VOTable or Parquet.
    label_rule
        Of the layout ``blf2``: ``wilde`` (the default) or ``challenge``.
    duplicate
        Band → bands that get the same image.
    instrument
        Name kept in the set. Of a known instrument, or a YAML file: its pixel scales, zero points and filters stand in
        where neither headers nor options say them.
    nan
        What becomes of NaN pixels: ``fail`` (the default), ``zero``, ``median`` or ``keep``.
    masked_values, masked
        Pixel values that mark masked pixels, and what becomes of those.
    size_arcsec, size_pixels
        Side of the central square that is kept, in arcsec, or in pixels by band (``*``: every other band).
    pixel_scale
        Band (or ``*``) → arcsec per pixel; wins over the header.
    zero_point
        Band (or ``*``) → AB magnitude of one pixel unit; wins over the header.
    psf, rms, variance, weight
        Of the layout ``fits``: band → pattern of its point-spread functions, and of its noise as standard deviations,
        variances or inverse variances; without ``*`` one for the whole set, ``"[5]"`` an extension of the image's file.
    mask
        The same of masks of bad pixels.
    electrons_per_unit
        Band (or ``*``) → electrons of one pixel unit, gain × exposure; wins over the header.
    filters
        Band → name of its filter in speclite.
    mask_bits
        Bits of an integer mask that mark bad pixels; without them, of a FITS mask of 0 and 1, the ones.
    images_only
        Whether PSFs and noise that ``euclid-q1`` and ``npz`` find by themselves are left out.
    """

    label: str
    catalogue: Path | str
    label_rule: str
    duplicate: Mapping[str, Sequence[str]]
    instrument: str
    nan: str
    masked_values: Sequence[float]
    masked: str
    size_arcsec: float
    size_pixels: Mapping[str, int]
    pixel_scale: Mapping[str, float]
    zero_point: Mapping[str, float]
    psf: Mapping[str, str]
    rms: Mapping[str, str]
    variance: Mapping[str, str]
    weight: Mapping[str, str]
    mask: Mapping[str, str]
    electrons_per_unit: Mapping[str, float]
    filters: Mapping[str, str]
    mask_bits: Sequence[int]
    images_only: bool


LAYOUTS = ("fits", "euclid-q1", "npz", "blf1", "blf2", "cutouts")


@front_door
def ingest(
    path: Path | str,
    bands: Mapping[str, str] | Sequence[str] = (),
    *,
    layout: str = "fits",
    out: Path | str | None = None,
    skip_bad: bool = False,
    workers: int = 1,
    progress: bool | Watcher = False,
    **options: Unpack[IngestOptions],
) -> LensSet:
    """Take FITS cutouts, ``.npz`` files of plain arrays, or any container with its declaration, into a lens set.

    Parameters
    ----------
    path
        Folder of the cutouts, or one file; or the YAML that declares them.
    bands
        Layout ``fits``: band → pattern of its files below `path`, whose ``*`` is the id, with the extension and the
        plane of a cube in brackets: ``{"VIS": "*_vis.fits", "J": "*_nisp.fits[1]"}``. Other layouts: a choice of bands;
        all by default.
    layout
        ``fits``, ``euclid-q1`` (multi-extension cutouts with PSF and RMS), ``npz`` (images (n, bands, rows, columns),
        perhaps ``variance``, ``psfs``, ``mask``, ``bands`` and ``ids``), ``blf1`` or ``blf2`` (Bologna challenges), or
        ``cutouts``: what a YAML declares, whose name at `path` says it.
    out
        Folder of the set; an interrupted run there goes on. None: a folder that is removed with the set.
    skip_bad
        Leave out cutouts that cannot be used; the header says which and why. By default the first one is an error.
    workers
        Number of processes.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.sets.IngestOptions`.

    Returns
    -------
    LensSet
        The set; what was done to coordinates and zero points is said by warnings.

    Raises
    ------
    UsageError
        The layout or an option is wrong. Also a `ValueError`; a missing folder also a `FileNotFoundError`.
    DataError
        A file is truncated, or a band is missing, constant, of another size, or has NaN. Also a `ValueError`.

    See Also
    --------
    simulate : a set with known truth.

    Examples
    --------
    Every pixel of one band, from images written here:

    >>> import numpy as np, tempfile, lensaudit as la
    >>> from astropy.io import fits
    >>> folder = tempfile.mkdtemp()
    >>> for name in "ab":
    ...     pixels = np.random.default_rng(1).normal(size=(40, 40)).astype("float32")
    ...     fits.writeto(f"{folder}/{name}_vis.fits", pixels)
    >>> mine = la.ingest(folder, {"VIS": "*_vis.fits"}, pixel_scale={"*": 0.1}, label="lens")
    >>> mine.ids, mine.labels.tolist()
    (['a', 'b'], [1, 1])
    """
    from lensaudit.lensset import ingest as room
    from lensaudit.lensset.containers import is_declaration
    from lensaudit.lensset.containers.ingesting import ingest_cutouts

    if layout not in LAYOUTS:
        raise UsageError(f"layout '{layout}' is not known; allowed: {', '.join(LAYOUTS)}")
    declared = layout == "cutouts" or is_declaration(Path(path))
    if declared and (bands or skip_bad or options.keys() - {"nan"}):
        raise UsageError(f"{path}: says by itself what the cutouts are; give nothing but nan, out and workers")
    plan = None if declared else _plan(Path(path), bands, layout, options)
    where = temporary_folder(Path(path).stem or layout) if out is None else Path(out)
    with watching(progress) as watch:
        told = counting(watch, "ingesting")
        if plan is None:
            made = ingest_cutouts(path, where, nan=options.get("nan", "fail"), workers=workers, progress=told)
        else:
            made = room.ingest(plan, where, workers=workers, skip_bad=skip_bad, progress=told)
    for line in (*room.remarks(made), *room.skipped_lines(made)):
        warn(line)
    return made if out is not None else kept_with(made, where)


def _plan(path: Path, bands: Mapping[str, str] | Sequence[str], layout: str, options: IngestOptions) -> Plan:
    from lensaudit.lensset.ingest import parse_band, plan_blf1, plan_blf2, plan_euclid_q1, plan_fits, plan_npz

    catalogue = Path(options["catalogue"]) if "catalogue" in options else None
    label, policy = options.get("label", "unknown"), _policy(options)
    if layout == "fits":
        if not isinstance(bands, Mapping):
            raise UsageError("bands says where the images of each band lie; give {'VIS': '*_vis.fits'}")
        none: Mapping[str, str] = {}
        given = {
            "psf": options.get("psf", none),
            "rms": options.get("rms", none),
            "variance": options.get("variance", none),
            "weight": options.get("weight", none),
            "mask": options.get("mask", none),
        }
        beside = [parse_band(f"{band}={one}", what) for what, by in given.items() for band, one in by.items()]
        return plan_fits(
            path,
            [*(parse_band(f"{band}={pattern}") for band, pattern in bands.items()), *beside],
            duplicate=options.get("duplicate"),
            label=label,
            catalogue=catalogue,
            instrument=options.get("instrument", "unknown"),
            policy=policy,
        )
    chosen = list(bands)
    if layout == "euclid-q1":
        return plan_euclid_q1(path, label=label, catalogue=catalogue, bands=chosen, policy=policy)
    if layout == "npz":
        name = options.get("instrument", "unknown")
        return plan_npz([path], bands=chosen, label=label, catalogue=catalogue, instrument=name, policy=policy)
    if layout == "blf1":
        return plan_blf1(path, catalogue=catalogue, bands=chosen, policy=policy)
    rule = options.get("label_rule", "wilde")
    return plan_blf2(path, catalogue=catalogue, rule=rule, bands=chosen, policy=policy)


def _policy(options: IngestOptions) -> PixelPolicy:
    from lensaudit.lensset.ingest import PixelPolicy, parse_filters

    return PixelPolicy(
        nan=options.get("nan", "fail"),
        masked_values=tuple(options.get("masked_values", ())),
        masked=options.get("masked", "zero"),
        size_arcsec=options.get("size_arcsec"),
        size_pixels=options.get("size_pixels", {}),
        given_scale=options.get("pixel_scale", {}),
        given_zero_point=options.get("zero_point", {}),
        given_electrons=options.get("electrons_per_unit", {}),
        given_filter=parse_filters([f"{band}={name}" for band, name in options.get("filters", {}).items()]),
        bad_bits=tuple(options.get("mask_bits", ())),
        images_only=options.get("images_only", False),
    )
