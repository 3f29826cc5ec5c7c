"""Contract of every edit that a probe may name, at every strength at which a built-in probe asks for it."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.errors import UsageError
from lensaudit.imaging import EUCLID, render, truth_columns
from lensaudit.probes import EDITS, builtin_probes, load_definition
from lensaudit.probes.columns import physical_columns
from lensaudit.probes.steps import Edit, _by_name
from lensaudit.scenes import Scene, draw_scene

COMPOUND = ("compound-arcs", "compound-rings", "compound-arcs-faithful", "compound-rings-faithful")
KERNEL = {"psf-from-file": {"path": "psf.fits"}}


def asked_for():
    """(edit, strength) of all steps of all built-in probes."""
    steps = {
        (step.edit, step.strength)
        for name in builtin_probes()
        for arm in load_definition(name).arms()
        for step in arm.steps
    }
    return sorted(steps, key=repr)


def population_for(edit):
    return "compound-arcs" if edit == "without-far-source" else "single"


def test_every_edit_is_asked_for_by_a_probe_or_is_for_users():
    assert set(EDITS) - {edit for edit, _ in asked_for()} == {"psf-round"}


@pytest.mark.parametrize(
    ("name", "strength"),
    [s for s in asked_for() if EDITS[s[0]].level == "scene" and s[0] != "source-texture"],  # needs files: test_texture
)
def test_an_edit_of_scenes_keeps_noise_label_and_the_scene_it_was_given(name, strength):
    edit, strength = EDITS[name], 0.0 if strength is None else strength
    for index in range(3):
        scene = draw_scene(population_for(name), 1, index)
        before = scene.to_json()
        edited = edit.apply(scene, strength, **KERNEL.get(name, {}))
        assert isinstance(edited, Scene)
        assert edited.noise_seed == scene.noise_seed
        assert edited.label == (scene.label if edit.label is None else edit.label)
        assert scene.to_json() == before
        assert edit.apply(scene, strength, **KERNEL.get(name, {})) == edited


@pytest.fixture(scope="module")
def images():
    return render(draw_scene("single", 1, 0), EUCLID).images


@pytest.mark.parametrize(("name", "strength"), [s for s in asked_for() if EDITS[s[0]].level == "image"])
def test_an_edit_of_images_keeps_bands_shapes_and_what_it_was_given(name, strength, images):
    before = {band: image.copy() for band, image in images.items()}
    edited, again = (
        EDITS[name].apply(images, strength or 0.0, np.random.default_rng(5)) for _ in range(2)
    )  # the same generator: all that an edit draws comes from it
    assert list(edited) == list(images)
    for band, image in edited.items():
        assert (image.shape, image.dtype) == (images[band].shape, np.float32)
        assert np.isfinite(image).all()
        assert np.array_equal(image, again[band])
        assert np.array_equal(before[band], images[band])


def test_edits_that_say_they_change_colours_leave_the_first_band_alone(images):
    scene = draw_scene("plain", 1, 0)
    plain = render(scene, EUCLID)
    for edit in EDITS.values():
        if not edit.colour:
            continue
        if edit.level == "image":
            first = edit.apply(images, 0.3, np.random.default_rng(0))["VIS"]
            assert np.array_equal(first, images["VIS"]), edit.name
        else:
            changed = np.abs(render(edit.apply(scene, 0.3), EUCLID).images["VIS"] - plain.images["VIS"]).max()
            # What is drawn at all reaches to 0.01 σ of the band in which it is brightest, so VIS wings differ by less.
            assert changed < 0.011 * EUCLID.band("VIS").background_sigma, edit.name


@pytest.mark.parametrize("name", builtin_probes())
def test_what_a_dose_is_on_the_sky_is_a_column_that_results_keep(name):
    definition = load_definition(name)
    physical = definition.doses.physical if definition.doses else None
    if physical is not None and physical.column is not None:
        assert physical.column in physical_columns(one.name for one in truth_columns(definition.seen_by))


def test_identity_changes_nothing():
    scene = draw_scene("compound-arcs", 1, 0)
    assert EDITS["identity"].apply(scene) is scene


@pytest.mark.parametrize("population", COMPOUND)
def test_without_far_source_takes_one_galaxy_and_leaves_a_lens(population):
    scene = draw_scene(population, 2, 5)
    single = EDITS["without-far-source"].apply(scene)
    assert single.psf == scene.psf
    assert len(single.galaxies) == len(scene.galaxies) - 1
    assert single.kind == "single"
    assert len(single.deflectors) == 1
    assert any(galaxy.role == "source" for galaxy in single.lensed)


def test_two_edits_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share one name"):
        _by_name(Edit("a", lambda scene: scene, ""), Edit("a", lambda scene: scene, ""))


def test_an_unknown_edit_lists_what_is_allowed():
    from lensaudit.probes.steps import find_edit

    with pytest.raises(UsageError, match="edit 'redder' is unknown; allowed: identity"):
        find_edit("redder")


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
