"""The edits a probe definition may name; each turns one scene into another.

To add a probe: write the edit as a function of a scene, list it here, write ``probes/NAME.yaml``, and extend
``tests/probes/test_edits.py`` (its contract suite runs over everything listed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lensaudit.scenes import Scene
from lensaudit.scenes.edits import without_far_source


@dataclass(frozen=True)
class Edit:
    """A named edit of a scene; it keeps the noise seed, so that both arms of a pair share their noise."""

    name: str
    apply: Callable[[Scene], Scene]
    description: str


def _identity(scene: Scene) -> Scene:
    return scene


def _by_name(*edits: Edit) -> dict[str, Edit]:
    named = {edit.name: edit for edit in edits}
    if len(named) != len(edits):
        raise ValueError("two edits share one name")
    return named


EDITS = _by_name(
    Edit("identity", _identity, "the scene as drawn"),
    Edit("without-far-source", without_far_source, "the far source removed, so that an ordinary single lens remains"),
)
