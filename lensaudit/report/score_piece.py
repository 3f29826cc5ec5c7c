"""The scores of an audit: ``scores.parquet`` in its folder, computed once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError
from lensaudit.provenance import provenance
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import KEY, Progress, key_of

SCORES_NAME = "scores.parquet"


def scored(finder: Any, lens_set: Any, out: Path, options: AuditOptions, progress: Progress) -> Any:
    """Return :class:`lensaudit.finders.Scores` of the set, from ``scores.parquet`` when it rests on the same inputs.

    A file that does not say what the stretch clipped, as earlier versions wrote it, is written again.
    """
    from lensaudit.finders import score_set, write_scores

    path, key = Path(out) / SCORES_NAME, key_of(finder, lens_set)
    kept = kept_scores(finder, lens_set, path, key)
    if kept is not None:
        progress("scoring", len(lens_set), len(lens_set))
        return kept
    scores = score_set(finder, lens_set, batch_size=options.batch, progress=partial(progress, "scoring"))
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    write_scores(scores, path, {KEY: key, "finder": finder.name, **provenance(seed=options.seed, inputs=inputs)})
    return scores


def kept_scores(finder: Any, lens_set: Any, path: Path, key: str) -> Any | None:
    """Scores in the file `path` where they were written under this `key` with all that is asked of them; else None."""
    from lensaudit.finders import clips, read_scores

    if not path.is_file():
        return None
    try:
        scores, record = read_scores(path)
    except DataError:  # torn by a crash of another program: it is written again
        return None
    whole = bool(scores.clipping) or len(scores.failed) == len(lens_set) or not clips(finder)
    return scores if record.get(KEY) == key and whole else None
