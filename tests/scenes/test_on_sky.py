"""The same galaxies on other instruments: what they keep, what they change, and that Euclid's are drawn as ever."""

import hashlib
import json

import numpy as np
import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import EUCLID, INSTRUMENTS
from lensaudit.scenes import EUCLID_SKY, LSST_SKY, POPULATIONS, Galaxy, Light, Scene, Sky, draw_scene, edits
from lensaudit.scenes.populations.on_sky import seen_on

HSC, RUBIN, Q1 = (INSTRUMENTS[name].sky for name in ("hsc", "lsst-ugrizy", "euclid-q1"))

BEFORE = {
    "euclid": ("37aa349ca235906b", 668.940355299),
    "compound-arcs": ("a58b37b4e5c9bb8e", -435.845548779),
    "plain": ("7d5834529736814e", -8.85395546054),
    "non-lens": ("8076b5a3b8fa393e", -4.29868587033),
    "centred": ("8fc37c2198cc5ec8", -117.192804732),
    "lsst": ("d4861a6c5431c158", 236.453947175),
    "lsst-worst-contaminants": ("555fbfa45346db63", 149.309096676),
}
"""Of scenes 0 … 5 at seed 3, before instruments were files: SHA-256 of all but their floats, and
Σ x_k cos k over those."""


@pytest.mark.parametrize("population", sorted(BEFORE))
@pytest.mark.parametrize("asked", [False, True])
def test_scenes_of_before_are_drawn_alike(population, asked):
    """Processors differ in the last bit of an exponential or a power; a draw more or less moves all that follow."""
    own = LSST_SKY if population.startswith("lsst") else EUCLID.sky
    numbers: list[float] = []
    rest = []
    for index in range(6):
        scene = draw_scene(population, 3, index, own if asked else None)
        assert Scene.from_json(scene.to_json()) == scene
        rest.append(without_numbers(scene.to_json(), numbers))
    digest, total = BEFORE[population]
    assert hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16] == digest
    # some 900 numbers of up to 1e3, each within a few units in its last place, and twelve digits above
    assert np.dot(numbers, np.cos(np.arange(len(numbers)))) == pytest.approx(total, abs=1e-8)


def without_numbers(words, numbers):
    """The JSON value with every float replaced by a word, in the order of its names; the floats go to `numbers`."""
    if isinstance(words, dict):
        return {name: without_numbers(words[name], numbers) for name in sorted(words)}
    if isinstance(words, list):
        return [without_numbers(one, numbers) for one in words]
    if isinstance(words, float):
        numbers.append(words)
        return "number"
    return words


@pytest.mark.parametrize("population", sorted(POPULATIONS))
def test_a_galaxy_is_the_same_on_every_instrument(population):
    euclid, seen = draw_scene(population, 2, 1), draw_scene(population, 2, 1, HSC)
    assert seen.kind == euclid.kind
    assert seen.noise_seed == euclid.noise_seed
    assert Scene.from_json(seen.to_json()) == seen
    for galaxy in seen.galaxies:
        assert all(tuple(part.magnitudes) == HSC.bands for part in galaxy.light)
    system = [[g for g in one.galaxies if g.role != "field"] for one in (euclid, seen)]
    offset = [(a.x_arcsec - b.x_arcsec, a.y_arcsec - b.y_arcsec) for a, b in zip(*system, strict=True)]
    assert offset == pytest.approx(np.tile(offset[0], (len(offset), 1)), abs=1e-9), "the system moves as one"
    for one, other in zip(*system, strict=True):
        assert (one.redshift, one.mass, one.role) == (other.redshift, other.mass, other.role)
        assert [(p.r_eff_arcsec, p.n_sersic) for p in one.light] == [(p.r_eff_arcsec, p.n_sersic) for p in other.light]


def test_field_and_place_follow_the_size_of_the_cutout():
    scenes = [draw_scene("single", 5, index) for index in range(40)]
    for scene in scenes:
        small = seen_on(scene, HSC)
        assert all(abs(g.x_arcsec) <= HSC.half_width_arcsec for g in small.galaxies if g.role == "field")
        assert max(abs(small.galaxies[0].x_arcsec), abs(small.galaxies[0].y_arcsec)) < 0.5
    wide = Sky(("i",), "i", 19.8, ("hsc2017-i2",), "gaussian")
    count = [sum(len(one.galaxies) for one in scenes), sum(len(seen_on(one, wide).galaxies) for one in scenes)]
    field = [n - 2 * len(scenes) for n in count]
    # Four times the area: Poisson's √(3 × 9 × 40) of the added ones is 3 %, and that of the drawn ones cancels.
    assert field[1] / field[0] == pytest.approx(4.0, rel=0.12)


def test_a_magnitude_in_euclids_bands_comes_back():
    scene = draw_scene("euclid", 4, 2)
    back = seen_on(seen_on(scene, Sky(("r",), "r", 9.9, ("hsc2017-r2",), "gaussian")), EUCLID_SKY)
    for one, other in zip(scene.galaxies, back.galaxies, strict=True):
        for band in EUCLID_SKY.bands:
            assert other.magnitude(band) == pytest.approx(one.magnitude(band), abs=1e-9)
    assert Q1 == EUCLID_SKY


@pytest.mark.parametrize("edit", ["source_colour", "lens_colour"])
def test_colours_change_about_the_reference_band(edit):
    scene = next(s for s in (draw_scene("single", 1, i, RUBIN) for i in range(9)) if s.label)
    changed = getattr(edits, edit)(scene, 1.0)
    role = edit.partition("_")[0]
    one, other = (next(g for g in s.galaxies if g.role == role) for s in (scene, changed))
    assert other.magnitude("i") == pytest.approx(one.magnitude("i"), abs=1e-12)
    redder = [other.magnitude(band) - one.magnitude(band) for band in RUBIN.bands]
    assert redder == sorted(redder, reverse=True), "bluer bands get fainter, redder ones brighter"
    if edit == "lens_colour":
        assert redder[0] - redder[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("edit", ["companions", "second_source", "as_spiral", "as_ring", "as_merger"])
def test_edits_that_add_galaxies_draw_them_in_the_bands(edit):
    scene = next(s for s in (draw_scene("single", 1, i, RUBIN) for i in range(9)) if s.label)
    changed = getattr(edits, edit)(scene, 1.0)
    assert all(set(part.magnitudes) == set(RUBIN.bands) for galaxy in changed.galaxies for part in galaxy.light)


def test_psfs_are_the_instruments():
    assert draw_scene("single", 1, 0, HSC).psf.kind == "gaussian"
    roman = draw_scene("single", 1, 0, INSTRUMENTS["roman"].sky).psf
    assert (roman.kind, roman.angle_deg) == ("instrument", draw_scene("single", 1, 0).psf.angle_deg)
    best = draw_scene("lsst-best", 1, 0)
    assert seen_on(best, HSC).psf.fwhm_scale == best.psf.fwhm_scale != 1.0


def test_what_cannot_be_seen_elsewhere_is_told():
    plain = Scene("no-source", (Galaxy("lens", 0.5, 0.0, 0.0, (Light("sersic", {"VIS": 20.0}, 1.0),)),))
    with pytest.raises(DataError, match="magnitudes but no spectrum"):
        seen_on(plain, HSC)
    with pytest.raises(UsageError, match="band x: its filter is not known"):
        draw_scene("single", 1, 0, Sky(("x",), "x", 5.0, ("",), "gaussian"))
