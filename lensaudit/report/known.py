"""Known lenses and graded candidates of the user: recall at the audit's threshold as a check, never paired."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display.images import main_band
from lensaudit.errors import DataError
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.chapters import KnownGrade, KnownSet, KnownSystem
from lensaudit.report.known_tables import GRADE_COLUMNS, Listed, listed
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, scores_piece, short_name
from lensaudit.spread import StageProgress
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet

PICTURES = 24
"""Systems whose pixels are kept, the lowest scores first: about 20 kB each on the page."""

UNGRADED = "not graded"


def check_known(finder: Finder, audited: LensSet, options: AuditOptions) -> list[LensSet]:
    """The sets of ``options.known``, opened; of a table the systems it names in the audited set and among the hosts.

    Raises
    ------
    UsageError
        There is no such set or table.
    DataError
        The finder cannot take one as input, all its images are labelled non-lens, or no system of a table is there.
    """
    from lensaudit.lensset import open_cutouts
    from lensaudit.lensset.containers import is_declaration

    among = [audited, *([] if options.hosts is None else [open_cutouts(options.hosts.path)])]
    sets: list[LensSet] = []
    for path in options.known:
        sets += listed(path, among) if path.is_file() and not is_declaration(path) else [open_cutouts(path)]
    for lens_set in sets:
        finder.for_units(lens_set).check(lens_set)
        if not (lens_set.labels != 0).any():
            raise DataError(f"{lens_set.path}: --known: all its images are labelled non-lens; give known lenses")
    return sets


def known_block(
    finder: Finder, audited: LensSet, out: Path, options: AuditOptions, progress: StageProgress
) -> tuple[KnownSet, ...]:
    """Score the sets of ``options.known`` and keep the pixels of the lowest scores; errors as `check_known`."""
    return tuple(_known(finder, one, Path(out), options, progress) for one in check_known(finder, audited, options))


def _known(finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions, progress: StageProgress) -> KnownSet:
    from lensaudit.finders import score_set
    from lensaudit.report.explained import facts_of

    (out / ARRAYS).mkdir(parents=True, exist_ok=True)
    path = out / ARRAYS / f"known-{short_name(lens_set.content_hash)}.parquet"
    piece = scores_piece(finder, lens_set, path, key_of(finder, lens_set), seed=options.seed)
    told = partial(progress, "scoring known lenses")
    scores = piece.or_made(lambda: score_set(finder, lens_set, batch_size=options.batch, progress=told))
    rows = np.flatnonzero(lens_set.labels != 0)
    rows = rows[np.argsort(scores.logit[rows], kind="stable")]  # NaN last
    grades = _grades(lens_set)
    called = scores.p_lens >= finder.recipe.threshold
    band = main_band(lens_set.bands)
    width = lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band]
    failed, systems = scores.failed, []
    for place, row in enumerate(rows.tolist()):
        name = lens_set.ids[row]
        array = _pixels(finder, lens_set, row, out) if place < PICTURES else ""
        p, logit = float(scores.p_lens[row]), float(scores.logit[row])
        why = printable(failed.get(name, ""), 200)
        systems.append(KnownSystem(name, grades[row], p, logit, facts_of(lens_set, row), array, width, why))
    scored = rows[np.isfinite(scores.p_lens[rows])]
    by_grade = [(one, scored[[grades[row] == one for row in scored]]) for one in _in_order(grades[row] for row in rows)]
    return KnownSet(
        name=_name(lens_set),
        content_hash=lens_set.content_hash,
        recall=_share(called[scored], ""),
        grades=tuple(_share(called[members], grade) for grade, members in by_grade if grade),
        systems=tuple(systems),
        n_non_lenses=int((lens_set.labels == 0).sum()),
        n_absent=lens_set.absent if isinstance(lens_set, Listed) else 0,
    )


def _name(lens_set: LensSet) -> str:
    """Of the set, or of the table and the set its systems are in."""
    name = Path(lens_set.path).name
    return f"{lens_set.table.name} in {name}" if isinstance(lens_set, Listed) else name


def _in_order(grades: Iterable[str]) -> list[str]:
    """Grades in alphabetical order, what is not graded last."""
    return sorted(set(grades), key=lambda grade: (grade == UNGRADED, grade))


def _share(called: np.ndarray, grade: str) -> KnownGrade:
    found = KnownGrade.among(called)
    return KnownGrade(found.k, found.n, *found.interval, grade=grade)


def _grades(lens_set: LensSet) -> list[str]:
    """Of every image; empty where the catalogue has no column of grades."""
    from lensaudit.evaluation.visual_inspection import LONGEST_GRADE

    column = next((name for name in lens_set.columns if name.lower() in GRADE_COLUMNS), None)
    if column is None:
        return [""] * len(lens_set)
    values = lens_set.column(column).tolist()
    words = ["" if value is None or value != value else str(value).strip() for value in values]
    return [printable(word, LONGEST_GRADE) if word else UNGRADED for word in words]


def _pixels(finder: Finder, lens_set: LensSet, row: int, out: Path) -> str:
    name = lens_set.ids[row]
    path = f"{ARRAYS}/known-{short_name(f'{lens_set.content_hash} {name}')}.npz"
    piece = arrays_piece(out, path, key_of(finder, lens_set, id=name, of="known"))
    if piece.load() is None:
        piece.write({f"band:{band}": images[0] for band, images in lens_set.cutouts([row]).items()})
    return path
