"""From nothing to a page: a small simulated set, a shipped finder, the audit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import LensauditError, UsageError
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.build import build_audit
from lensaudit.report.estimate import SET_BYTES_PER_PIXEL, Estimate, estimate_of_audit, pixels_of, told
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, quiet
from lensaudit.report.render import render_report

INSTRUMENT = POPULATION = "euclid"
SMALLEST = 20


SHORTER = "--n, --probe none and --probe-n make it shorter"


def quick_audit(
    finder_name: str,
    n: int,
    out: Path,
    options: AuditOptions,
    device: str = "auto",
    progress: Progress = quiet,
    tell: Callable[[str], object] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Simulate `n` Euclid cutouts in ``out/set-…``, audit the finder on them, draw the page.

    Every stage goes on where an interrupted run stopped. `tell` is given one line on what is left to do, before the
    first stage of work.

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
    folder = set_folder(out, n, options)
    if tell is not None and not (Path(out) / AUDIT_NAME).exists():
        tell(told(estimate_of_quickstart(finder, n, Path(out), options), SHORTER))

    def simulated(done: int, total: int) -> None:
        progress("simulating the set", done, total)

    lens_set = simulate(INSTRUMENT, POPULATION, n, options.seed, folder, options.workers, simulated)
    audit = build_audit(finder, lens_set, out, options, progress)
    progress("drawing the page", 0, 1)
    page = render_report(out)
    progress("drawing the page", 1, 1)
    return page, dict(audit["verdict"])


def set_folder(out: Path, n: int, options: AuditOptions) -> Path:
    """Where the simulated set lies in the folder of the audit."""
    return Path(out) / f"set-n{n}-seed{options.seed}"


def estimate_of_quickstart(finder: Any, n: int, out: Path, options: AuditOptions) -> Estimate:
    """What `quick_audit` will take, less what an earlier run into `out` has finished."""
    from lensaudit.lensset import LensSet

    folder = set_folder(out, n, options)
    try:
        return estimate_of_audit(finder, LensSet.open(folder), options, out)
    except LensauditError:  # not simulated yet, or not to its end
        pass
    made = OneScene(n, options.seed)
    audit = estimate_of_audit(finder, made, options, out)
    disk = audit.disk_bytes + n * SET_BYTES_PER_PIXEL * pixels_of(made)
    return replace(audit, parts={"simulating": made.seconds * n / options.workers, **audit.parts}, disk_bytes=disk)


class OneScene:
    """A set that is one scene `n` times: enough to time a finder on."""

    has_truth = True

    def __init__(self, n: int, seed: int) -> None:
        from lensaudit.imaging import INSTRUMENTS, render
        from lensaudit.scenes import draw_scene

        self._n, self.instrument = n, INSTRUMENT
        self.content_hash = "0" * 64
        render(draw_scene(POPULATION, seed, 0), INSTRUMENTS[INSTRUMENT])  # compiles what is not compiled yet
        began = time.perf_counter()
        made = render(draw_scene(POPULATION, seed, 1), INSTRUMENTS[INSTRUMENT])
        self.seconds = time.perf_counter() - began
        self._images = {band: np.asarray(image, np.float32) for band, image in made.images.items()}
        self.shape = {band: image.shape for band, image in self._images.items()}

    def __len__(self) -> int:
        return self._n

    def images(self, band: str, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Native images (m, h, w)."""
        return np.repeat(self._images[band][None], len(index), axis=0)

    def column(self, name: str) -> NDArray[np.float64]:
        """A catalogue column nobody knows yet (n,)."""
        return np.zeros(self._n)
