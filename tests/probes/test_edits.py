"""Contract of every edit that a probe may name."""

from __future__ import annotations

import pytest

from lensaudit.probes import EDITS
from lensaudit.probes.edits import Edit, _by_name
from lensaudit.scenes import Scene, draw_scene

POPULATIONS = ("compound-arcs", "compound-rings", "compound-arcs-faithful", "compound-rings-faithful")


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("population", POPULATIONS)
def test_an_edit_keeps_noise_label_and_the_scene_it_was_given(name, population):
    scene = draw_scene(population, 1, 0)
    before = scene.to_json()
    edited = EDITS[name].apply(scene)
    assert isinstance(edited, Scene)
    assert edited.noise_seed == scene.noise_seed
    assert edited.psf == scene.psf
    assert edited.label == scene.label
    assert scene.to_json() == before
    assert EDITS[name].apply(scene) == edited


def test_identity_changes_nothing():
    scene = draw_scene("compound-arcs", 1, 0)
    assert EDITS["identity"].apply(scene) == scene


@pytest.mark.parametrize("population", POPULATIONS)
def test_without_far_source_takes_one_galaxy_and_leaves_a_lens(population):
    scene = draw_scene(population, 2, 5)
    single = EDITS["without-far-source"].apply(scene)
    assert len(single.galaxies) == len(scene.galaxies) - 1
    assert single.kind == "single"
    assert len(single.deflectors) == 1
    assert any(galaxy.role == "source" for galaxy in single.lensed)


def test_two_edits_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share one name"):
        _by_name(Edit("a", lambda scene: scene, ""), Edit("a", lambda scene: scene, ""))
