"""Populations: named ways to draw scenes. Scene i of a population depends on (seed, i) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.scenes.populations.challenge1 import draw_challenge1_lens, draw_challenge1_no_source
from lensaudit.scenes.populations.compound import (
    ARCS,
    BEST,
    RINGS,
    WORST,
    centred,
    draw_compound,
    draw_lsst_lens,
    draw_lsst_no_source,
    draw_plain,
)
from lensaudit.scenes.populations.contaminants import (
    draw_companions,
    draw_edge_on,
    draw_merger,
    draw_ring_galaxy,
    draw_spiral,
)
from lensaudit.scenes.populations.faithful import (
    FAITHFUL_ARCS,
    FAITHFUL_RINGS,
    PRINTED_ARCS,
    PRINTED_RINGS,
    draw_faithful,
)
from lensaudit.scenes.populations.lenses import CONSPICUOUS, Setting, draw_no_source, draw_single
from lensaudit.scenes.populations.on_caustic import FAITHFUL_BEST, FAITHFUL_WORST
from lensaudit.scenes.populations.on_sky import seen_on
from lensaudit.scenes.populations.uniform import (
    draw_uniform_companions,
    draw_uniform_lens,
    draw_uniform_no_source,
)
from lensaudit.scenes.scene import Scene, Sky

Draw = Callable[[np.random.Generator], Scene]

_NON_LENSES: tuple[tuple[float, Callable[..., Scene]], ...] = (
    (0.40, draw_no_source),
    (0.20, draw_companions),
    (0.15, draw_spiral),
    (0.05, draw_ring_galaxy),
    (0.10, draw_merger),
    (0.10, draw_edge_on),
)


def _mix(parts: Sequence[tuple[float, Draw]]) -> Draw:
    """A population in which each draw comes from one of `parts`, with the given probabilities."""
    fractions = np.cumsum([fraction for fraction, _ in parts])
    assert abs(fractions[-1] - 1.0) < 1e-9

    def draw(rng: np.random.Generator) -> Scene:
        which = min(int(np.searchsorted(fractions, rng.random(), side="right")), len(parts) - 1)
        return parts[which][1](rng)

    return draw


def _lsst(setting: Setting) -> Draw:
    """A set as that of Lanusse et al. 2018: galaxies with and without a source."""
    return _mix([(0.5, partial(draw_lsst_lens, setting=setting)), (0.5, partial(draw_lsst_no_source, setting=setting))])


def _lsst_contaminated(setting: Setting) -> Draw:
    """The same lenses among non-lenses that carry as much light where arcs would be."""
    contaminants = [(0.5 * part, partial(draw, setting=setting)) for part, draw in _NON_LENSES[1:]]
    plain = (0.5 * _NON_LENSES[0][0], partial(draw_lsst_no_source, setting=setting))
    return _mix([(0.5, partial(draw_lsst_lens, setting=setting)), plain, *contaminants])


_EUCLID = _mix([(0.5, draw_single), *((0.5 * part, draw) for part, draw in _NON_LENSES)])

POPULATIONS: dict[str, Draw] = {
    "euclid": _EUCLID,
    "centred": centred(_EUCLID),
    "conspicuous": _mix([(0.5, partial(draw_single, visibility=CONSPICUOUS)), (0.5, draw_no_source)]),
    "challenge1": _mix([(0.5, draw_challenge1_lens), (0.5, draw_challenge1_no_source)]),
    "single": draw_single,
    "single-centred": centred(draw_single),
    "non-lens": _mix(_NON_LENSES),
    "plain": draw_plain,
    "no-source": draw_no_source,
    "spiral": draw_spiral,
    "ring-galaxy": draw_ring_galaxy,
    "merger": draw_merger,
    "edge-on": draw_edge_on,
    "companions": draw_companions,
    "compound-arcs": partial(draw_compound, kind="compound-arcs", table=ARCS),
    "compound-rings": partial(draw_compound, kind="compound-rings", table=RINGS),
    "compound-arcs-centred": centred(partial(draw_compound, kind="compound-arcs", table=ARCS)),
    "compound-rings-centred": centred(partial(draw_compound, kind="compound-rings", table=RINGS)),
    "compound-arcs-faithful": partial(draw_faithful, notebook=FAITHFUL_ARCS),
    "compound-rings-faithful": partial(draw_faithful, notebook=FAITHFUL_RINGS),
    "compound-arcs-printed": partial(draw_faithful, notebook=PRINTED_ARCS),
    "compound-rings-printed": partial(draw_faithful, notebook=PRINTED_RINGS),
    "lsst": _mix([(0.5, draw_lsst_lens), (0.5, draw_lsst_no_source)]),
    "lsst-best-lens": partial(draw_lsst_lens, setting=BEST),
    "lsst-best": _lsst(BEST),
    "lsst-best-contaminants": _lsst_contaminated(BEST),
    "lsst-best-faithful": _lsst(FAITHFUL_BEST),
    "lsst-best-faithful-lens": partial(draw_lsst_lens, setting=FAITHFUL_BEST),
    "lsst-worst": _lsst(WORST),
    "lsst-worst-contaminants": _lsst_contaminated(WORST),
    "lsst-worst-faithful": _lsst(FAITHFUL_WORST),
    "uniform": _mix([(0.5, draw_uniform_lens), (0.2, draw_uniform_no_source), (0.3, draw_uniform_companions)]),
    "uniform-lens": draw_uniform_lens,
    "uniform-lens-brightness": partial(draw_uniform_lens, larger_is_brighter=True),
}


def draw_scene(population: str, seed: int, index: int, sky: Sky | None = None) -> Scene:
    """Draw scene `index` of a population.

    Parameters
    ----------
    population
        A name in `POPULATIONS`.
    seed, index
        Non-negative integers; the scene depends on them and the population's name alone, so that two populations
        drawn with one seed do not share galaxies.
    sky
        The bands and cutout of an instrument (`lensaudit.imaging.Instrument.sky`): the same galaxies, seen there. None
        takes those the population was made for: Euclid's, or LSST's g.

    Raises
    ------
    UsageError
        The population is unknown or a number is negative.

    See Also
    --------
    lensaudit.imaging.render : makes its images.

    Examples
    --------
    >>> draw_scene("single", 1, 0) == draw_scene("single", 1, 0), draw_scene("single", 1, 0).label
    (True, 1)
    """
    if population not in POPULATIONS:
        raise UsageError(f"population '{population}' is unknown; choose one of {', '.join(POPULATIONS)}")
    if seed < 0 or index < 0:
        raise UsageError(f"seed and index must not be negative, they are {seed} and {index}")
    name = int.from_bytes(hashlib.sha256(population.encode()).digest()[:4], "big")
    scene = POPULATIONS[population](np.random.default_rng([seed, index, name]))
    return scene if sky is None else seen_on(scene, sky)
