"""The edits a probe definition may name: of a scene before it is rendered, or of the images afterwards.

To add a probe: write the edit as a function of a scene and a strength, list it here, write ``probes/NAME.yaml``, and
extend ``tests/probes/test_edits.py`` (its contract suite runs over everything listed). An edit of your own need not be
listed: a definition may name it ``package.module:function``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from lensaudit.errors import UsageError
from lensaudit.files import sha256
from lensaudit.foreign_code import imported
from lensaudit.imaging import image_edits
from lensaudit.scenes import Scene
from lensaudit.scenes import edits as scene_edits

Level = Literal["scene", "image"]
IDENTITY = "identity"


@dataclass(frozen=True)
class Edit:
    """A named edit; it keeps the noise seed, so that all arms of a pair share their noise.

    Attributes
    ----------
    apply
        ``apply(scene, strength, **parameters) -> Scene``, or, of images, ``apply(images, strength, rng) -> images``.
    level
        What it acts on.
    colour
        It changes colours only, which a finder of one band cannot see.
    label
        What the treated scene is: a lens as before (None), or a non-lens (0), where the edit takes the lensing away.
    source_hash
        SHA-256 of the file a user's own edit stands in: answers to its images are kept under it. Built-in: empty.
    """

    name: str
    apply: Callable[..., Any]
    description: str
    level: Level = "scene"
    colour: bool = False
    label: int | None = None
    source_hash: str = ""


def _identity(scene: Scene, _strength: float = 0.0) -> Scene:
    return scene


def _without_far_source(scene: Scene, _strength: float = 0.0) -> Scene:
    return scene_edits.without_far_source(scene)


def _by_name(*edits: Edit) -> dict[str, Edit]:
    named = {edit.name: edit for edit in edits}
    if len(named) != len(edits):
        raise ValueError("two edits share one name")
    return named


EDITS = _by_name(
    Edit(IDENTITY, _identity, "the scene as drawn"),
    Edit("without-far-source", _without_far_source, "the far source removed: an ordinary single lens remains"),
    Edit("source-colour", scene_edits.source_colour, "colour of the source, VIS magnitude fixed", colour=True),
    Edit("source-colour-total-flux", scene_edits.source_colour_total_flux, "colour of the source, total flux fixed"),
    Edit("second-source", scene_edits.second_source, "a second, farther source lensed by the same galaxy"),
    Edit("source-dimmed", scene_edits.source_dimmed, "source fainter in all bands"),
    Edit("source-clumpiness", scene_edits.source_clumpiness, "part of the source's light in clumps"),
    Edit("source-offset", scene_edits.source_offset, "distance of the source from the deflector in θ_E"),
    Edit("einstein-radius", scene_edits.einstein_radius, "Einstein radius, all light as it was"),
    Edit("psf-angle", scene_edits.psf_angle, "turn of the point-spread function"),
    Edit("psf-from-file", scene_edits.psf_from_file, "point-spread function of a file, turned"),
    Edit("psf-round", scene_edits.psf_round, "round point-spread function"),
    Edit("psf-width", scene_edits.psf_width, "width of the point-spread function"),
    Edit("off-centre", scene_edits.off_centre, "distance of the lens from the cutout's centre"),
    Edit("lens-colour", scene_edits.lens_colour, "colour of the lens galaxy, VIS magnitude fixed", colour=True),
    Edit("lens-light", scene_edits.lens_light, "part of the lens galaxy's light removed"),
    Edit("noise-level", scene_edits.noise_level, "background noise"),
    Edit("companions", scene_edits.companions, "blue galaxies beside the lens"),
    Edit("unlensed", scene_edits.unlensed, "lensing switched off, the same galaxies", label=0),
    Edit("as-spiral", scene_edits.as_spiral, "spiral arms in place of the arcs", label=0),
    Edit("as-ring", scene_edits.as_ring, "a ring of the galaxy's own in place of the arcs", label=0),
    Edit("as-merger", scene_edits.as_merger, "a second nucleus and debris in place of the arcs", label=0),
    Edit("orientation", image_edits.orientation, "one of the eight rotations and mirrors", "image"),
    Edit("sub-pixel-shift", image_edits.sub_pixel_shift, "shift by less than a pixel", "image"),
    Edit("band-swap", image_edits.band_swap, "bands in another order", "image", colour=True),
    Edit("band-duplicate", image_edits.band_duplicate, "the first band in place of all", "image", colour=True),
    Edit("recolour", image_edits.recolour, "bands brighter the redder they are", "image", colour=True),
    Edit("added-noise", image_edits.added_noise, "noise added to the image", "image"),
    Edit("background-offset", image_edits.background_offset, "a constant added to the image", "image"),
)


def find_edit(name: str, level: Level = "scene") -> Edit:
    """A built-in edit, or the user's own, named ``package.module:function``.

    Raises
    ------
    UsageError
        There is no such edit, or its module cannot be imported.
    """
    if name in EDITS:
        return EDITS[name]
    if ":" not in name:
        raise UsageError(f"edit '{name}' is unknown; allowed: {', '.join(EDITS)}, or package.module:function")
    return _foreign(name, level)


@lru_cache(maxsize=64)
def _foreign(name: str, level: Level) -> Edit:
    found, file = imported(name, f"edit '{name}'", "function")
    source_hash = "" if file is None else sha256(file)
    return Edit(name, found, (found.__doc__ or name).strip().splitlines()[0], level, source_hash=source_hash)
