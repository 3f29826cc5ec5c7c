"""What every command with a finder and a set does first: open both, read the set as asked, check, and warn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.cli.console import warn
from lensaudit.cli.options import Reading
from lensaudit.cli.running import progress_bar
from lensaudit.errors import DataError, UsageError

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


def open_both(finder: str, lens_set: Path, reading: Reading) -> tuple[Finder, LensSet]:
    """The finder called `finder`, as it reads the lens set at `lens_set`, and that set; see `open_all`."""
    loaded, sets = open_all(finder, [lens_set], reading)
    return loaded, sets[0]


def open_all(finder: str, sets: Sequence[Path], reading: Reading) -> tuple[Finder, list[LensSet]]:
    """The finder called `finder`, as it reads the lens sets at `sets`, and those sets.

    Where statistics are taken from a set (``--refit``), they are the first one's. Of pixels that are resampled as
    asked, one line per set is printed on standard error.

    Raises
    ------
    UsageError
        There is no such finder or set, or an option does not apply.
    DataError
        A set is damaged, or the finder cannot take it as input; see `lensaudit.finders.Finder.check`.
    """
    from lensaudit.lensset import LensSet

    opened = [LensSet.open(path) for path in sets]  # a wrong path is told before torch is imported
    loaded = read_by(finder, reading, opened[:1])
    check_sets(loaded, opened)
    return loaded, opened


def read_by(finder: str, reading: Reading, sets: Sequence[LensSet] = ()) -> Finder:
    """The finder called `finder` with the field of view, device, threads and, from the first set, statistics asked for.

    Raises
    ------
    UsageError
        There is no such finder, or statistics are asked for and no set is given or the stretch takes none.
    """
    from lensaudit.finders import load_finder, refitted

    if reading.refit and not sets:
        raise UsageError("--refit takes statistics from a lens set; name one, or leave it out")
    use_threads(reading.threads)
    loaded = load_finder(finder, reading.device).for_field(reading.field_of_view, reading.resample)
    if reading.refit:
        return refitted(loaded, sets[0])
    return loaded.for_units(sets[0]) if sets else loaded


def use_threads(threads: int | None) -> None:
    """Have torch use so many CPU threads; None leaves its choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def check_sets(finder: Finder, sets: Sequence[LensSet]) -> None:
    """Make sure that the finder can take the sets as input; say what is to be known of its module, and of pixels."""
    for note in finder.notes:
        warn(f"finder {finder.name}: {note}")
    for lens_set in sets:
        finder.check(lens_set)
        if other := finder.other_pixels(lens_set):
            warn(f"{lens_set.path}: {other}; resampled as asked")
        for remark in finder.unit_remarks(lens_set):
            warn(f"{lens_set.path}: {remark}")


def warn_of_clipping(finder: Finder, scores: Scores, where: Path) -> None:
    """Say on standard error, in one line, that the stretch clips more or fewer pixels than it ordinarily does."""
    from lensaudit.finders import remarks_on

    for remark in remarks_on(finder.name, scores.clipping):
        warn(f"{where}: {remark}")


def bands_left_out(finder: Finder, lens_set: LensSet) -> str:
    """Clause that names the bands of the set that the finder does not look at; empty for none."""
    unused = finder.unused_bands(lens_set)
    return f"; bands left out: {', '.join(unused)}" if unused else ""


def scores_of(finder: Finder, lens_set: LensSet, path: Path | None, batch: int | None = None) -> Scores:
    """Scores of the set in its order, from the file `path` or computed now, `batch` images at a time.

    Raises
    ------
    DataError
        The file holds scores of another finder or another set.
    """
    from lensaudit.evaluation import in_order_of
    from lensaudit.finders import read_scores, score_set

    if path is None:
        with progress_bar(f"scoring with {finder.name}") as report:
            scores = score_set(finder, lens_set, batch_size=batch, progress=report)
        warn_of_clipping(finder, scores, lens_set.path)
        return scores
    found, record = read_scores(path, lens_set.ids)
    inputs = record.get("provenance", {}).get("inputs", {})
    if inputs.get("finder", finder.weights_hash) != finder.weights_hash:
        raise DataError(f"{path}: holds scores of other weights than {finder.name}'s; write it with lensaudit score")
    ordered = in_order_of(lens_set.ids, found, path)
    if inputs.get("set", lens_set.content_hash) != lens_set.content_hash:
        raise DataError(f"{path}: holds scores of another set than {lens_set.path}; write it with lensaudit score")
    return ordered
