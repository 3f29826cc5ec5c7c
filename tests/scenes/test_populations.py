"""What populations draw: the bounds of Wilde et al.'s Table 1, class fractions, matched negatives."""

from collections import Counter

import numpy as np
import pytest

from lensaudit.scenes import draw_scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec

N = 300


def test_lenses_satisfy_the_bounds_their_docstring_states() -> None:
    for index in range(N):
        scene = draw_scene("single", 9, index)
        lens, source = scene.deflectors[0], scene.lensed[0]
        theta_e = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, source.redshift)
        offset = np.hypot(source.x_arcsec - lens.x_arcsec, source.y_arcsec - lens.y_arcsec)
        assert 0.5 <= theta_e <= 5.0
        assert offset <= 0.9 * theta_e
        assert source.redshift > lens.redshift + 0.3


def test_the_training_mix_is_half_lenses_with_all_confusers() -> None:
    kinds = Counter(draw_scene("euclid", 4, index).kind for index in range(N))
    # Binomial: 150 ± 4.5 standard deviations of 8.7.
    assert 111 <= kinds["single"] <= 189
    assert set(kinds) == {"single", "no-source", "spiral", "ring-galaxy", "merger", "edge-on", "companions"}


@pytest.mark.parametrize(
    ("population", "offset", "shear", "n"),
    [
        ("compound-arcs", 5.0, 0.05, 5.0),
        ("compound-rings", 0.25, 0.05, 5.0),
    ],
)
def test_compound_draws_follow_table_1(population: str, offset: float, shear: float, n: float) -> None:
    largest = {"offset": 0.0, "shear": 0.0, "n": 0.0, "r": 0.0, "position": 0.0}
    heavier_in_front = 0
    for index in range(N):
        scene = draw_scene(population, 2, index)
        front, mid = scene.deflectors
        source = next(g for g in scene.galaxies if g.role == "source")
        assert source.redshift > mid.redshift > front.redshift
        heavier_in_front += front.mass.sigma_v_km_s >= mid.mass.sigma_v_km_s
        for galaxy in (front, mid):
            largest["offset"] = max(largest["offset"], abs(galaxy.x_arcsec - source.x_arcsec))
            largest["shear"] = max(largest["shear"], abs(galaxy.mass.gamma1), abs(galaxy.mass.gamma2))
        for galaxy in (front, mid, source):
            light = galaxy.light[0]
            assert light.axis_ratio >= 0.3
            assert light.n_sersic >= 1.5
            assert light.r_eff_arcsec >= 0.2
            largest["n"] = max(largest["n"], light.n_sersic)
            largest["r"] = max(largest["r"], light.r_eff_arcsec)
        largest["position"] = max(largest["position"], abs(source.x_arcsec))
    # The largest of 300 or more uniform draws falls short of the bound by more than 5 % with odds of e^-15.
    for name, bound in (("offset", offset), ("shear", shear), ("n", n), ("r", 7.0), ("position", 5.0)):
        assert 0.94 * bound < largest[name] <= bound + 1e-9, name
    # Two in three: 200 ± 4.5 standard deviations of 8.2.
    assert 163 <= heavier_in_front <= 237


def test_matched_negatives_are_the_lens_population_without_its_source() -> None:
    def medians(population: str) -> np.ndarray:
        scenes = [draw_scene(population, 3, index) for index in range(N)]
        lenses = [next(g for g in scene.galaxies if g.role == "lens") for scene in scenes]
        return np.median([[g.magnitude("VIS"), g.light[0].r_eff_arcsec, g.redshift] for g in lenses], axis=0)

    # Medians of 300: four standard errors of each.
    assert np.all(np.abs(medians("single") - medians("no-source")) < [0.5, 0.2, 0.08])
    assert not any(g.role == "source" for i in range(20) for g in draw_scene("no-source", 3, i).galaxies)


def test_uniform_lenses_keep_their_bounds_and_depend_on_nothing() -> None:
    drawn = [draw_scene("uniform-lens", 6, index) for index in range(N)]
    rows = []
    for scene in drawn:
        lens, source = scene.deflectors[0], scene.lensed[0]
        theta_e = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, source.redshift)
        offset = np.hypot(source.x_arcsec - lens.x_arcsec, source.y_arcsec - lens.y_arcsec)
        light = source.light[0]
        rows.append([theta_e, light.r_eff_arcsec, light.n_sersic, source.magnitude("VIS"), lens.magnitude("VIS"),
                     lens.light[0].r_eff_arcsec, offset / theta_e])  # fmt: skip
    table = np.array(rows)
    low, high = np.array([[0.3, 1.3], [0.05, 0.3], [1, 4], [22.5, 25.5], [19, 21.5], [0.3, 1.0], [0, 0.9]]).T
    assert (table >= low - 1e-6).all()
    assert (table <= high + 1e-6).all()
    # The largest and smallest of 300 uniform draws leave 5 % of the range free with odds of e^-15; the offset's, whose
    # square is uniform, below.
    assert (table.max(axis=0) > high - 0.05 * (high - low)).all()
    assert (table[:, :-1].min(axis=0) < (low + 0.05 * (high - low))[:-1]).all()
    correlations = np.corrcoef(table.T)[~np.eye(table.shape[1], dtype=bool)]
    assert np.abs(correlations).max() < 0.25  # 4.3 standard errors of 1 / √300


def test_uniform_non_lenses_have_the_lenses_galaxies_and_no_lensing() -> None:
    scenes = [draw_scene("uniform", 6, index) for index in range(N)]
    kinds = Counter(scene.kind for scene in scenes)
    assert set(kinds) == {"single", "no-source", "companions"}
    assert 111 <= kinds["single"] <= 189  # binomial: 150 ± 4.5 standard deviations
    others = [scene for scene in scenes if not scene.label]
    assert not any(scene.deflectors or scene.lensed for scene in others)
    beside = Counter(sum(g.role == "companion" for g in s.galaxies) for s in others if s.kind == "companions")
    assert set(beside) == {1, 2, 3}


def test_where_larger_sources_are_brighter_the_surface_brightness_is_as_independent_as_the_flux_was() -> None:
    sources = [draw_scene("uniform-lens-brightness", 6, index).lensed[0] for index in range(N)]
    size = np.array([source.light[0].r_eff_arcsec for source in sources])
    mag = np.array([source.magnitude("VIS") for source in sources])
    at_median_size = mag + 5 * np.log10(size / 0.175)
    assert at_median_size.min() >= 22.5 - 1e-6
    assert at_median_size.max() <= 25.5 + 1e-6
    assert abs(np.corrcoef(size, at_median_size)[0, 1]) < 0.25  # as above
    assert np.corrcoef(size, mag)[0, 1] < -0.5
