"""Probes for finders that do not take Euclid's cutouts: the same edits on the instrument whose cutouts they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.imaging import INSTRUMENTS, Instrument, truth_columns
from lensaudit.imaging.band import resized
from lensaudit.probes.definition import Axis, Doses, Mode, ProbeDefinition
from lensaudit.probes.experiment import Drawn, Experiment, Fields

if TYPE_CHECKING:
    from lensaudit.finders import Finder

EUCLID_COLOUR = ("VIS", "H")
EUCLID_REFERENCE = "VIS"
"""Of the built-in probes' own truth columns and words."""


def seen_by(definition: ProbeDefinition, finder: Finder, instrument: Instrument | None = None) -> ProbeDefinition:
    """The probe on `instrument`, or else on the first one whose cutouts the finder takes.

    As it is where there is none; `why_not_applicable` then says why. An instrument of the finder's bands whose cutouts
    are of another size is taken with the finder's.
    """
    if instrument is not None:
        return on_instrument(definition, instrument)
    if _takes(finder, definition.seen_by):
        return definition
    found = next((one for one in _candidates(finder) if _takes(finder, one)), None)
    if found is None or definition.default_mode not in _modes(definition, found):
        return definition
    return on_instrument(definition, found)


def reading_drawn(finder: Finder, instrument: Instrument | None) -> Finder:
    """The finder as it reads drawn scenes: in the field that it was trained on, in its own pixels too.

    Those of an instrument that is named may be resampled, where that was asked for.
    """
    return finder.for_field(None, finder.resamples and instrument is not None)


def on_instrument(definition: ProbeDefinition, instrument: Instrument) -> ProbeDefinition:
    """The probe on another instrument: its populations there, its truth columns in its bands.

    Where it has populations of its own, modes without a counterpart are left out, if the default one stays; what others
    published on their images is left out everywhere.
    """
    if instrument == definition.seen_by:
        return definition
    modes = _modes(definition, instrument)
    shipped = instrument.name in INSTRUMENTS and INSTRUMENTS[instrument.name] == instrument
    return definition.model_copy(
        update={
            "instrument": instrument.name,
            "full_instrument": None if shipped else instrument,
            "modes": modes if definition.default_mode in modes else definition.modes,
            "published": None,
            "doses": None if definition.doses is None else _doses(definition.doses, instrument),
            "curves": _curves(definition.curves, instrument),
        }
    )


def why_no_scene(definition: ProbeDefinition) -> str | None:
    """Why the probe's edits do not fit the scenes of its instrument, tried on one; None if they do.

    An edit of colours, for instance, finds none in a scene that has magnitudes in one band.
    """
    if definition.instrument == "euclid" and definition.full_instrument is None:
        return None
    population = next(iter(definition.modes[definition.default_mode].populations.values()))
    experiment = Experiment(definition.drawn(population, 0, 1), definition.arms())
    try:
        for arm in range(len(experiment.arms)):
            experiment.images(0, arm)
    except (LensauditError, KeyError) as error:
        what = f"needs {error}" if isinstance(error, KeyError) else str(error)
        return f"its edits do not fit {definition.instrument} scenes ({what})"
    return None


def _candidates(finder: Finder) -> Iterator[Instrument]:
    """Shipped instruments of the finder's bands: as they are, then in its field of view, the nearest pixel first."""
    bands = finder.recipe.bands
    fitting = [one for one in INSTRUMENTS.values() if set(bands) <= set(one.band_names)]
    yield from fitting
    pixel = finder.field_arcsec / finder.recipe.size
    for one in sorted(fitting, key=lambda one: abs(one.band(bands[0]).pixel_scale_arcsec - pixel)):
        try:
            yield resized(one, finder.field_arcsec)
        except UsageError:  # its bands have no common grid of that size
            continue


def _modes(definition: ProbeDefinition, instrument: Instrument) -> dict[str, Mode]:
    counterparts = dict(instrument.counterparts)
    if not counterparts:
        return definition.modes
    return {
        name: mode.model_copy(
            update={"populations": {label: counterparts[drawn] for label, drawn in mode.populations.items()}}
        )
        for name, mode in definition.modes.items()
        if all(drawn in counterparts for drawn in mode.populations.values())
    }


def _doses(doses: Doses, instrument: Instrument) -> Doses:
    """What a dose is on the sky, in the bands of the instrument."""
    said = {name: _words(getattr(doses, name), instrument) for name in ("label", "phrase")}
    physical = doses.physical
    if physical is None or physical.column is None:
        return doses.model_copy(update=said)
    column = _column(physical.column, instrument)
    if column is None:
        return doses.model_copy(update={**said, "physical": None})
    words = {name: _words(getattr(physical, name), instrument) for name in ("at", "above", "below")}
    return doses.model_copy(update={**said, "physical": physical.model_copy(update={"column": column, **words})})


def _words(words: str, instrument: Instrument) -> str:
    """The same of the instrument's colour and reference band."""
    if len(set(instrument.colour)) == len(EUCLID_COLOUR):
        words = words.replace(" − ".join(EUCLID_COLOUR), " − ".join(instrument.colour))
    return words.replace(EUCLID_REFERENCE, instrument.reference)


def _curves(curves: dict[str, Axis], instrument: Instrument) -> dict[str, Axis]:
    moved = {_column(name, instrument): axis for name, axis in curves.items()}
    return {name: axis for name, axis in moved.items() if name is not None}


def _column(name: str, instrument: Instrument) -> str | None:
    """The truth column that stands for one of Euclid's; None where there is none."""
    known = [column.name for column in truth_columns(instrument)]
    if name in known:
        return name
    moved = name.replace("_".join(EUCLID_COLOUR), "_".join(instrument.colour))
    if moved.startswith("mag_"):
        moved = moved.replace(f"_{EUCLID_REFERENCE}", f"_{instrument.reference}")
    return moved if moved in known else None


def cutouts_of(instrument: Instrument) -> Fields:
    """What cutouts of an instrument are said to be, as a set says it."""
    return Drawn("", 0, 0, instrument.name, instrument).fields


def _takes(finder: Finder, instrument: Instrument) -> bool:
    try:
        fields = cutouts_of(instrument)
        finder.for_units(fields).check(fields)
    except DataError:
        return False
    return True
