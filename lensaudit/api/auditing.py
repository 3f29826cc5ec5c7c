"""Whole audits, comparisons, and their pages."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lensaudit.api.calling import (
    Data,
    Watcher,
    as_finder,
    as_pair,
    as_set,
    as_sets,
    front_door,
    kept_with,
    temporary_folder,
    watching,
)
from lensaudit.api.hosts import HostOptions, asked_hosts
from lensaudit.comparing import CompareOptions, Entrant, entrant_of, render_comparison
from lensaudit.comparing import Comparison as ComparisonRecord
from lensaudit.errors import UsageError
from lensaudit.finders import Finder
from lensaudit.records import Facts, Shown, page_frame

if TYPE_CHECKING:
    from lensaudit.report.schema import Audit as AuditRecord


class AuditOptions(HostOptions, total=False):
    """What an audit measures; see `lensaudit.report.AuditOptions` for each and what is taken by default.

    On `hosts`, real cutouts, the probes are asked too; of them see `lensaudit.api.hosts.HostOptions`.
    """

    seed: int
    batch_size: int
    beta: float
    occlusion_n: int
    maps_n: int
    judge_n: int
    judged: Path | str
    kernels: bool
    embed: bool
    dream_steps: int
    probe_n: int
    probes: Sequence[str]
    certificate: Path | str
    tolerance: float
    workers: int
    realism: Path | str
    known: Sequence[Path | str]
    instrument: str | Path


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Shown):
    """An audit: its folder, and what ``audit.json`` there says. A notebook shows its page.

    Attributes
    ----------
    folder
        With ``audit.json``, ``scores.parquet``, arrays and ``index.html``; where no ``out`` was given it is removed
        with the audit, see `write`.
    """

    folder: Path

    @cached_property
    def record(self) -> AuditRecord:
        """All that was measured and concluded, as read from ``audit.json``; see `lensaudit.report.schema.Audit`."""
        from lensaudit.report.audit_file import read_audit

        return read_audit(self.folder)

    @property
    def content(self) -> dict[str, Any]:
        """The same as plain values; its blocks are listed in `lensaudit.report.audit_file`."""
        return self.record.to_json()

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        return self.record.verdict.headline

    @property
    def sentences(self) -> tuple[str, ...]:
        """What stands below it."""
        return self.record.verdict.sentences

    @property
    def page(self) -> Path:
        """``index.html``, one file that asks the network for nothing."""
        return self.folder / "index.html"

    def write(self, out: Path | str) -> Path:
        """Copy everything into the new folder `out`; returns the path of its page.

        Raises
        ------
        UsageError
            There is something at `out` already.
        """
        return _copied(self.folder, out) / self.page.name

    def _facts(self) -> Facts:
        return {"verdict": self.headline}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + page_frame(self.page)


def _copied(folder: Path, out: Path | str) -> Path:
    if Path(out).exists():
        raise UsageError(f"{out}: is there already; choose another folder")
    shutil.copytree(folder, out)
    return Path(out)


@front_door
def audit(
    finder: Finder | str | Path,
    data: Data,
    *,
    out: Path | str | None = None,
    refit: bool = False,
    progress: bool | Watcher = False,
    **options: Unpack[AuditOptions],
) -> Audit:
    """Audit a finder on a set: metrics, selection function, probes, explanations, findings, and one page.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set, or its folder; labels and truth may be missing, the audit then says so.
    out
        Folder of the audit; an interrupted run there goes on. None: a folder that is removed with the result.
    refit
        Take the statistics of the finder's stretch from this set: its pixels have another unit.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.auditing.AuditOptions`; ``probes=["quick"]`` and a small ``probe_n`` make it short.

    Returns
    -------
    Audit
        A notebook shows its page.

    Raises
    ------
    UsageError
        `out` holds another audit, or there is no such probe. Also a `ValueError`.
    DataError
        The set lacks a band or the field of view that the finder needs. Also a `ValueError`.

    See Also
    --------
    render_report : draw the page of an audit again.
    compare : several finders on the same images.

    Examples
    --------
    >>> import lensaudit as la
    >>> lenses = la.simulate("euclid", n=40, seed=7)
    >>> short = dict(probe_n=0, occlusion_n=0, maps_n=0, judge_n=0, dream_steps=0, kernels=False, embed=False)
    >>> found = la.audit("ou66", lenses, **short)
    >>> found.page.name, len(found.content["performance"]["metrics"]) > 5
    ('index.html', True)
    """
    from lensaudit.imaging import load_instrument
    from lensaudit.report import AuditOptions as Settings
    from lensaudit.report import build_audit, render_report

    words: dict[str, Any] = dict(options)
    on, galaxies = asked_hosts(words)
    words |= {"probes": tuple(words["probes"])} if "probes" in words else {}
    words |= {name: Path(words[name]) for name in ("certificate", "realism", "judged") if name in words}
    words |= {"known": tuple(map(Path, words["known"]))} if "known" in words else {}
    words |= {"batch": words.pop("batch_size")} if "batch_size" in words else {}
    words |= {"instrument": load_instrument(words["instrument"])} if "instrument" in words else {}
    settings = Settings(hosts=on, sources=galaxies, **words)
    loaded, _ = as_pair(finder, opened := as_set(data), refit)
    folder = temporary_folder("audit") if out is None else Path(out)
    made = Audit(folder) if out is not None else kept_with(Audit(folder), folder)
    with watching(progress) as watch:
        build_audit(loaded, opened, folder, settings, watch)
    render_report(folder)
    return made


@front_door
def render_report(audit: Audit | Path | str) -> Path:
    """Draw the page of an audit again; needs no torch.

    Parameters
    ----------
    audit
        An audit, or its folder; one of an earlier version will do.

    Returns
    -------
    Path
        Of ``index.html`` in that folder.

    Raises
    ------
    NoSuchFile
        The folder holds no ``audit.json``. Also a `FileNotFoundError`.
    DataError
        The audit lacks a block or a field. Also a `ValueError`.

    See Also
    --------
    audit : measure and draw.

    Examples
    --------
    >>> import lensaudit as la
    >>> la.render_report("no/such/audit")
    Traceback (most recent call last):
    ...
    lensaudit.errors.NoSuchFile: no/such/audit: holds no audit.json; name a folder that la.audit(…, out=…) wrote
    """
    from lensaudit.report import render_report as render

    return render(audit.folder if isinstance(audit, Audit) else Path(audit))


class ComparisonOptions(HostOptions, total=False):
    """What is compared; see `lensaudit.comparing.CompareOptions` for each.

    Of `hosts`, on which the probes are asked in place of drawn scenes, see `lensaudit.api.hosts.HostOptions`. The
    `baseline` is an earlier finder, or what `load_finder` takes, or the label of one of the finders.
    """

    seed: int
    n: int
    batch_size: int
    probes: Sequence[str]
    probe_n: int
    judge_n: int
    methods: Sequence[str]
    speed: bool
    workers: int
    refit: bool
    instrument: str | Path
    baseline: Finder | str | Path
    tolerance: float
    auroc_tolerance: float
    fpr: float
    by: Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """A comparison: its folder, and what ``compare.json`` there says. A notebook shows its page.

    Attributes
    ----------
    folder
        With ``compare.json`` and ``compare.html``; where no ``out`` was given it is removed with the comparison.
    """

    folder: Path

    @cached_property
    def record(self) -> ComparisonRecord:
        """All that was measured; see `lensaudit.comparing.Comparison`."""
        return ComparisonRecord.read(self.folder)

    @property
    def content(self) -> dict[str, Any]:
        """What ``compare.json`` holds, as plain values; `record` is the same in types."""
        return self.record.to_json()

    @property
    def regressions(self) -> list[str]:
        """Where a finder is worse than the baseline, one sentence each, the gravest first; empty without a baseline."""
        from lensaudit.comparing.regression import regressions_of

        record = self.record
        return [] if record.baseline is None else regressions_of(record.checks, record.baseline)

    @property
    def page(self) -> Path:
        """``compare.html``, one file that asks the network for nothing."""
        return self.folder / "compare.html"

    def write(self, out: Path | str) -> Path:
        """Copy everything into the new folder `out`; returns the path of its page. UsageError as `Audit.write`."""
        return _copied(self.folder, out) / self.page.name

    def _facts(self) -> Facts:
        record = self.record
        return {"finders": [one.finder for one in record.finders], "images": sum(one.n for one in record.sets)}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + page_frame(self.page)


@front_door
def compare(
    finders: Sequence[Finder | str | Path] | Mapping[str, Finder | str | Path],
    data: Data | Sequence[Data],
    *,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[ComparisonOptions],
) -> Comparison:
    """Compare finders on the same images: paired tests, ranking, and one page.

    Parameters
    ----------
    finders
        Two or more, or label → finder; each a finder or what `load_finder` takes. One or more with a `baseline`.
    data
        A labelled set or several, or their folders; each is compared on its own.
    out
        Folder of the comparison; an interrupted run there goes on. None: a folder that is removed with the result.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.auditing.ComparisonOptions`.

    Returns
    -------
    Comparison
        A notebook shows its page.

    Raises
    ------
    UsageError
        A finder or a set is given twice, or there is no such probe or method. Also a `ValueError`.
    DataError
        No finder can take any of the sets as input. Also a `ValueError`.

    See Also
    --------
    evaluate : metrics of one finder.

    Examples
    --------
    >>> import lensaudit as la
    >>> lenses = la.simulate("euclid", n=40, seed=7)
    >>> la.compare({"plain": "ou66", "symmetrised": la.load_finder("ou66").symmetrised()}, lenses, speed=False)
    Comparison(finders='plain, symmetrised', images=40)
    """
    from lensaudit.comparing import compare as run

    words: dict[str, Any] = dict(options)
    words |= {name: tuple(words[name]) for name in ("probes", "methods", "by") if name in words}
    renamed = {"batch_size": "batch", "judge_n": "explanations"}
    entrants = _with_baseline(_entrants(finders), words)
    on, galaxies = asked_hosts(words)
    words |= {"instrument": str(words["instrument"])} if "instrument" in words else {}
    settings = CompareOptions(
        hosts=on, sources=galaxies, **{renamed.get(name, name): value for name, value in words.items()}
    )
    sets = as_sets(data)
    folder = temporary_folder("comparison") if out is None else Path(out)
    made = Comparison(folder) if out is not None else kept_with(Comparison(folder), folder)
    with watching(progress) as watch:
        run(entrants, sets, folder, settings, watch)
    render_comparison(folder)
    return made


def _with_baseline(entrants: list[Entrant], words: dict[str, Any]) -> list[Entrant]:
    """The finders and the baseline, whose label takes its place in `words`."""
    baseline = words.get("baseline")
    if baseline is None:
        words.pop("baseline", None)
        return entrants
    label = baseline.name if isinstance(baseline, Finder) else str(baseline).rstrip("/")
    labels = [one.label for one in entrants]
    if isinstance(baseline, Finder) and label in labels:
        label = f"{label} (baseline)"
    words["baseline"] = label
    return entrants if label in labels else [*entrants, entrant_of(label, as_finder(baseline))]


def _entrants(finders: Sequence[Finder | str | Path] | Mapping[str, Finder | str | Path]) -> list[Entrant]:
    if not finders:
        raise UsageError("no finder is given; name two or more")
    if isinstance(finders, Mapping):
        return [entrant_of(label, as_finder(finder)) for label, finder in finders.items()]
    labels = [finder.name if isinstance(finder, Finder) else str(finder).rstrip("/") for finder in finders]
    if doubled := next((label for label in labels if labels.count(label) > 1), None):
        raise UsageError(f"finder {doubled} is given twice; give each once, or a label for each")
    return [entrant_of(label, as_finder(finder)) for label, finder in zip(labels, finders, strict=True)]
