"""How far the simulated probes of an audit carry over: read from `lensaudit realism`, or measured on a real set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.display.numbers import shortest
from lensaudit.errors import AuditFailed, DataError, NoSuchFile, UsageError
from lensaudit.realism_gate import LIMIT, Realism
from lensaudit.report.options import AuditOptions
from lensaudit.report.schema import Audit
from lensaudit.spread import StageProgress
from lensaudit.verdicts import REALISM

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet

FOLDER = "realism"
_FIX = "make it again with lensaudit realism"


def realism_block(
    finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions, progress: StageProgress
) -> Realism | None:
    """What ``--realism`` names: a result of `lensaudit realism`, or a real set that is compared with the audited one.

    The latter is kept in ``realism/`` with its page, and taken from there by the next run. None without ``--realism``.

    Raises
    ------
    UsageError
        There is no such file, or the audited set is neither simulated nor injected.
    DataError
        The result is of other weights, or damaged; or the sets cannot be compared.
    """
    if options.realism is None:
        return None
    if not _is_set(options.realism):
        return _read(options.realism, finder)
    from lensaudit.lensset import open_cutouts
    from lensaudit.realism_gate import RealismOptions, measure_realism
    from lensaudit.realism_gate.measure import inputs_of
    from lensaudit.realism_gate.page import KEPT, RESULT_NAME

    real, result = open_cutouts(options.realism), Path(out) / FOLDER / RESULT_NAME
    if result.is_file():
        kept = Realism.read(result, f"remove {result.parent}, or {_FIX}")
        if (kept.provenance.inputs, kept.provenance.seed) == (inputs_of(finder, real, lens_set), options.seed):
            return kept
    asked = RealismOptions(seed=options.seed, batch=options.batch)
    gate = measure_realism(finder, real, lens_set, asked, progress, result.parent / KEPT)
    gate.write(result.parent)
    return gate.record


def check_realism(finder: Finder, lens_set: LensSet, options: AuditOptions) -> None:
    """Raise what `realism_block` would raise of the user's words, before the work starts."""
    if options.realism is None:
        return
    if not _is_set(options.realism):
        _read(options.realism, finder)
        return
    from lensaudit.lensset import open_cutouts
    from lensaudit.realism_gate.measure import refuse_unlike

    if lens_set.population is None and not lens_set.injected:
        raise UsageError(
            f"--realism {options.realism}: the audited set {lens_set.path} is neither simulated nor injected, so there "
            "is nothing to compare the real one with; give a result of lensaudit realism"
        )
    real = open_cutouts(options.realism)
    if real.content_hash == lens_set.content_hash:
        raise UsageError(f"--realism {options.realism}: is the audited set itself; name a set of real cutouts")
    refuse_unlike(finder, real, lens_set)


def fail_where_far(audit: Audit, limit: float = LIMIT) -> None:
    """Raise AuditFailed where simulated scenes are shown to stand farther from real cutouts than `limit`.

    Parameters
    ----------
    limit
        Highest AUROC that passes; it fails where the whole 95 % interval lies above.

    Raises
    ------
    UsageError
        The audit says nothing of real cutouts.
    """
    if audit.realism is None:
        raise UsageError(f"--fail-on {REALISM}: this audit compared nothing with real cutouts; give it --realism")
    if audit.realism.leading.low > limit:
        raise AuditFailed(f"--fail-on {REALISM} (AUROC above {shortest(limit)}): {audit.realism.sentence}")


def _is_set(path: Path) -> bool:
    from lensaudit.lensset.opening import names_cutouts

    return names_cutouts(path) and not (path / "realism.json").is_file()


def _read(path: Path, finder: Finder) -> Realism:
    found = path / "realism.json" if path.is_dir() else path
    if not found.is_file():
        raise NoSuchFile(f"--realism {path}: no realism.json and no lens set there; {_FIX}")
    read = Realism.read(found, _FIX)
    if read.provenance.inputs.get("finder") != finder.weights_hash:
        raise DataError(f"{found}: is of another finder ({read.finder}) than {finder.name} with these weights; {_FIX}")
    return read
