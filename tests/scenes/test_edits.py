"""Contract of every edit of a scene: one noise seed, one answer, a neutral strength that changes no bit."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.scenes import Psf, Scene, draw_scene, edits

# Edit → two strengths it takes.
KEEP_THE_LABEL = {
    "arc_colour": (0.5, 1.5),
    "source_colour": (0.5, 1.5),
    "source_colour_total_flux": (0.5, 1.5),
    "source_dimmed": (0.5, 2.0),
    "source_clumpiness": (0.3, 0.9),
    "source_offset": (0.05, 0.7),
    "source_sersic": (0.5, 4.0),
    "source_size": (0.5, 2.0),
    "sources_dimmed": (0.5, 2.0),
    "einstein_radius": (0.8, 2.0),
    "psf_angle": (0.0, 35.0),
    "psf_from_file": (0.0, 35.0),
    "psf_round": (0.0, 1.0),
    "psf_width": (0.9, 1.5),
    "off_centre": (0.0, 3.0),
    "lens_colour": (-0.5, 0.5),
    "lens_light": (0.5, 1.0),
    "noise_level": (0.5, 2.0),
    "companions": (1, 3),
    "second_source": (0.5, 1.0),
}
CONTAMINANTS = {
    "unlensed": "companions",
    "as_spiral": "spiral",
    "as_ring": "ring-galaxy",
    "as_merger": "merger",
}
NEUTRAL = {
    "arc_colour": 0.0,
    "source_colour": 0.0,
    "source_colour_total_flux": 0.0,
    "source_dimmed": 0.0,
    "source_clumpiness": 0.0,
    "source_size": 1.0,
    "sources_dimmed": 0.0,
    "psf_width": 1.0,
    "lens_colour": 0.0,
    "lens_light": 0.0,
    "noise_level": 1.0,
    "companions": 0,
    "second_source": 0.0,
}
ALL = {**KEEP_THE_LABEL, **dict.fromkeys(CONTAMINANTS, (0.0, 1.0))}


def find(name):
    function = getattr(edits, name)
    return partial(function, path="psf.fits") if name == "psf_from_file" else function


@pytest.fixture(scope="module")
def lens():
    return draw_scene("single", 7, 2)


def test_the_table_here_names_every_edit():
    assert set(ALL) | {"without_source", "without_far_source", "arc_colour_drawn"} == set(edits.__all__)


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("name", ALL)
def test_an_edit_keeps_seed_and_label_and_answers_alike_twice(name, index):
    scene = draw_scene("single", 7, index)
    before = scene.to_json()
    for strength in ALL[name]:
        edited = find(name)(scene, strength)
        assert edited.noise_seed == scene.noise_seed
        assert edited == find(name)(scene, strength)
        assert edited != scene
        assert edited.label == (0 if name in CONTAMINANTS else 1)
        assert edited.kind == CONTAMINANTS.get(name, "single")
        assert Scene.from_json(json.loads(json.dumps(edited.to_json(), allow_nan=False))) == edited
    assert scene.to_json() == before


@pytest.mark.parametrize("name", ALL)
def test_field_galaxies_are_left_alone(name, lens):
    for strength in ALL[name]:
        edited = find(name)(lens, strength)
        assert [g for g in edited.galaxies if g.role == "field"] == [g for g in lens.galaxies if g.role == "field"]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("name", NEUTRAL)
def test_the_neutral_strength_changes_no_bit(name, index):
    scene = draw_scene("single", 7, index)
    assert find(name)(scene, NEUTRAL[name]) == scene


@pytest.mark.parametrize("name", sorted(set(ALL) - {name for name in ALL if name.startswith("psf_")} - {"noise_level"}))
def test_an_edit_of_galaxies_leaves_psf_and_noise(name, lens):
    edited = find(name)(lens, ALL[name][1])
    assert (edited.psf, edited.noise_scale) == (lens.psf, lens.noise_scale)


NEED_A_SOURCE = [name for name in ALL if name.startswith(("source_", "as_")) or name in ("companions", "unlensed")]


@pytest.mark.parametrize("name", [*NEED_A_SOURCE, "einstein_radius"])
def test_a_scene_without_a_source_is_refused_in_one_line(name):
    scene = draw_scene("no-source", 1, 0)
    with pytest.raises(UsageError, match=rf"^{name}: the scene is 'no-source' and has no lensed source; .*$"):
        find(name)(scene, ALL[name][1])


@pytest.mark.parametrize(
    "name", ["source_offset", "einstein_radius", "companions", "as_spiral", "as_ring", "as_merger"]
)
def test_two_deflectors_are_refused_where_one_is_meant(name):
    scene = draw_scene("compound-arcs", 1, 0)
    with pytest.raises(UsageError, match=rf"^{name}: the scene is 'compound-arcs' and has 2 deflectors; .* one$"):
        find(name)(scene, ALL[name][1])


@pytest.mark.parametrize("name", ["source_offset", "einstein_radius", "as_ring"])
def test_a_deflector_of_no_mass_is_refused(name, lens):
    deflector = lens.deflectors[0]
    light = replace(deflector, mass=replace(deflector.mass, sigma_v_km_s=0.0))
    scene = replace(lens, galaxies=tuple(light if g is deflector else g for g in lens.galaxies))
    with pytest.raises(UsageError, match=rf"^{name}: the deflector has no mass"):
        find(name)(scene, 1.0)


@pytest.mark.parametrize("name", ["off_centre", "lens_colour", "lens_light"])
def test_a_scene_without_a_lens_galaxy_is_refused(name, lens):
    scene = replace(lens, kind="no-source", galaxies=tuple(g for g in lens.galaxies if g.role == "field"))
    with pytest.raises(UsageError, match=rf"^{name}: the scene is 'no-source' and has no lens galaxy$"):
        find(name)(scene, 0.5)


@pytest.mark.parametrize("name", ["source_colour", "source_colour_total_flux", "lens_colour"])
def test_colours_need_two_bands(name):
    with pytest.raises(UsageError, match=rf"^{name}: the scene has magnitudes in g alone, and so no colours$"):
        find(name)(lsst_lens(), 1)


def lsst_lens():
    return next(scene for scene in (draw_scene("lsst", 1, index) for index in range(20)) if scene.label)


@pytest.mark.parametrize(
    ("name", "strength", "message"),
    [
        ("source_colour", -0.1, "the strength must be at least 0"),
        ("source_colour_total_flux", -0.1, "the strength must be at least 0"),
        ("source_clumpiness", 1.0, r"must lie in \[0, 1\), not 1.0"),
        ("source_clumpiness", -0.1, r"must lie in \[0, 1\), not -0.1"),
        ("source_clumpiness", float("nan"), r"must lie in \[0, 1\), not nan"),
        ("source_offset", -1.0, "at least 0, not -1.0"),
        ("einstein_radius", 0.0, "must be positive, not 0.0 arcsec"),
        ("psf_width", 0.0, "must be positive, not 0.0"),
        ("off_centre", -1.0, "at least 0, not -1.0 arcsec"),
        ("lens_light", 1.1, r"must lie in \[0, 1\], not 1.1"),
        ("lens_light", float("nan"), r"must lie in \[0, 1\], not nan"),
        ("noise_level", 0.0, "must be positive, not 0.0"),
        ("companions", 1.5, "a whole number of galaxies is needed, not 1.5"),
        ("companions", -1, "a whole number of galaxies is needed, not -1"),
        *((name, float("nan"), "finite number, not nan") for name in ("source_colour", "source_dimmed", "psf_angle")),
        *((name, float("inf"), "finite number, not inf") for name in ("companions", "lens_colour", "einstein_radius")),
    ],
)
def test_a_strength_out_of_range_is_refused_in_one_line(lens, name, strength, message):
    with pytest.raises(UsageError, match=rf"^{name}: .*{message}") as refused:
        find(name)(lens, strength)
    assert "\n" not in str(refused.value)


def test_a_psf_that_cannot_be_edited_is_refused(lens):
    round_one = replace(lens, psf=Psf("gaussian"))
    with pytest.raises(UsageError, match=r"^psf_angle: the scene's PSF is a round Gaussian"):
        edits.psf_angle(round_one, 10.0)
    with pytest.raises(UsageError, match=r"^psf_width: the scene's PSF comes from a file"):
        edits.psf_width(replace(lens, psf=Psf("fits", path="psf.fits")), 1.2)
    with pytest.raises(UsageError, match=r"^psf_from_file: no file is given"):
        edits.psf_from_file(lens, 0.0, path="")


def test_noise_scale_is_left_out_of_the_record_unless_it_is_set(lens):
    assert "noise_scale" not in lens.to_json()
    louder = edits.noise_level(lens, 2.0)
    assert louder.to_json()["noise_scale"] == 2.0
    assert {k: v for k, v in louder.to_json().items() if k != "noise_scale"} == lens.to_json()
    assert Scene.from_json(lens.to_json()).noise_scale == 1.0


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), "loud"])
def test_a_wrong_noise_scale_is_refused(lens, scale):
    with pytest.raises(DataError, match="scene"):
        Scene.from_json({**lens.to_json(), "noise_scale": scale})
