"""Whether a finder can be asked about a probe at all."""

from __future__ import annotations

from lensaudit.errors import DataError
from lensaudit.finders import Finder
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import Drawn, Fields


def why_not_applicable(definition: ProbeDefinition, finder: Finder, fields: Fields | None = None) -> str | None:
    """Why this finder cannot see what the probe changes, in one clause; None if it can.

    `fields` are those of the cutouts; by default of what the probe's instrument renders.
    """
    promised = Drawn("", 0, 0, definition.instrument).fields if fields is None else fields
    bands = finder.recipe.bands
    missing = [band for band in bands if band not in promised.bands]
    if missing:
        return (
            f"finder '{finder.name}' needs band {', '.join(missing)}, and the probe renders {promised.instrument} "
            f"({', '.join(promised.bands)}) only"
        )
    if definition.colour_only and len(bands) == 1:
        return f"finder '{finder.name}' sees band {bands[0]} alone, and the probe changes colours only"
    try:
        finder.for_units(promised).check(promised)
    except DataError as error:
        return str(error)
    return None
