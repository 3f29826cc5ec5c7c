"""Real galaxies as hosts: cut out of large images, simulated arcs put into them, probes asked on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from lensaudit.api.calling import Data, Watcher, as_set, front_door, kept_with, temporary_folder, watching
from lensaudit.errors import UsageError
from lensaudit.injection.settings import POPULATIONS, InjectionSettings
from lensaudit.lensset import LensSet, open_cutouts
from lensaudit.probes import HostsAsked


class CutOptions(TypedDict, total=False):
    """Which galaxies are cut out.

    Attributes
    ----------
    detect_in
        Band where they are looked for; by default the one of the narrowest point-spread function.
    min_snr, min_pixels, max_mag
        Least S/N of a galaxy (20), least number of its pixels above 2 σ (20), and its faintest magnitude (any).
    apart_arcsec
        Galaxies with a brighter object nearer than this (1.5) are left out.
    edge_arcsec
        Least distance from the edge of the image; below half a side, which is the default, cutouts are filled by the
        mirrored image.
    centre_arcsec
        Radius round the middle of each image that is excluded (0).
    exclude, exclude_arcsec
        Table of positions that are excluded, with columns ``ra`` and ``dec`` in degrees, and their radius (5).
    paint_out
        Replace what is excluded by blank sky of the image; else cutouts that show it are left out.
    stars
        Keep what is as narrow as the point-spread function.
    label
        ``lens``, ``non-lens`` or ``unknown`` (the default), of all cutouts.
    """

    detect_in: str
    min_snr: float
    min_pixels: int
    max_mag: float
    apart_arcsec: float
    edge_arcsec: float
    centre_arcsec: float
    exclude: Path | str
    exclude_arcsec: float
    paint_out: bool
    stars: bool
    label: str


@front_door
def cut(
    images: Data | Sequence[Data],
    side: int,
    *,
    out: Path | str | None = None,
    workers: int = 1,
    progress: bool | Watcher = False,
    **options: Unpack[CutOptions],
) -> LensSet:
    """Cut the galaxies out of large images, each into the middle of a cutout, as hosts for `inject` and `probe`.

    Parameters
    ----------
    images
        Lens set of large images with PSFs and zero points, or several of the same bands, whose sizes may differ.
    side
        Pixels along a side of a cutout.
    out
        Folder of the set; an interrupted run there goes on. None: a folder that is removed with the set.
    workers
        Number of processes; the set is the same whatever their number.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.hosts.CutOptions`.

    Returns
    -------
    LensSet
        One system per galaxy, with its image's PSF, its noise and sky coordinates, and columns of where it lay, its
        magnitudes, its half-light radius, and its next brighter neighbour.

    Raises
    ------
    UsageError
        An option is wrong, or `out` holds another set. Also a `ValueError`.
    DataError
        The images lack a PSF or a zero point, or hold no such galaxy. Also a `ValueError`.

    See Also
    --------
    ingest : a set of large images. inject : arcs in what was cut out.

    Examples
    --------
    Two galaxies of an image that is made here:

    >>> import numpy as np, tempfile, lensaudit as la
    >>> folder = tempfile.mkdtemp()
    >>> x, y = np.meshgrid(np.arange(300), np.arange(300))
    >>> image = np.random.default_rng(1).normal(0, 0.1, (1, 1, 300, 300))
    >>> for place in (100, 210):
    ...     image[0, 0] += 20 * np.exp(-((x - place) ** 2 + (y - place) ** 2) / 40)
    >>> psf = np.exp(-np.hypot(*np.mgrid[-10:11, -10:11]) ** 2 / 4)[None, None]
    >>> arrays = {"images": image, "variance": 0 * image + 0.01, "psfs": psf / psf.sum(), "bands": ["VIS"]}
    >>> np.savez(f"{folder}/sky.npz", **arrays)
    >>> sky = la.ingest(f"{folder}/sky.npz", layout="npz", pixel_scale={"*": 0.1}, zero_point={"*": 24.6})
    >>> hosts = la.cut(sky, 64)
    >>> len(hosts), hosts.images("VIS", [0]).shape, hosts.column("image_x_pixel").round().tolist()
    (2, (1, 64, 64), [100.0, 210.0])
    """
    from lensaudit import injection

    sets = [images] if isinstance(images, Data) else list(images)
    words: dict[str, Any] = dict(options)
    if "exclude" in words:
        words["exclude"] = injection.read_positions(Path(words["exclude"]))
    settings = injection.CutSettings(side, **words)
    where = temporary_folder("cut") if out is None else Path(out)
    with watching(progress) as watch:
        made = injection.cut(sets, where, settings, workers, watch)
    return made if out is not None else kept_with(made, where)


class InjectOptions(TypedDict, total=False):
    """What may be said of hosts and of what is put into them.

    Attributes
    ----------
    arms
        Written of each host: ``host`` (as it is), ``lens`` (with an arc); by default both.
    theta_e
        Column of Einstein radii in arcsec; ``faber-jackson`` (the default): from magnitude and redshift; ``prior``.
    sigma_v, redshift, lens_column
        Columns of velocity dispersions in km/s, of redshifts, and of a flag that is above 0 for lenses.
    zero_point, electrons_per_unit, filters, psf
        Band (or ``*``) → AB magnitude of one pixel unit, electrons of it, filter, and ``FILE[EXT]`` of a PSF; wins over
        the set.
    reuse_hosts
        Take hosts more than once where `n` is more than there are.
    any_host
        Keep stars, empty middles and known lenses as hosts.
    """

    arms: Sequence[str]
    theta_e: str
    sigma_v: str
    redshift: str
    lens_column: str
    zero_point: Mapping[str, float]
    electrons_per_unit: Mapping[str, float]
    filters: Mapping[str, str]
    psf: Mapping[str, str]
    reuse_hosts: bool
    any_host: bool


@front_door
def inject(
    hosts: Data,
    n: int | None = None,
    *,
    sources: str | Path | Sequence[str | Path] = "populations",
    seed: int = 1,
    out: Path | str | None = None,
    workers: int = 1,
    progress: bool | Watcher = False,
    **options: Unpack[InjectOptions],
) -> LensSet:
    """Put simulated arcs into real cutouts, seen through each host's own PSF.

    Parameters
    ----------
    hosts
        Lens set of real cutouts with PSFs and zero points.
    n
        Hosts to take, each once; None: every one that can be used.
    sources
        ``populations``; a catalogue of GalSim's real galaxies, or two of the same galaxies in two HST bands; or a
        folder of FITS stamps with their PSF.
    seed
        System i depends on (seed, i) and its host alone.
    out
        Folder of the set; an interrupted run there goes on. None: a folder that is removed with the set.
    workers
        Number of processes; the set is the same whatever their number.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.hosts.InjectOptions`.

    Returns
    -------
    LensSet
        Of each host the cutout as it is (label 0) and with an arc (label 1), with truth, scenes, and columns that say
        what was assumed. Pixels the arc does not reach are the host's bit for bit.

    Raises
    ------
    UsageError
        An option is wrong, or there are too few hosts. Also a `ValueError`.
    DataError
        The hosts lack a PSF or a zero point, or something of them cannot be used. Also a `ValueError`.

    See Also
    --------
    ingest : a set from your own cutouts.

    Examples
    --------
    >>> import lensaudit as la
    >>> hosts = la.simulate("vis101", n=4, seed=7)  # or your own, from la.ingest
    >>> injected = la.inject(hosts)
    >>> injected.labels.tolist(), injected.has_psf("VIS")
    ([0, 1, 0, 1, 0, 1], True)
    """
    from lensaudit import injection

    given = (sources,) if isinstance(sources, str | Path) else tuple(sources)
    arms = tuple(options.pop("arms", injection.ARMS))
    renamed = {"zero_point": "zero_point_mag", "reuse_hosts": "reuse"}
    settings = injection.InjectionSettings(
        seed=seed,
        n=n,
        sources=tuple(map(str, given)),
        **{renamed.get(name, name): value for name, value in options.items()},  # type: ignore[arg-type]
    )
    opened = hosts if isinstance(hosts, LensSet) else open_cutouts(hosts)
    where = temporary_folder(f"injected-{opened.path.name}") if out is None else Path(out)
    with watching(progress) as watch:
        made = injection.inject(opened, where, settings, arms, workers, watch)
    return made if out is not None else kept_with(made, where)


class HostOptions(TypedDict, total=False):
    """Real cutouts that probes are asked on, and how arcs are put into them.

    Attributes
    ----------
    hosts
        Real cutouts with point-spread functions and zero points, a set or its folder: arcs are put into them and
        edited, in place of drawn scenes. Fewer than `n` make as many pairs as there are hosts.
    reuse_hosts
        Take hosts more than once where there are fewer than `n`.
    psf_of_arc
        Let edits of the point-spread function act on the arc alone.
    sources
        Of the arcs in hosts: ``populations``, or paths as `inject` takes them. The first path is also that of the probe
        ``source-texture``, which needs no hosts: a folder of stamps or a catalogue.
    theta_e, sigma_v, redshift, lens_column
        Columns of the hosts' catalogue, as `inject` takes them.
    psf
        Band (``"*"`` for all) → FITS file, ``FILE`` or ``FILE[EXTENSION]``, of the PSF of all hosts; wins over the set.
        Of the probe ``psf-rotation-real`` a path instead: the kernel that it turns.
    zero_point, electrons_per_unit, filters
        Band → value for all hosts, as `inject` takes them.
    any_host
        Keep stars, empty middles and known lenses as hosts.
    """

    hosts: Data
    reuse_hosts: bool
    psf_of_arc: bool
    sources: Path | str | Sequence[Path | str]
    theta_e: str
    sigma_v: str
    redshift: str
    lens_column: str
    psf: Path | str | Mapping[str, str]
    zero_point: Mapping[str, float]
    electrons_per_unit: Mapping[str, float]
    filters: Mapping[str, str]
    any_host: bool


def asked_hosts(words: dict[str, Any]) -> tuple[HostsAsked | None, Path | None]:
    """The hosts with the options that are for them alone, and the galaxies of source-texture, taken out of `words`.

    Raises
    ------
    UsageError
        Such an option is given without hosts.
    """
    ours = [name for name in HostOptions.__annotations__ if name != "psf" or isinstance(words.get(name), Mapping)]
    own = {name: words.pop(name) for name in ours if name in words}
    hosts, sources = own.pop("hosts", None), own.pop("sources", POPULATIONS)
    named = tuple(str(one) for one in ((sources,) if isinstance(sources, str | Path) else sources))
    galaxies = next((Path(one) for one in named if one != POPULATIONS), None)
    if hosts is None:
        if own:
            raise UsageError(f"{next(iter(own))} is for arcs in real cutouts; give these as hosts=…")
        return None, galaxies
    reuse, psf_of_arc = own.pop("reuse_hosts", False), own.pop("psf_of_arc", False)
    renamed = {"zero_point": "zero_point_mag"}
    settings = InjectionSettings(sources=named, **{renamed.get(name, name): value for name, value in own.items()})
    return HostsAsked(as_set(hosts).path, reuse, psf_of_arc, settings), galaxies
