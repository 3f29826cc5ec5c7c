"""A probe on another instrument than the one it was written for: the same edits of the same kind of lens."""

from __future__ import annotations

from lensaudit.errors import DataError, LensauditError
from lensaudit.finders import Finder
from lensaudit.probes.definition import Mode, ProbeDefinition
from lensaudit.probes.experiment import Drawn, Experiment

ELSEWHERE: dict[str, dict[str, str]] = {
    "vis101": {
        "single": "single-centred",
        "compound-arcs": "compound-arcs-centred",
        "compound-rings": "compound-rings-centred",
    },
    "lsst": {"single": "lsst-best-lens"},
}
"""Instrument → population of a Euclid cutout and what stands for it there. Their order is that of preference."""


def seen_by(definition: ProbeDefinition, finder: Finder) -> ProbeDefinition:
    """The probe on the first instrument whose cutouts the finder takes; as it is where there is none.

    Modes whose populations have no counterpart there are left out, and so is what others published on their images.
    """
    if _takes(finder, definition.instrument):
        return definition
    for instrument, counterparts in ELSEWHERE.items():
        modes = _modes(definition, counterparts)
        if _takes(finder, instrument) and definition.default_mode in modes:
            changes = {"instrument": instrument, "modes": modes, "published": None}
            return definition.model_copy(update=changes)
    return definition


def why_no_scene(definition: ProbeDefinition) -> str | None:
    """Why the probe's edits do not fit the scenes of its instrument, tried on one; None if they do.

    An edit of colours, for instance, finds none in a scene that has magnitudes in one band.
    """
    if definition.instrument not in ELSEWHERE:
        return None
    population = next(iter(definition.modes[definition.default_mode].populations.values()))
    experiment = Experiment(Drawn(population, 0, 1, definition.instrument), definition.arms())
    try:
        for arm in range(len(experiment.arms)):
            experiment.images(0, arm)
    except (LensauditError, KeyError) as error:
        what = f"needs {error}" if isinstance(error, KeyError) else str(error)
        return f"its edits do not fit {definition.instrument} scenes ({what})"
    return None


def _modes(definition: ProbeDefinition, counterparts: dict[str, str]) -> dict[str, Mode]:
    return {
        name: mode.model_copy(
            update={"populations": {label: counterparts[drawn] for label, drawn in mode.populations.items()}}
        )
        for name, mode in definition.modes.items()
        if all(drawn in counterparts for drawn in mode.populations.values())
    }


def _takes(finder: Finder, instrument: str) -> bool:
    try:
        fields = Drawn("", 0, 0, instrument).fields
        finder.for_units(fields).check(fields)
    except DataError:
        return False
    return True
