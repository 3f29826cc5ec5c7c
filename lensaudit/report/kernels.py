"""What the finder's kernels answer to, among the lenses of the set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress

EACH = 3
"""Kernels shown for each property of a lens."""


def kernels_block(
    finder: Any, lens_set: Any, out: Path, options: AuditOptions, progress: Progress
) -> dict[str, Any] | None:
    """Kernel activation values of the whole set (kept as ``kav.parquet``) and what they go with.

    Returns
    -------
    dict or None
        ``kernels``, ``live``, ``n``, ``significant`` (pairs of kernel and property), ``pairs`` (all), ``statements``
        (the surest for each property) and ``note``; None where it was switched off or the finder has no convolution.
    """
    if not options.kernels:
        return None
    from lensaudit.explain import kernel_activations, study_kernels
    from lensaudit.explain.kernels.study import LIVE
    from lensaudit.explain.kernels.wording import strongest_statements

    try:
        table = kernel_activations(
            finder,
            lens_set,
            Path(out) / "kav.parquet",
            batch_size=options.batch,
            progress=lambda done, total: progress("kernel activations", done, total),
        )
    except UsageError:  # no convolution: nothing to tell
        return None
    study = study_kernels(table, lens_set)
    found = study.correlations
    return {
        "kernels": len(study.kernels),
        "live": len(study.in_state(LIVE)),
        "n": study.n,
        "significant": 0 if found is None else int(found.significant.sum()),
        "pairs": 0 if found is None else int(found.rho.size),
        "statements": [one.summary() for one in strongest_statements(study, EACH)],
        "note": study.note,
    }
