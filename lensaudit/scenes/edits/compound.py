"""Edits that take lensed sources away: the far one of a compound lens, or all of them."""

from __future__ import annotations

from dataclasses import replace

from lensaudit.errors import UsageError
from lensaudit.scenes.scene import Scene


def without_far_source(scene: Scene) -> Scene:
    """Remove the far source of a compound lens; the front galaxy and its image of the middle one remain.

    Where the scene leaves the middle galaxy's light unlensed (the paper's own way), the edit lets the front galaxy
    lens it, since otherwise no lens at all would remain.

    Raises
    ------
    UsageError
        The scene is no compound lens.
    """
    if scene.kind not in ("compound-arcs", "compound-rings"):
        raise UsageError(f"without_far_source: the scene is '{scene.kind}', a compound lens is needed")
    galaxies = tuple(
        replace(galaxy, mass=None, lensed=True, role="source") if galaxy.role == "mid" else galaxy
        for galaxy in scene.galaxies
        if galaxy.role != "source"
    )
    return replace(scene, kind="single", galaxies=galaxies)


def without_source(scene: Scene) -> Scene:
    """Remove every lensed source and keep the deflectors' light: the matched non-lens."""
    galaxies = tuple(galaxy for galaxy in scene.galaxies if galaxy.role not in ("source", "mid"))
    return replace(scene, kind="no-source", galaxies=galaxies)
