"""Probes: one thing of a scene is changed, and the score is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack, overload

from lensaudit.api.calling import Data, Watcher, as_finder, as_set, folder_for, front_door, watching
from lensaudit.finders import Finder
from lensaudit.probes import ProbeAudit, ProbeDefinition, ProbeOptions, ProbeResult, run_audit, run_probe
from lensaudit.verdicts import PAIRS


class RunOptions(TypedDict, total=False):
    """How to run a probe; what is left away is the probe's own.

    Attributes
    ----------
    mode
        Name of one of the probe's modes.
    stretch
        Stretch that replaces the finder's own in both arms.
    tolerance
        Loss of recall that is still accepted, in (0, 1).
    workers
        Processes that render.
    batch_size
        Images that the finder scores at a time.
    psf, psf_extension
        FITS file and extension of the kernel, for probes that rotate one.
    """

    mode: str
    stretch: str
    tolerance: float
    workers: int
    batch_size: int
    psf: Path | str
    psf_extension: str


Probe = str | Path | ProbeDefinition
"""Name of a built-in probe, path of a YAML file, or a definition."""


@overload
def probe(
    finder: Finder | str | Path,
    probes: Probe,
    *,
    data: Data | None = None,
    n: int = PAIRS,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[RunOptions],
) -> ProbeResult: ...


@overload
def probe(
    finder: Finder | str | Path,
    probes: list[str] | tuple[str, ...],
    *,
    data: Data | None = None,
    n: int = PAIRS,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[RunOptions],
) -> ProbeAudit: ...


@front_door
def probe(
    finder: Finder | str | Path,
    probes: Probe | list[str] | tuple[str, ...],
    *,
    data: Data | None = None,
    n: int = PAIRS,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[RunOptions],
) -> ProbeResult | ProbeAudit:
    """Change one thing of many scenes, with the same noise, and measure what that does to the score.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    probes
        One probe, by its name (``red-source``), YAML file or definition; or a list of names, corrected together:
        ``["quick"]`` for six, ``["all"]`` for all built-in ones.
    data
        For probes that edit images: the set whose lenses are edited. By default scenes are drawn.
    n
        Pairs of each population.
    seed
        Of the scenes; not one the finder was trained on.
    out
        Folder for results and page; an interrupted run there goes on. None: the result is in memory alone.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.probing.RunOptions`.

    Returns
    -------
    ProbeResult or ProbeAudit
        Findings with intervals, corrected p-values and verdicts; of a list also the ranking.

    Raises
    ------
    UsageError
        There is no such probe, it does not apply to this finder, or an option is out of range. Also a `ValueError`.
    DataError
        The finder's answer is not finite. Also a `ValueError`.

    See Also
    --------
    audit : probes, metrics, maps and the page in one.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.probe("ou66", "red-source", n=20, seed=99)
    >>> found.findings[0].n, found.definition.nature
    (20, 'population')
    """
    loaded, words = as_finder(finder), dict(options)
    lens_set = None if data is None else as_set(data).path
    kernel = Path(str(words.pop("psf"))) if "psf" in words else None
    batch = words.pop("batch_size", None)
    chosen = ProbeOptions(**words, batch=batch, lens_set=lens_set, psf=kernel)  # type: ignore[arg-type]
    with watching(progress) as watch, folder_for(out) as folder:
        if isinstance(probes, str | Path | ProbeDefinition):
            return run_probe(probes, loaded, n, seed, folder, chosen, watch)
        return run_audit(loaded, n, seed, folder, tuple(probes), chosen, watch)
