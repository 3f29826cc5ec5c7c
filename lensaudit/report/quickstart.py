"""From nothing to a page: a small simulated set, a shipped finder, the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.report.build import build_audit
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, quiet
from lensaudit.report.render import render_report

INSTRUMENT = POPULATION = "euclid"
SMALLEST = 20


def quick_audit(
    finder_name: str, n: int, out: Path, options: AuditOptions, device: str = "auto", progress: Progress = quiet
) -> tuple[Path, dict[str, Any]]:
    """Simulate `n` Euclid cutouts in ``out/set-…``, audit the finder on them, draw the page.

    Every stage goes on where an interrupted run stopped.

    Returns
    -------
    page, verdict
        Path of ``index.html``; headline, sentences and what to do next, see :func:`lensaudit.report.verdict.verdict`.

    Raises
    ------
    UsageError
        `n` is too small, there is no such finder, or `out` cannot be written.
    """
    if n < SMALLEST:
        raise UsageError(f"--n {n}: an audit needs {SMALLEST} cutouts or more; the default is 400")
    from lensaudit.finders import load_finder
    from lensaudit.lensset import simulate

    progress("loading the finder", 0, 1)
    finder = load_finder(finder_name, device)
    progress("loading the finder", 1, 1)
    folder = Path(out) / f"set-n{n}-seed{options.seed}"

    def simulated(done: int, total: int) -> None:
        progress("simulating the set", done, total)

    lens_set = simulate(INSTRUMENT, POPULATION, n, options.seed, folder, options.workers, simulated)
    audit = build_audit(finder, lens_set, out, options, progress)
    progress("drawing the page", 0, 1)
    page = render_report(out)
    progress("drawing the page", 1, 1)
    return page, dict(audit["verdict"])
