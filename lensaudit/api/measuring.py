"""What is measured of a finder: metrics, the selection function, and probes of one change."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack, overload

from lensaudit.api.calling import (
    AnyData,
    Data,
    Watcher,
    as_finder,
    as_pair,
    as_set,
    folder_for,
    front_door,
    of_this_set,
    watching,
)
from lensaudit.api.finders import scored
from lensaudit.api.hosts import HostOptions, asked_hosts
from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Scores
from lensaudit.imaging import load_instrument
from lensaudit.probes import ProbeAudit, ProbeDefinition, ProbeOptions, ProbeResult, run_audit, run_probe
from lensaudit.verdicts import PAIRS

if TYPE_CHECKING:
    from lensaudit.evaluation import Evaluation
    from lensaudit.evaluation.selection import SelectionFunction
    from lensaudit.realism_gate import Gate


@front_door
def evaluate(
    finder: Finder | str | Path,
    data: AnyData,
    *,
    scores: Scores | None = None,
    threshold: float | None = None,
    beta: float = 0.03,
    seed: int = 0,
    progress: bool | Watcher = False,
) -> Evaluation:
    """Measure a finder on labelled images: accuracy, recall, AUROC, completeness at FPR 1 % and more, with intervals.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set with labels, or its folder; unlabelled images are left out and counted.
    scores
        Of `score` for this finder and set, to save scoring.
    threshold
        Lowest p of a lens, in [0, 1]; by default the finder's.
    beta
        β of Fβ; 0.03 in Wilde et al. 2022.
    seed
        Of the bootstrap.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    Evaluation
        Each metric with its 95 % interval; NaN with a status where it does not exist.

    Raises
    ------
    UsageError
        `scores` are of other images, or `threshold` is out of range. Also a `ValueError`.
    DataError
        The finder cannot take the set as input. Also a `ValueError`.

    See Also
    --------
    selection_function : which lenses are found.
    compare : several finders on the same images.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.evaluate("ou66", la.simulate("euclid", n=60, seed=7))
    >>> auroc = found.metric("auroc")
    >>> bool(auroc.low <= auroc.value <= auroc.high)
    True
    """
    from lensaudit.evaluation import evaluate as measure

    if not beta >= 0:
        raise UsageError(f"beta {beta}: must be 0 or more")
    loaded, opened = as_pair(finder, data)
    p = _threshold(loaded, threshold)
    scores = of_this_set(scores, opened) or scored(loaded, opened, None, progress)
    return measure(opened.labels, scores.p_lens, scores.logit, threshold=p, beta=beta, seed=seed)


def _threshold(finder: Finder, given: float | None) -> float:
    if given is not None and not 0 <= given <= 1:
        raise UsageError(f"threshold {given}: must lie between 0 and 1")
    return finder.recipe.threshold if given is None else given


@front_door
def selection_function(
    finder: Finder | str | Path,
    data: Data,
    *,
    scores: Scores | None = None,
    threshold: float | None = None,
    fpr: float | None = None,
    seed: int = 1,
    progress: bool | Watcher = False,
) -> SelectionFunction:
    """Measure which lenses a finder selects: recall over two parameters, medians, and what drives it.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A simulated set, or its folder; θ_E and sizes in arcsec, magnitudes AB.
    scores
        Of `score` for this finder and set, to save scoring.
    threshold
        Lowest p of a lens, in [0, 1]; by default the finder's.
    fpr
        In its place: the highest false-positive rate among the set's non-lenses, in [0, 1].
    seed
        Of the bootstrap and the folds.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    SelectionFunction
        Recall maps, medians of selected lenses at several thresholds, and a logistic model of what drives selection.

    Raises
    ------
    UsageError
        Both thresholds are given, or one is out of range. Also a `ValueError`.
    DataError
        The set has no lens that could be scored, or no truth. Also a `ValueError`.

    See Also
    --------
    probe : what one change of the same lenses does to the score.

    References
    ----------
    Herle A., O'Riordan C. M., Vegetti S., 2024, MNRAS 534, 1093.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.selection_function("ou66", la.simulate("euclid", n=100, seed=7), fpr=0.1)
    >>> found.cut.threshold.words
    'FPR ≤ 10 %'
    """
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth
    from lensaudit.evaluation.selection import selection_function as measure

    if threshold is not None and fpr is not None:
        raise UsageError("threshold and fpr: give one of them; each fixes the other")
    require_truth(as_set(data))  # before minutes of scoring
    loaded, opened = as_pair(finder, data)
    asked = Threshold(_threshold(loaded, threshold)) if fpr is None else Threshold(fpr, "fpr")
    scores = of_this_set(scores, opened) or scored(loaded, opened, None, progress)
    return measure(scores, opened, (asked, *LADDER), seed=seed)


@front_door
def realism(
    finder: Finder | str | Path,
    real: Data,
    simulated: Data,
    *,
    label: Literal["lens", "non-lens", "any"] | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
) -> Gate:
    """Measure how far simulated cutouts stand from real ones: by image statistics and by the finder's last layer.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    real, simulated
        Two sets that it takes as input, or their folders.
    label
        Compare these alone; by default the label of which the smaller set has most, all where one has no labels.
    seed
        Of folds, subsamples and permutations.
    out
        Folder for numbers, table and page; None: the result is in memory alone.
    progress
        Whether to show bars, or a function called with (stage, done, total).

    Returns
    -------
    Gate
        AUROC of real against simulated with its 95 % interval, what differs most, and a distance and a flag of every
        cutout.

    Raises
    ------
    UsageError
        Both are one set, or there is no such label. Also a `ValueError`.
    DataError
        The finder cannot take a set as input, or fewer than three cutouts of one can be compared. Also a `ValueError`.

    See Also
    --------
    audit : takes `real`, or the folder `out`, as ``realism=`` and says beside its probes how far they carry over.

    Examples
    --------
    >>> import lensaudit as la
    >>> one, other = la.simulate("euclid", n=40, seed=7), la.simulate("euclid", n=40, seed=8)
    >>> found = la.realism("ou66", one, other, label="any")
    >>> found.record.layer.n_real, len(found.cutouts.outside)
    (40, 80)
    """
    from lensaudit.files import working_in
    from lensaudit.realism_gate import RealismOptions, measure_realism
    from lensaudit.realism_gate.measure import refuse_unlike
    from lensaudit.realism_gate.page import KEPT

    options = RealismOptions(label or "", seed)
    sets = as_set(real), as_set(simulated)
    loaded = as_finder(finder)
    refuse_unlike(loaded, *sets)
    for one in sets:
        as_pair(loaded, one)  # what is to be known of its pixels
    with nullcontext() if out is None else working_in(Path(out)), watching(progress) as watch:
        gate = measure_realism(loaded, *sets, options, watch, None if out is None else Path(out) / KEPT)
        if out is not None:
            gate.write(out)
    return gate


class RunOptions(HostOptions, total=False):
    """How to run a probe; what is left away is the probe's own. Of hosts see `lensaudit.api.hosts.HostOptions`.

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
    instrument
        Whose cutouts are drawn: a name, or the path of a YAML file; by default what fits the finder.
    psf_extension
        FITS extension of the kernel, for probes that rotate one.
    """

    mode: str
    stretch: str
    tolerance: float
    workers: int
    batch_size: int
    instrument: str | Path
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
        See `lensaudit.api.measuring.RunOptions`.

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
    asked, galaxies = asked_hosts(words)
    kernel = Path(str(words.pop("psf"))) if "psf" in words else None
    batch = words.pop("batch_size", None)
    words |= {"instrument": load_instrument(str(words["instrument"]))} if "instrument" in words else {}
    workers = words.get("workers", 1)
    assert isinstance(workers, int)
    on = None if asked is None else asked.chosen(n, seed, workers)
    chosen = ProbeOptions(**words, batch=batch, lens_set=lens_set, hosts=on, sources=galaxies, psf=kernel)  # type: ignore[arg-type]
    with watching(progress) as watch, folder_for(out) as folder:
        if isinstance(probes, str | Path | ProbeDefinition):
            return run_probe(probes, loaded, n, seed, folder, chosen, watch)
        return run_audit(loaded, n, seed, folder, tuple(probes), chosen, watch)
