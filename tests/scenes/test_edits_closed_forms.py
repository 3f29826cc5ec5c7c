"""What each edit does to a scene, against closed forms: θ_E, magnitudes, fluxes and places."""

from __future__ import annotations

from dataclasses import replace
from math import atan2, hypot, log10

import numpy as np
import pytest

from lensaudit.errors import UsageError
from lensaudit.scenes import Psf, draw_scene, edits
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.scene import Stamp

BANDS = ("VIS", "Y", "J", "H")
WAVELENGTH = {"VIS": 700.0, "Y": 1080.0, "J": 1370.0, "H": 1770.0}
EXACT = 1e-9  # magnitudes and arcsec in double precision, a few operations long


@pytest.fixture(scope="module", params=range(4))
def lens(request):
    return draw_scene("single", 11, request.param)


def source_of(scene):
    return next(g for g in scene.galaxies if g.role == "source")


def lens_of(scene):
    return next(g for g in scene.galaxies if g.role == "lens")


def theta_e(scene):
    deflector = scene.deflectors[0]
    return einstein_radius_arcsec(deflector.mass.sigma_v_km_s, deflector.redshift, source_of(scene).redshift)


def offset(scene):
    a, b = lens_of(scene), source_of(scene)
    return b.x_arcsec - a.x_arcsec, b.y_arcsec - a.y_arcsec


def colour(galaxy, band):
    return galaxy.magnitude(band) - galaxy.magnitude("VIS")


def flux(galaxy, band):
    return 10 ** (-0.4 * galaxy.magnitude(band))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.4])
def test_source_colours_lie_on_the_line_to_the_lens_s(lens, strength):
    before, after = source_of(lens), source_of(edits.source_colour(lens, strength))
    assert after.magnitude("VIS") == before.magnitude("VIS")
    for band in BANDS:
        expected = (1 - strength) * colour(before, band) + strength * colour(lens_of(lens), band)
        assert colour(after, band) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.4])
def test_total_flux_stays_while_colours_move(lens, strength):
    before, after = source_of(lens), source_of(edits.source_colour_total_flux(lens, strength))
    total = sum(flux(before, band) for band in BANDS)
    assert sum(flux(after, band) for band in BANDS) == pytest.approx(total, rel=EXACT)
    plain = source_of(edits.source_colour(lens, strength))
    for band in BANDS:
        assert colour(after, band) == pytest.approx(colour(plain, band), abs=EXACT)


@pytest.mark.parametrize("mag", [-0.5, 0.7, 2.0])
def test_source_dimmed_by_so_many_magnitudes(lens, mag):
    before, after = source_of(lens), source_of(edits.source_dimmed(lens, mag))
    for band in BANDS:
        assert after.magnitude(band) == pytest.approx(before.magnitude(band) + mag, abs=EXACT)


@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.95])
def test_clumps_hold_their_fraction_and_leave_flux_and_centroid(lens, fraction):
    before, after = source_of(lens), source_of(edits.source_clumpiness(lens, fraction))
    smooth, clumps = after.light[:-4], after.light[-4:]
    shape = before.light[0]
    for band in BANDS:
        assert after.magnitude(band) == pytest.approx(before.magnitude(band), abs=EXACT)
        held = sum(10 ** (-0.4 * clump.magnitudes[band]) for clump in clumps)
        assert held / flux(before, band) == pytest.approx(fraction, rel=EXACT)
    assert [replace(light, magnitudes={}) for light in smooth] == [replace(x, magnitudes={}) for x in before.light]
    assert np.mean([clump.dx_arcsec for clump in clumps]) == pytest.approx(shape.dx_arcsec, abs=EXACT)
    assert np.mean([clump.dy_arcsec for clump in clumps]) == pytest.approx(shape.dy_arcsec, abs=EXACT)
    for clump in clumps:
        assert hypot(clump.dx_arcsec, clump.dy_arcsec) <= 1.2 * shape.r_eff_arcsec + EXACT
        assert (clump.n_sersic, clump.r_eff_arcsec) == (1.0, max(0.15 * shape.r_eff_arcsec, 0.06))


def test_clumps_stand_at_the_same_places_for_all_fractions(lens):
    few, many = (source_of(edits.source_clumpiness(lens, f)).light[-4:] for f in (0.1, 0.9))
    assert [replace(light, magnitudes={}) for light in few] == [replace(light, magnitudes={}) for light in many]
    assert len({(light.dx_arcsec, light.dy_arcsec) for light in few}) == 4


def test_a_clumpy_source_can_be_reddened(lens):
    clumpy = edits.source_clumpiness(lens, 0.5)
    red = source_of(edits.source_colour(clumpy, 1.0))
    for band in BANDS:
        assert colour(red, band) == pytest.approx(colour(lens_of(lens), band), abs=EXACT)


@pytest.mark.parametrize("u", [0.05, 0.3, 0.9])
def test_source_offset_in_einstein_radii_along_the_drawn_direction(lens, u):
    edited = edits.source_offset(lens, u)
    assert hypot(*offset(edited)) == pytest.approx(u * theta_e(lens), rel=EXACT)
    assert atan2(*offset(edited)) == pytest.approx(atan2(*offset(lens)), abs=EXACT)
    assert lens_of(edited) == lens_of(lens)
    own = hypot(*offset(lens)) / theta_e(lens)
    assert offset(edits.source_offset(lens, own)) == pytest.approx(offset(lens), rel=EXACT)


def test_a_source_on_the_axis_of_its_deflector(lens):
    edited = edits.source_offset(lens, 0.0)
    assert offset(edited) == (0.0, 0.0)
    assert offset(edits.source_offset(edited, 0.5))[0] == pytest.approx(0.5 * theta_e(lens), rel=EXACT)


@pytest.mark.parametrize("radius", [0.5, 1.4, 3.0])
def test_einstein_radius_is_the_one_asked_for(lens, radius):
    edited = edits.einstein_radius(lens, radius)
    assert theta_e(edited) == pytest.approx(radius, rel=EXACT)
    ratio = radius / theta_e(lens)
    assert offset(edited) == pytest.approx([ratio * d for d in offset(lens)], rel=EXACT)
    assert source_of(edited).light == source_of(lens).light
    assert lens_of(edited).light == lens_of(lens).light
    before, after = lens.deflectors[0].mass, edited.deflectors[0].mass
    assert replace(after, sigma_v_km_s=before.sigma_v_km_s) == before


def test_psf_edits_set_what_they_name(lens):
    assert edits.psf_angle(lens, 35).psf == replace(lens.psf, angle_deg=35.0)
    assert edits.psf_width(lens, 1.5).psf == replace(lens.psf, fwhm_scale=1.5)
    assert edits.psf_width(edits.psf_width(lens, 1.5), 2.0).psf.fwhm_scale == 3.0
    assert edits.psf_round(lens).psf == Psf("gaussian")
    assert edits.psf_round(edits.psf_width(lens, 1.5)).psf == Psf("gaussian", fwhm_scale=1.5)
    expected = Psf("fits", angle_deg=20.0, path="a.fits", extension="PSF")
    assert edits.psf_from_file(lens, 20, path="a.fits", extension="PSF").psf == expected
    for edited in (edits.psf_angle(lens, 35), edits.psf_round(lens), edits.psf_width(lens, 1.5)):
        assert replace(edited, psf=lens.psf) == lens


def test_off_centre_moves_the_system_as_one(lens):
    near, far = (lens_of(edits.off_centre(lens, arcsec)) for arcsec in (1.0, 4.0))
    assert hypot(near.x_arcsec, near.y_arcsec) == pytest.approx(1.0, rel=EXACT)
    assert (far.x_arcsec, far.y_arcsec) == pytest.approx((4 * near.x_arcsec, 4 * near.y_arcsec), rel=EXACT)
    edited = edits.off_centre(lens, 4.0)
    assert offset(edited) == pytest.approx(offset(lens), abs=EXACT)
    middle = lens_of(edits.off_centre(lens, 0.0))
    assert (middle.x_arcsec, middle.y_arcsec) == (0.0, 0.0)


def test_off_centre_takes_all_galaxies_of_a_system_along():
    scene = draw_scene("compound-arcs", 3, 1)
    edited = edits.off_centre(scene, 2.0)
    moves = {
        (round(a.x_arcsec - b.x_arcsec, 9), round(a.y_arcsec - b.y_arcsec, 9), b.role == "field")
        for a, b in zip(edited.galaxies, scene.galaxies, strict=True)
    }
    assert len([move for move in moves if not move[2]]) == 1
    assert {move[:2] for move in moves if move[2]} <= {(0.0, 0.0)}
    merger = draw_scene("merger", 3, 1)
    edited = edits.off_centre(merger, 2.0)
    for after, before in zip(edited.galaxies, merger.galaxies, strict=True):
        assert (after == before) == (before.role == "field")


def test_directions_differ_from_scene_to_scene():
    angles = [atan2(g.y_arcsec, g.x_arcsec) for g in (lens_of(edits.off_centre(s, 1.0)) for s in scenes(6))]
    assert len({round(angle, 3) for angle in angles}) == 6


def scenes(count):
    return [draw_scene("single", 12, index) for index in range(count)]


@pytest.mark.parametrize("mag", [-0.6, 0.8])
def test_lens_colour_follows_the_wavelength(lens, mag):
    before, after = lens_of(lens), lens_of(edits.lens_colour(lens, mag))
    assert after.magnitude("VIS") == before.magnitude("VIS")
    for band in BANDS:
        expected = before.magnitude(band) - mag * (WAVELENGTH[band] - 700.0) / (1770.0 - 700.0)
        assert after.magnitude(band) == pytest.approx(expected, abs=EXACT)
    change = (after.magnitude("VIS") - after.magnitude("H")) - (before.magnitude("VIS") - before.magnitude("H"))
    assert change == pytest.approx(mag, abs=EXACT)
    assert source_of(edits.lens_colour(lens, mag)) == source_of(lens)


@pytest.mark.parametrize(("fraction", "mag"), [(0.5, 2.5 * log10(2)), (0.9, 2.5), (1.0, 15.0), (1 - 1e-9, 15.0)])
def test_lens_light_removes_its_fraction_and_keeps_the_mass(lens, fraction, mag):
    before, after = lens_of(lens), lens_of(edits.lens_light(lens, fraction))
    for band in BANDS:
        assert after.magnitude(band) == pytest.approx(before.magnitude(band) + mag, abs=EXACT)
    assert after.mass == before.mass


def test_noise_levels_multiply(lens):
    assert edits.noise_level(edits.noise_level(lens, 2.0), 1.5).noise_scale == 3.0
    assert replace(edits.noise_level(lens, 2.0), noise_scale=1.0) == lens


def test_companions_are_nested_blue_and_where_images_could_be(lens):
    five = [g for g in edits.companions(lens, 5).galaxies if g.role == "companion"]
    assert len(five) == 5
    for count in range(6):
        assert edits.companions(lens, count).galaxies == (*lens.galaxies, *five[:count])
    main, source = lens_of(lens), source_of(lens)
    for galaxy in five:
        distance = hypot(galaxy.x_arcsec - main.x_arcsec, galaxy.y_arcsec - main.y_arcsec)
        assert 0.8 * theta_e(lens) <= distance <= 2.2 * theta_e(lens)
        assert galaxy.magnitude("VIS") == pytest.approx(source.magnitude("VIS") - 1.5, abs=EXACT)
        assert not galaxy.lensed
        assert galaxy.mass is None


def test_unlensed_keeps_all_light_where_it_stands(lens):
    edited = edits.unlensed(lens)
    assert edited.deflectors == ()
    assert edited.lensed == ()
    assert [(g.light, g.x_arcsec, g.y_arcsec) for g in edited.galaxies] == [
        (g.light, g.x_arcsec, g.y_arcsec) for g in lens.galaxies
    ]


def arc_magnitude(scene):
    gain = 2.5 * log10(2.0 * theta_e(scene) / max(hypot(*offset(scene)), 0.05))
    return source_of(scene).magnitude("VIS") - min(gain, 3.0)


@pytest.mark.parametrize(("name", "profile"), [("as_spiral", "spiral"), ("as_ring", "ring")])
def test_light_of_the_galaxy_s_own_in_place_of_the_arcs(lens, name, profile):
    edited = getattr(edits, name)(lens)
    main = lens_of(edited)
    assert main.mass is None
    assert main.light[:-1] == lens_of(lens).light
    assert main.light[-1].profile == profile
    assert main.light[-1].magnitudes["VIS"] == pytest.approx(arc_magnitude(lens), abs=EXACT)
    assert not any(g.role == "source" for g in edited.galaxies)
    if name == "as_ring":
        assert main.light[-1].r_eff_arcsec == pytest.approx(theta_e(lens), rel=EXACT)


def test_a_merger_s_debris_carries_the_arcs_flux(lens):
    edited = edits.as_merger(lens)
    second, *debris = [g for g in edited.galaxies if g.role == "companion"]
    assert lens_of(edited) == replace(lens_of(lens), mass=None)
    total = -2.5 * log10(sum(flux(galaxy, "VIS") for galaxy in debris))
    assert total == pytest.approx(arc_magnitude(lens), abs=EXACT)
    assert 0.6 <= hypot(second.x_arcsec - lens_of(lens).x_arcsec, second.y_arcsec - lens_of(lens).y_arcsec) <= 2.5
    assert edited.deflectors == ()
    assert not any(g.role == "source" for g in edited.galaxies)


def posing_as_arcs(scene):
    """What stands where arcs would in a non-lens, as galaxies; the source of a lens."""
    if scene.label:
        return [source_of(scene)]
    body = lens_of(scene)
    beside = [g for g in scene.galaxies if g.role == "companion"][1 if scene.kind == "merger" else 0 :]
    return [*([replace(body, light=body.light[1:])] if body.light[1:] else []), *beside]


@pytest.mark.parametrize("kind", ["single", "spiral", "ring-galaxy", "merger", "edge-on", "companions"])
def test_what_passes_for_arcs_goes_along_the_line_to_its_galaxy_s_colour(kind):
    for index in range(6):
        scene = draw_scene(kind, 3, index)
        edited = edits.arc_colour(scene, 0.8)
        body = replace(lens_of(scene), light=lens_of(scene).light[:1])
        old, new = posing_as_arcs(scene), posing_as_arcs(edited)
        assert len(old) == len(new) >= 1
        for before, after in zip(old, new, strict=True):
            assert after.magnitude("VIS") == before.magnitude("VIS")
            for band in BANDS:
                expected = 0.2 * colour(before, band) + 0.8 * colour(body, band)
                assert colour(after, band) == pytest.approx(expected, abs=EXACT)
        again = edits.arc_colour(edited, 0.0)
        assert again == edited
        assert lens_of(edited).light[0] == lens_of(scene).light[0]
        others = [g for g in scene.galaxies if g.role == "field"]
        assert [g for g in edited.galaxies if g.role == "field"] == others


def test_the_second_nucleus_of_a_merger_and_a_galaxy_alone_keep_their_colours():
    merger, alone = draw_scene("merger", 3, 1), draw_scene("no-source", 3, 1)
    nucleus = next(g for g in merger.galaxies if g.role == "companion")
    assert nucleus in edits.arc_colour(merger, 1.0).galaxies
    assert edits.arc_colour(alone, 1.0) == alone


def arc_colours(low, high, n=300):
    """VIS − H (mag) of arcs and of what passes for them: of lenses and of non-lenses."""
    of_class = {0: [], 1: []}
    for index in range(n):
        scene = edits.arc_colour_drawn(draw_scene("euclid", 5, index), low, high)
        of_class[scene.label] += [one.magnitude("VIS") - one.magnitude("H") for one in posing_as_arcs(scene)]
    return [np.array(of_class[label]) for label in (1, 0)]


def test_drawn_colours_are_wide_in_both_classes_and_no_label():
    narrow, wide = arc_colours(0.0, 0.0), arc_colours(0.0, 1.5)
    for before, after in zip(narrow, wide, strict=True):
        assert (before > 1.3).mean() < 0.2  # blue ones, as training sets were
        assert (after > 1.3).mean() > 0.35  # and in 0.5 of all the strength lies above 0.75
        assert after.std() > 1.3 * before.std()
    lenses, non_lenses = wide
    # The chance that an arc is redder than what passes for one: ±0.04 is the standard deviation for 150 and 250.
    assert abs((lenses[:, None] > non_lenses).mean() - 0.5) < 0.12


def test_one_strength_is_drawn_for_a_scene_and_drawn_alike_again():
    scene = draw_scene("companions", 5, 2)
    assert edits.arc_colour_drawn(scene, 0.2, 1.4) == edits.arc_colour_drawn(scene, 0.2, 1.4)
    assert edits.arc_colour_drawn(scene, 0.7, 0.7) == edits.arc_colour(scene, 0.7)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_source_size_scales_lengths_and_holds_the_flux_or_the_surface_brightness(lens, factor):
    clumpy = edits.source_clumpiness(lens, 0.5)
    before = source_of(clumpy)
    at_flux = source_of(edits.source_size(clumpy, factor))
    at_brightness = source_of(edits.source_size(clumpy, factor, hold="surface-brightness"))
    for old, new in zip(before.light, at_flux.light, strict=True):
        assert new.r_eff_arcsec == pytest.approx(factor * old.r_eff_arcsec, rel=EXACT)
        assert (new.dx_arcsec, new.dy_arcsec) == pytest.approx((factor * old.dx_arcsec, factor * old.dy_arcsec))
        assert (new.n_sersic, new.axis_ratio, new.angle_rad) == (old.n_sersic, old.axis_ratio, old.angle_rad)
    assert (at_flux.x_arcsec, at_flux.y_arcsec) == (before.x_arcsec, before.y_arcsec)
    for band in BANDS:
        assert flux(at_flux, band) == pytest.approx(flux(before, band), rel=EXACT)
        # flux over the area of the half-light ellipse
        assert flux(at_brightness, band) / factor**2 == pytest.approx(flux(before, band), rel=EXACT)


def test_source_size_refuses_what_it_cannot_hold(lens):
    with pytest.raises(UsageError, match=r"source_size: hold is one of flux, surface-brightness, not 'colour'"):
        edits.source_size(lens, 2.0, hold="colour")
    with pytest.raises(UsageError, match="must be positive, not 0"):
        edits.source_size(lens, 0.0)


def test_source_sersic_changes_the_index_alone(lens):
    before, after = source_of(lens), source_of(edits.source_sersic(lens, 3.5))
    assert [light.n_sersic for light in after.light] == [3.5]
    assert replace(after, light=tuple(replace(light, n_sersic=before.light[0].n_sersic) for light in after.light)) == (
        before
    )
    with pytest.raises(UsageError, match=r"source_sersic: the Sérsic index must lie in \[0.3, 20\], not 21"):
        edits.source_sersic(lens, 21.0)


def test_source_sersic_refuses_a_real_galaxy(lens):
    source = source_of(lens)
    stamp = replace(source.light[0], profile="stamp", stamp=Stamp("a.fits", 0, "0" * 64))
    real = replace(lens, galaxies=tuple(replace(g, light=(stamp,)) if g is source else g for g in lens.galaxies))
    with pytest.raises(UsageError, match="source_sersic: the source is no Sérsic profile"):
        edits.source_sersic(real, 2.0)
