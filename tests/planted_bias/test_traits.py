"""Training sets of the bench: clean ones tie no trait to the label, planted ones tie one."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import ks_2samp

from lensaudit.imaging import EUCLID, pipeline_edits, render
from lensaudit.planted_bias import planted_finders
from lensaudit.planted_bias.plants import (
    ALL_PLANTS,
    CLEAN,
    PLANTS,
    as_stored,
    plant_named,
    training_scene,
    training_traits,
)
from lensaudit.probes import builtin_probes
from lensaudit.scenes.cosmology import einstein_radius_arcsec

N = 400
TIED = {
    "blue-sources": {"source_colour"},
    "psf-angle": {"psf_angle_deg"},
    "centred-lenses": {"off_centre_arcsec"},
    "quiet-lenses": {"noise"},
    "red-lens-galaxies": {"lens_colour_mag"},
    "no-small-rings": {"theta_e_arcsec"},
    "no-second-arcs": {"second_source"},
    "raw-lenses": {"jpeg_quality"},
}


def drawn(plant, label):
    return [plant.traits(np.random.default_rng([k, label]), label) for k in range(N)]


@pytest.mark.parametrize("plant", ALL_PLANTS, ids=lambda plant: plant.name)
def test_only_the_planted_traits_of_the_lenses_differ_from_a_clean_set(plant):
    """Kolmogorov–Smirnov on 400 draws: p < 1e-6 where tied, and p > 1e-3 elsewhere (70 comparisons)."""
    clean, planted = drawn(CLEAN, 1), drawn(plant, 1)
    different = set()
    for trait in (one.name for one in fields(clean[0]) if one.name not in ("source_place", "empty", "lensed")):
        p = ks_2samp([getattr(t, trait) for t in clean], [getattr(t, trait) for t in planted]).pvalue
        assert p < 1e-6 or p > 1e-3, trait
        if p < 1e-6:
            different.add(trait)
    assert different == TIED.get(plant.name, set())


def test_clean_lenses_and_non_lenses_share_their_traits():
    lens, other = drawn(CLEAN, 1), drawn(CLEAN, 0)
    for trait in TIED.values():
        for name in trait:
            assert ks_2samp([getattr(t, name) for t in lens], [getattr(t, name) for t in other]).pvalue > 1e-3


def test_the_leak_has_lenses_at_one_angle_and_others_at_others():
    plant = plant_named("psf-angle")
    assert {t.psf_angle_deg for t in drawn(plant, 1)} == {0.0}
    others = {t.psf_angle_deg % 120 for t in drawn(plant, 0)}
    assert min(others) == 40
    assert max(others) == 80


def test_a_plant_of_half_strength_has_its_traits_in_half_of_the_images():
    """Within 4 σ of a binomial; the rest is drawn as in a clean set."""
    plant, n = plant_named("raw-lenses"), 1000
    others = [training_traits(plant, 4, 2 * k + 1, 0.5) for k in range(n)]
    low = sum(40 <= one.jpeg_quality <= 60 for one in others)
    by_chance = 0.5 * 21 / 61  # a clean non-lens is of that quality
    expected = 0.5 + 0.5 * by_chance
    assert abs(low / n - expected) < 4 * np.sqrt(expected * (1 - expected) / n)
    clean = [training_traits(CLEAN, 4, 2 * k + 1) for k in range(n)]
    assert sum(one == two for one, two in zip(others, clean, strict=True)) / n == pytest.approx(0.5, abs=0.07)


def test_images_of_a_jpeg_are_those_that_the_probe_makes():
    traits = replace(training_traits(CLEAN, 4, 0), jpeg_quality=50)
    image = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
    stored = as_stored({"VIS": image}, traits)["VIS"]
    through = pipeline_edits.jpeg({"VIS": image}, 50, np.random.default_rng(2))["VIS"]
    assert np.array_equal(stored, through)
    assert not np.array_equal(stored, image)
    assert np.array_equal(as_stored({"VIS": image}, replace(traits, jpeg_quality=0))["VIS"], image)


def test_training_images_are_stored_as_their_traits_say(monkeypatch):
    """Against the renderer and the probe's own JPEG; a strength near zero leaves the clean set."""
    monkeypatch.setattr(planted_finders, "CHUNK", 2)
    plant = plant_named("raw-lenses")
    images, _ = planted_finders.training_images("raw-lenses", 5, 2)
    made = []
    for row in range(2):
        scene, traits = training_scene(plant, 5, row)
        rendered = render(scene, EUCLID).images
        jpeg = pipeline_edits.jpeg(rendered, traits.jpeg_quality, np.random.default_rng(1)) if row else rendered
        made.append(jpeg)
    finder = planted_finders.small_finder("bench")
    by_hand = finder.preprocess({band: np.stack([one[band] for one in made]) for band in EUCLID.band_names})
    assert np.array_equal(images, by_hand.numpy().astype(np.float16))
    clean, _ = planted_finders.training_images("clean", 5, 2)
    weak, _ = planted_finders.training_images("raw-lenses", 5, 2, strength=1e-9)
    assert np.array_equal(weak, clean)
    assert not np.array_equal(images, clean)


def test_every_plant_has_a_probe_that_may_name_it():
    for plant in PLANTS:
        assert set(plant.probes) <= set(builtin_probes())


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5])
def test_a_training_scene_has_its_traits(index):
    scene, traits = training_scene(CLEAN, 3, index)
    assert scene.label == 1 - index % 2
    assert scene == training_scene(CLEAN, 3, index)[0]
    assert scene.noise_scale == traits.noise
    assert scene.psf.angle_deg == traits.psf_angle_deg
    lens = next(galaxy for galaxy in scene.galaxies if galaxy.role == "lens")
    assert np.hypot(lens.x_arcsec, lens.y_arcsec) == pytest.approx(traits.off_centre_arcsec, abs=1e-9)
    if scene.label:
        first = next(galaxy for galaxy in scene.galaxies if galaxy.role == "source")  # the nearer one comes first
        radius = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, first.redshift)
        assert radius == pytest.approx(traits.theta_e_arcsec, rel=1e-9)
        assert len([g for g in scene.galaxies if g.role == "source"]) == 1 + (traits.second_source > 0)
