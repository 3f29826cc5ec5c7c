"""Edits of scenes seen in their images and truth: what should change does, by the amount a closed form gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lensaudit.imaging import EUCLID, INSTRUMENTS, noiseless_images, render
from lensaudit.scenes import Scene, draw_scene, edits


@pytest.fixture(scope="module")
def lens():
    """A lens alone in its field, bright enough for its arcs to fill many pixels."""
    drawn = (draw_scene("conspicuous", 2, index) for index in range(20))
    scene = next(scene for scene in drawn if scene.label)
    return replace(scene, galaxies=tuple(galaxy for galaxy in scene.galaxies if galaxy.role != "field"))


@pytest.fixture(scope="module")
def plain(lens):
    return render(lens, EUCLID)


def row(scene):
    return render(scene, EUCLID).truth.row


@pytest.mark.parametrize("mag", [0.5, 1.0, 2.0])
def test_arc_flux_falls_with_the_source_s_and_its_snr_almost_so(lens, plain, mag):
    dimmed = row(edits.source_dimmed(lens, mag))
    # Light below 0.01 σ a pixel is not drawn, so the faint wings are cut a little earlier.
    assert dimmed["mag_arc_VIS"] == pytest.approx(plain.truth.row["mag_arc_VIS"] + mag, abs=0.02)
    # The mask shrinks too, and so does √N_pix below the flux: S/N falls by somewhat less than the flux.
    ratio = dimmed["arc_snr"] / plain.truth.row["arc_snr"]
    assert 10 ** (-0.4 * mag) <= ratio <= 10 ** (-0.4 * mag) * (1 + 0.45 * mag)
    assert dimmed["n_arc_pixels"] < plain.truth.row["n_arc_pixels"]


def test_a_louder_background_doubles_noise_and_lifts_the_threshold(lens, plain):
    loud = render(edits.noise_level(lens, 2.0), EUCLID)
    for band in EUCLID.bands:
        name = band.name
        assert np.array_equal(loud.noiseless[name], plain.noiseless[name])
        before, after = (image.images[name] - image.noiseless[name] for image in (plain, loud))
        photons = np.maximum(plain.noiseless[name], 0.0) / band.total_exposure_s
        factor = np.sqrt(((2.0 * band.background_sigma) ** 2 + photons) / (band.background_sigma**2 + photons))
        rounding = 1e-6 * plain.images[name].max()  # float32 images
        np.testing.assert_allclose(after, factor * before, rtol=1e-4, atol=rounding)
        assert np.median(factor) == pytest.approx(2.0, rel=0.01)  # most pixels are sky
        light = plain.truth.source_light[name]
        np.testing.assert_array_equal(loud.truth.mask[name], light > 0.5 * (2.0 * band.background_sigma))
        snr = light[loud.truth.mask[name]].sum() / (2.0 * band.background_sigma * loud.truth.mask[name].sum() ** 0.5)
        assert loud.truth.row[f"arc_snr_{name}"] == pytest.approx(snr, rel=1e-5)  # float32 sums
    assert loud.truth.row["arc_snr"] < 0.75 * plain.truth.row["arc_snr"]


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
def test_an_empty_sky_has_the_scaled_noise(scale):
    field = draw_scene("single", 1, 0).galaxies[-1]
    faint = replace(field, light=tuple(replace(x, magnitudes=dict.fromkeys(x.magnitudes, 60.0)) for x in field.light))
    images = render(Scene("no-source", (faint,), noise_seed=3, noise_scale=scale), EUCLID).images
    for band in EUCLID.bands:
        # The standard error of a standard deviation from 40 000 and 4356 pixels, four times over.
        tolerance = 0.015 if band.name == "VIS" else 0.045
        assert images[band.name].std() == pytest.approx(scale * band.background_sigma, rel=tolerance)


@pytest.mark.parametrize("radius", [0.8, 1.5])
def test_the_truth_tells_the_edited_einstein_radius(lens, plain, radius):
    edited = row(edits.einstein_radius(lens, radius))
    assert edited["theta_e_arcsec"] == pytest.approx(radius, rel=1e-9)
    assert edited["mag_source_VIS"] == plain.truth.row["mag_source_VIS"]


def test_arcs_stand_at_the_edited_einstein_radius(lens):
    galaxies = [
        replace(g, light=tuple(replace(x, r_eff_arcsec=0.1, axis_ratio=1.0) for x in g.light)) if g.mass is None else g
        for g in round_sphere(lens).galaxies
    ]
    small = replace(lens, galaxies=tuple(galaxies))
    for radius in (0.8, 1.5, 2.5):
        near = edits.source_offset(edits.einstein_radius(small, radius), 0.2)
        light = render(near, EUCLID).truth.source_light["VIS"].astype(np.float64)
        main = near.galaxies[0]
        axis = (np.arange(200) - 99.5) * 0.1
        distance = np.hypot(*np.meshgrid(axis - main.x_arcsec, axis - main.y_arcsec))
        # Images at 1 ± u with magnifications 1/u ± 1: their mean is (1 + u²) θ_E; the source has some width.
        assert (light * distance).sum() / light.sum() == pytest.approx(1.04 * radius, rel=0.05)


def test_a_source_nearer_the_axis_is_magnified_more(lens):
    magnification = [row(edits.source_offset(lens, u))["magnification"] for u in (0.05, 0.4, 0.8)]
    assert magnification == sorted(magnification, reverse=True)
    sphere = row(edits.source_offset(round_sphere(lens), 0.4))["magnification"]
    assert sphere == pytest.approx(2.0 / 0.4, rel=0.1)  # holds for a point; the source has some width


def round_sphere(scene):
    galaxies = [
        replace(g, mass=replace(g.mass, axis_ratio=1.0, gamma1=0.0, gamma2=0.0)) if g.mass else g
        for g in scene.galaxies
    ]
    return replace(scene, galaxies=tuple(galaxies))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_reddened_source_leaves_the_vis_image_bit_for_bit(lens, plain, strength):
    red = render(edits.source_colour(lens, strength), EUCLID)
    lens_colour, source_colour = plain.truth.row["colour_lens_VIS_H"], plain.truth.row["colour_source_VIS_H"]
    expected = (1 - strength) * source_colour + strength * lens_colour
    assert red.truth.row["colour_source_VIS_H"] == pytest.approx(expected, abs=1e-9)
    assert not np.array_equal(red.images["H"], plain.images["H"])
    # VIS light is drawn to where the brightest band still shows, so only wings below 0.01 σ may differ.
    sigma = EUCLID.band("VIS").background_sigma
    assert np.abs(red.images["VIS"] - plain.images["VIS"]).max() < 0.02 * sigma


def test_the_lens_galaxy_s_light_can_be_taken_away(lens, plain):
    dark = render(edits.lens_light(lens, 1.0), EUCLID)
    for band in EUCLID.bands:
        assert np.array_equal(dark.truth.source_light[band.name], plain.truth.source_light[band.name])
        rest = dark.noiseless[band.name] - dark.truth.source_light[band.name]
        assert rest.max() < 0.05 * band.background_sigma


@pytest.mark.parametrize("arcsec", [0.0, 3.0])
def test_arcs_move_with_the_lens(lens, plain, arcsec):
    edited = row(edits.off_centre(lens, arcsec))
    assert np.hypot(edited["lens_x_arcsec"], edited["lens_y_arcsec"]) == pytest.approx(arcsec, abs=1e-9)
    assert edited["mag_arc_VIS"] == pytest.approx(plain.truth.row["mag_arc_VIS"], abs=0.03)  # other pixel phases


def test_a_turned_psf_keeps_the_flux(lens, plain):
    turned = render(edits.psf_angle(lens, lens.psf.angle_deg + 60.0), EUCLID)
    assert turned.truth.row["psf_angle_deg"] == lens.psf.angle_deg + 60.0
    total = plain.noiseless["VIS"].sum()
    assert turned.noiseless["VIS"].sum() == pytest.approx(total, rel=2e-3)  # a little leaves the frame's edge
    assert not np.array_equal(turned.noiseless["VIS"], plain.noiseless["VIS"])


def test_a_wider_psf_lowers_the_peak(lens, plain):
    peaks = [render(edits.psf_width(lens, factor), EUCLID).noiseless["VIS"].max() for factor in (1.0, 1.5, 2.5)]
    assert peaks[0] == plain.noiseless["VIS"].max()
    assert peaks == sorted(peaks, reverse=True)


def test_companions_leave_the_pixels_they_do_not_reach(lens, plain):
    beside = render(edits.companions(lens, 1), EUCLID)
    changed = np.abs(beside.noiseless["VIS"] - plain.noiseless["VIS"]) > 0.5 * EUCLID.band("VIS").background_sigma
    assert 5 < changed.sum() < changed.size / 4
    for band in EUCLID.band_names:
        assert np.array_equal(beside.truth.source_light[band], plain.truth.source_light[band])


@pytest.mark.parametrize("name", ["unlensed", "as_spiral", "as_ring", "as_merger"])
def test_a_contaminant_has_no_lensed_light(lens, plain, name):
    rendered = render(getattr(edits, name)(lens), EUCLID)
    assert rendered.truth.row["label"] == 0
    for band in EUCLID.band_names:
        assert not rendered.truth.source_light[band].any()
        assert not rendered.truth.mask[band].any()


@pytest.mark.parametrize("name", ["as_spiral", "as_ring"])
def test_a_contaminant_carries_the_estimated_flux_of_the_arcs(lens, name):
    edited = getattr(edits, name)(lens)
    own = replace(edited, galaxies=tuple(replace(g, light=g.light[-1:]) for g in edited.galaxies))
    flux = render(own, EUCLID).noiseless["VIS"].sum(dtype=np.float64)
    magnitude = EUCLID.band("VIS").zero_point_mag - 2.5 * np.log10(flux)
    assert magnitude == pytest.approx(own.galaxies[0].magnitude("VIS"), abs=0.05)  # wings beyond the frame


@pytest.mark.parametrize("fraction", [0.3, 0.8])
@pytest.mark.parametrize("index", range(4))
def test_clumps_hold_the_flux_of_the_smooth_source(index, fraction):
    scene = draw_scene("conspicuous", 6, index)
    if not scene.label:
        scene = draw_scene("single", 6, index)
    fluxes = []
    for drawn in (scene, edits.source_clumpiness(scene, fraction)):
        seen = edits.unlensed(drawn)
        alone = tuple(galaxy for galaxy in seen.galaxies if galaxy.role == "companion")
        fluxes.append(render(replace(seen, galaxies=alone), EUCLID).noiseless["VIS"].sum(dtype=np.float64))
    # Smooth wings below 0.01 σ are not drawn; clumps are brighter, so more of them is.
    assert fluxes[1] == pytest.approx(fluxes[0], rel=0.05)


@pytest.mark.parametrize("index", range(3))
def test_a_second_source_of_hardly_any_light_leaves_the_first_one_s_arcs(index):
    """Shear is quoted for the farthest galaxy: unscaled, the first source's arcs would move by several σ."""
    scene = draw_scene("single", 3, index)
    alone, beside = (render(one, EUCLID).noiseless["VIS"] for one in (scene, edits.second_source(scene, 1e-6)))
    # 0.05 σ: the second source's own light, 15 mag fainter, is cut at 0.01 σ a pixel
    assert np.abs(beside - alone).max() < 0.05 * EUCLID.bands[0].background_sigma


FINE = INSTRUMENTS["vis64"]


def unlensed_flux(scene):
    """Light of the source where it stands, without any lens, in pixels summed, over what its magnitude says."""
    source = scene.lensed[-1]
    alone = replace(scene, galaxies=(replace(source, x_arcsec=0.013, y_arcsec=-0.021),))
    band = FINE.bands[0]
    seen = noiseless_images(alone, FINE)[band.name].sum()
    return seen / band.flux(source.magnitude(band.name))


@pytest.mark.parametrize("index", range(3))
def test_size_and_index_keep_the_flux_and_a_larger_source_has_less_arc_snr(index):
    scene = edits.source_sersic(draw_scene("uniform-lens", 4, index, FINE.sky), 1.5)
    small, large = (edits.source_size(scene, factor) for factor in (0.6, 1.8))
    flat, peaked = (edits.source_sersic(scene, n) for n in (0.7, 3.0))
    for edited in (scene, small, large, flat, peaked):
        # Light below 0.01 σ a pixel is not drawn, which can take .07 of a faint source's wings: so of a bright one.
        assert unlensed_flux(edits.source_dimmed(edited, -5.0)) == pytest.approx(1.0, abs=0.04)
    small, large, bright = (
        render(one, FINE).truth.row for one in (small, large, edits.source_size(scene, 1.8, hold="surface-brightness"))
    )
    assert large["n_arc_pixels"] > small["n_arc_pixels"]
    assert large["arc_snr"] < small["arc_snr"]
    assert bright["arc_snr"] > large["arc_snr"]
    # Magnification is averaged over more of the source plane, near a caustic down, far from it up.
    assert large["magnification"] == pytest.approx(small["magnification"], rel=0.25)
