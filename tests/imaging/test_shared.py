"""Scenes rendered together are the same bits as rendered one by one, whatever they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lensaudit.imaging import EUCLID, raytracing, render, render_arms
from lensaudit.imaging.psf import convolve, convolved, spectrum
from lensaudit.imaging.raytracing import RayTracer, Shared
from lensaudit.scenes import Psf, draw_scene, edits


def moved(scene, role):
    """The first galaxy of a role shifted by a pixel."""
    old = next(galaxy for galaxy in scene.galaxies if galaxy.role == role)
    return replace(
        scene, galaxies=tuple(replace(g, x_arcsec=g.x_arcsec + 0.1) if g is old else g for g in scene.galaxies)
    )


def source_fainter(scene, by):
    """The source fainter by so many magnitudes: less of it is drawn, and fewer rays are needed."""
    source = next(galaxy for galaxy in scene.galaxies if galaxy.role == "source")
    light = tuple(
        replace(part, magnitudes={band: m + by for band, m in part.magnitudes.items()}) for part in source.light
    )
    return replace(scene, galaxies=tuple(replace(g, light=light) if g is source else g for g in scene.galaxies))


FAMILIES = {
    "source magnitude": lambda s: [s, source_fainter(s, 0.7), source_fainter(s, 1.6), source_fainter(s, -0.5)],
    "psf": lambda s: [s, edits.psf_angle(s, 30.0), edits.psf_width(s, 1.5), replace(s, psf=Psf("gaussian"))],
    "source colour": lambda s: [s, edits.source_colour(s, 0.5), edits.source_colour(s, 2.0)],
    "lens colour and light": lambda s: [s, edits.lens_colour(s, 0.5), edits.lens_light(s, 1.0)],
    "places": lambda s: [s, moved(s, "source"), moved(s, "lens"), edits.off_centre(s, 2.0)],
    "mass": lambda s: [s, edits.einstein_radius(s, 0.8), edits.einstein_radius(s, 2.0), edits.unlensed(s)],
    "shape": lambda s: [s, edits.source_clumpiness(s, 0.5), edits.as_ring(s), edits.as_spiral(s)],
    "noise": lambda s: [s, edits.noise_level(s, 2.0), replace(s, noise_seed=s.noise_seed + 1)],
    "neighbours": lambda s: [s, edits.companions(s, 2), edits.second_source(s, 0.5)],
}


def equal(one, other):
    for band in EUCLID.band_names:
        assert np.array_equal(one.images[band], other.images[band])
        assert np.array_equal(one.noiseless[band], other.noiseless[band])
        assert np.array_equal(one.truth.source_light[band], other.truth.source_light[band])
    for name, value in one.truth.row.items():
        same = other.truth.row[name]
        assert value == same or (value != value and same != same), name


@pytest.mark.parametrize("family", FAMILIES)
def test_together_is_apart_bit_for_bit(family):
    scenes = FAMILIES[family](draw_scene("single", 7, 2))
    for together, scene in zip(render_arms(scenes, EUCLID), scenes, strict=True):
        equal(together, render(scene, EUCLID))


def test_arms_whose_source_is_fainter_trace_no_rays_of_their_own(monkeypatch):
    traced = []
    true = raytracing.full_deflection
    monkeypatch.setattr(
        raytracing, "full_deflection", lambda *at, **named: traced.append(at[1].size) or true(*at, **named)
    )
    scene = draw_scene("single", 7, 2)
    render_arms([scene, source_fainter(scene, 0.7), source_fainter(scene, 1.6)], EUCLID)
    assert len(traced) == 1
    render_arms([scene, source_fainter(scene, -0.5)], EUCLID)
    assert len(traced) == 3


def test_compound_lenses_share_across_two_planes():
    scene = draw_scene("compound-arcs", 7, 0)
    scenes = [edits.without_far_source(scene), scene, replace(scene, psf=Psf("trefoil", angle_deg=40.0))]
    for together, one in zip(render_arms(scenes, EUCLID), scenes, strict=True):
        equal(together, render(one, EUCLID))


def test_the_order_of_the_arms_does_not_matter():
    scenes = FAMILIES["source colour"](draw_scene("single", 7, 1))
    forwards, backwards = render_arms(scenes, EUCLID), render_arms(scenes[::-1], EUCLID)[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        equal(one, other)


def test_arms_do_not_share_the_arrays_they_hand_out():
    """An edit of images may write into one arm without touching another."""
    one, other = render_arms([draw_scene("single", 7, 2)] * 2, EUCLID)
    before = other.images["VIS"].copy()
    one.images["VIS"][:] = 0.0
    assert np.array_equal(other.images["VIS"], before)


def test_a_turned_psf_traces_no_ray_again(monkeypatch):
    traced, trace = [], RayTracer.to_redshift
    monkeypatch.setattr(RayTracer, "to_redshift", lambda self, z: traced.append(z) or trace(self, z))
    scene = draw_scene("single", 7, 2)
    render(scene, EUCLID)
    alone = len(traced)
    render_arms(FAMILIES["psf"](scene) + FAMILIES["lens colour and light"](scene), EUCLID)
    assert len(traced) == 2 * alone  # once more for all seven arms together


def test_what_is_kept_is_made_once():
    shared, made = Shared(), []
    for key in ("a", "b", "a"):
        assert shared.get(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b"]


def test_one_spectrum_serves_many_kernels():
    rng = np.random.default_rng(0)
    image = np.zeros((40, 50))
    image[10:20, 5:30] = rng.random((10, 25))
    light = spectrum(image, 3)
    for _ in range(3):
        pattern = rng.random((7, 7))
        assert np.array_equal(convolved(light, pattern), convolve(image, pattern))
    assert not convolved(spectrum(np.zeros((8, 8)), 3), pattern).any()
