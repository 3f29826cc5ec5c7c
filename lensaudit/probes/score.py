"""Asking a finder about both arms of the pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lensaudit.errors import DataError
from lensaudit.finders import Finder, score_set
from lensaudit.imaging import INSTRUMENTS, Instrument
from lensaudit.probes.finding import PairedScores
from lensaudit.probes.pairs import ARMS, PairSets


@dataclass(frozen=True)
class _Promised:
    """What a lens set of an instrument will declare, before it is rendered."""

    instrument: str
    bands: tuple[str, ...]
    pixel_scale_arcsec: dict[str, float]
    shape: dict[str, tuple[int, int]]


def why_not_applicable(instrument: str, finder: Finder) -> str | None:
    """Why this finder cannot see the scenes of `instrument`, in one clause; None if it can."""
    promised = _promise(INSTRUMENTS[instrument], instrument)
    missing = [band for band in finder.recipe.bands if band not in promised.bands]
    if missing:
        return (
            f"finder '{finder.name}' needs band {', '.join(missing)}, and the probe renders {instrument} "
            f"({', '.join(promised.bands)}) only"
        )
    try:
        finder.check(promised)
    except DataError as error:
        return str(error)
    return None


def score_pairs(finder: Finder, pairs: PairSets, progress: Callable[[int, int], None] | None = None) -> PairedScores:
    """Logits of both arms of all pairs; `progress` is told (images done, images in all).

    Raises
    ------
    DataError
        An image cannot be scored: the module returns NaN, or a band cannot be scaled.
    """
    total, logits = len(ARMS) * pairs.plan.n, {}
    for k, arm in enumerate(ARMS):
        advance = (
            None if progress is None else (lambda done, _, before=k * pairs.plan.n: progress(before + done, total))
        )
        scores = score_set(finder, pairs.arm(arm), progress=advance)
        if scores.failed:
            pair, why = next(iter(scores.failed.items()))
            raise DataError(
                f"finder '{finder.name}' cannot score {len(scores.failed)} of {pairs.plan.n} {arm} images, the first "
                f"is {pair}: {why}; check its weights and --stretch"
            )
        logits[arm] = scores.logit
    return PairedScores(logits["control"], logits["treated"], finder.recipe.threshold)


def _promise(instrument: Instrument, name: str) -> _Promised:
    return _Promised(
        name,
        tuple(band.name for band in instrument.bands),
        {band.name: band.pixel_scale_arcsec for band in instrument.bands},
        {band.name: (band.pixels, band.pixels) for band in instrument.bands},
    )
