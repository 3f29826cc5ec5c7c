"""Contract of every edit that a probe may name."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.imaging import EUCLID, render
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


def test_without_far_source_leaves_all_other_light_alone():
    """Noiseless pixels without the lensed light are those of the scene as drawn."""
    scene = draw_scene("compound-rings", 2, 5)
    drawn, single = (render(one, EUCLID) for one in (scene, EDITS["without-far-source"].apply(scene)))
    for band in drawn.noiseless:
        before = drawn.noiseless[band] - drawn.truth.source_light[band]
        after = single.noiseless[band] - single.truth.source_light[band]
        peak = drawn.noiseless[band].max()
        assert np.abs(after - before).max() < 1e-5 * peak  # float32 images; field galaxies keep their places
        assert np.abs(drawn.noiseless[band] - single.noiseless[band]).max() > 1e-3 * peak  # the edit is there
