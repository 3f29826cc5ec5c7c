"""The Scene as a value: equality, JSON, refusal of nonsense."""

import json
import pickle

import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.scenes import (
    POPULATIONS,
    Galaxy,
    Light,
    Mass,
    Psf,
    Scene,
    draw_scene,
    without_far_source,
    without_source,
)


@pytest.mark.parametrize("population", POPULATIONS)
def test_scenes_survive_json_and_pickle_and_follow_seed_and_index(population: str) -> None:
    scene = draw_scene(population, 5, 2)
    assert Scene.from_json(json.loads(json.dumps(scene.to_json(), allow_nan=False))) == scene
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert hash(scene) == hash(draw_scene(population, 5, 2))
    assert draw_scene(population, 5, 2) == scene
    assert draw_scene(population, 5, 3) != scene
    assert draw_scene(population, 6, 2) != scene


def test_a_scene_cannot_be_changed() -> None:
    scene = draw_scene("single", 1, 0)
    with pytest.raises(AttributeError):
        scene.kind = "merger"  # type: ignore[misc]
    with pytest.raises(TypeError):
        scene.galaxies[0].light[0].magnitudes["VIS"] = 3.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Light("cone", {"VIS": 20.0}, 1.0), "profile 'cone' is not one of"),
        (lambda: Light("sersic", {"VIS": 20.0}, 0.0), "r_eff_arcsec must be positive, not 0"),
        (lambda: Light("sersic", {"VIS": 20.0}, 1.0, axis_ratio=1.5), r"axis_ratio must lie in \(0, 1\], not 1.5"),
        (lambda: Mass(-1.0), "sigma_v_km_s must not be negative"),
        (lambda: Galaxy("guest", 0.5, 0, 0, ()), "role 'guest' is not one of"),
        (lambda: Psf("donut"), "psf kind 'donut' is not one of"),
        (lambda: Scene("quasar", ()), "scene kind 'quasar' is not one of"),
        (lambda: Scene.from_json({"kind": "single"}), "scene record: 'galaxies'"),
    ],
)
def test_nonsense_is_named(build, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build()


def test_unknown_population_lists_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"population 'quads' is unknown; .*euclid"):
        draw_scene("quads", 1, 0)


def test_roles_decide_what_is_lensed() -> None:
    scene = draw_scene("compound-rings", 1, 0)
    assert [galaxy.role for galaxy in scene.deflectors] == ["lens", "mid"]
    assert [galaxy.role for galaxy in scene.lensed] == ["mid", "source"]
    faithful = draw_scene("compound-rings-faithful", 1, 0)
    assert [galaxy.role for galaxy in faithful.lensed] == ["source"]


def test_without_far_source_leaves_an_ordinary_lens() -> None:
    for population in ("compound-arcs", "compound-rings-faithful"):
        scene = draw_scene(population, 1, 0)
        control = without_far_source(scene)
        assert control.label == 1
        assert control.kind == "single"
        assert control.noise_seed == scene.noise_seed
        assert len(control.deflectors) == 1
        assert len(control.lensed) == 1
        assert len(control.galaxies) == len(scene.galaxies) - 1
    with pytest.raises(UsageError, match="a compound lens is needed"):
        without_far_source(draw_scene("single", 1, 0))


def test_without_source_is_the_matched_non_lens() -> None:
    control = without_source(draw_scene("single", 1, 0))
    assert control.label == 0
    assert not control.lensed
