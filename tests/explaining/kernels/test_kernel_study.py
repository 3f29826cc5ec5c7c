"""What kernels go with: planted answers, extremes, dead kernels, and sets without truth."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from kernel_toys import SIZE, axis, blobs, compass, drawn_places, finder_of, write_blobs
from scipy import stats
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import Kernel, kernel_activations, study_kernels
from lensaudit.explaining.kernels import study as study_module
from lensaudit.explaining.kernels.association import TRUTH, corrected, truth_values
from lensaudit.explaining.kernels.sheet import statements_of, strongest_statements
from lensaudit.explaining.kernels.study import write_study
from lensaudit.statistics import auroc, holm

N = 60


@pytest.fixture
def studied(tmp_path):
    """(module, options of the set) → (table, set, study)."""

    folders = (tmp_path / str(number) for number in range(9))

    def run(module=None, top=3, places=None, **options):
        folder = next(folders)
        lens_set = write_blobs(folder / "set", drawn_places(N) if places is None else places, **options)
        table = kernel_activations(finder_of(compass() if module is None else module), lens_set, folder / "k.parquet")
        return table, lens_set, study_kernels(table, lens_set, top)

    return run


def _index(study, name):
    return [column.name for column in study.correlations.columns].index(name)


def test_planted_kernels_answer_to_the_right_and_to_the_top(studied):
    _, _, study = studied()
    found = study.correlations
    x, y = _index(study, "arc_x_arcsec"), _index(study, "arc_y_arcsec")
    # The kernel is the first moment of the light: ρ is 1 but for the noise that scaling by the brightest pixel brings.
    assert found.rho[0, x] > 0.97
    assert found.rho[1, y] > 0.97
    assert found.significant[0, x]
    assert found.significant[1, y]
    assert abs(found.rho[0, y]) < 0.4
    lines = [str(line) for line in strongest_statements(study, each=1)]
    assert any(
        line.startswith("layer 0 kernel 0: higher when the arc lies to the right (arc_x_arcsec)") for line in lines
    )
    assert any(
        line.startswith("layer 0 kernel 1: higher when the arc lies at the top (arc_y_arcsec)") for line in lines
    )
    assert str(statements_of(study, 0)[0]).endswith(f"n {N}")


def test_right_and_top_are_those_of_the_picture():
    image = blobs(np.array([[2.0, 1.0]]))[0]
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert column > SIZE / 2  # to the right, as imshow draws columns
    assert row > SIZE / 2  # to the top, as all pictures have the first row at the bottom


def test_mirrored_images_turn_the_answer_round(studied):
    _, _, study = studied(places=drawn_places(N) * [-1, 1])
    module = compass()
    module[0].weight.data[0] *= -1
    assert study.correlations.rho[0, _index(study, "arc_x_arcsec")] > 0.97
    _, _, turned = studied(module=module)
    assert turned.correlations.rho[0, _index(turned, "arc_x_arcsec")] < -0.97
    assert strongest_statements(turned, each=1)[-0].finding.startswith("higher")
    assert "to the left" in statements_of(turned, 0)[0].words
    lines = {one.column: one for one in statements_of(turned, 0, measure="top")}
    assert lines["arc_x_arcsec"].words == "highest more often when the arc lies to the left"
    assert lines["arc_angle_cos"].words == "highest more often when the arc is left of its lens"
    assert 0 < lines["arc_angle_cos"].value < 0.5
    assert turned.top_lenses.strength.max() <= 0.5


def test_correlations_are_scipys_among_the_scored_lenses_alone(studied):
    labels = (np.arange(N) % 3 > 0).astype(int)
    table, lens_set, study = studied(labels=labels, spoil={4: np.nan, 5: 1.0})
    lenses = [i for i in range(N) if labels[i] == 1 and i not in (4, 5)]
    for column in ("theta_e_arcsec", "arc_snr", "lens_x_arcsec", "arc_offset_arcsec"):
        index = _index(study, column)
        for kernel in (0, 1, 3):
            oracle = stats.spearmanr(table.values(Kernel("0", kernel))[lenses], lens_set.column(column)[lenses])
            assert study.correlations.rho[kernel, index] == pytest.approx(oracle.statistic, abs=1e-12)
            assert study.correlations.p[kernel, index] == pytest.approx(oracle.pvalue, rel=1e-8)
        assert study.correlations.n[index] == len(lenses)
    angle = lens_set.column("arc_angle_rad")[lenses]
    values = table.values(Kernel("0", 0))[lenses]
    cosine, sine = (study.correlations.rho[0, _index(study, name)] for name in ("arc_angle_cos", "arc_angle_sin"))
    assert cosine == pytest.approx(stats.spearmanr(values, np.cos(angle)).statistic, abs=1e-12)
    assert sine == pytest.approx(stats.spearmanr(values, np.sin(angle)).statistic, abs=1e-12)
    tested = np.isfinite(study.correlations.p)
    assert tested.sum() == 4 * len(TRUTH)  # one kernel of five is dead
    np.testing.assert_array_equal(study.correlations.p_holm[tested], holm(study.correlations.p[tested]))
    assert study.n == N - 2


def test_what_the_highest_lenses_share_is_the_plain_comparison(studied):
    labels = (np.arange(N) % 4 > 0).astype(int)
    table, lens_set, study = studied(labels=labels, spoil={4: np.nan, 5: 1.0})
    lenses = np.array([i for i in range(N) if labels[i] == 1 and i not in (4, 5)])
    found = study.top_lenses
    index = _index(study, "lens_y_arcsec")
    for kernel in (0, 1, 3):
        order = lenses[np.argsort(-table.values(Kernel("0", kernel))[lenses], kind="stable")]
        quantity = lens_set.column("lens_y_arcsec")
        assert found.auroc[kernel, index] == pytest.approx(auroc(quantity[order[:10]], quantity[order[10:]]), abs=1e-12)
    assert found.n[index] == len(lenses)
    assert found.n_top[index] == 10
    tested = np.isfinite(found.p)
    np.testing.assert_array_equal(found.p_holm[tested], holm(found.p[tested]))
    assert np.isnan(found.auroc[2]).all(), "a dead kernel"
    (line,) = [one for one in statements_of(study, 1, measure="top") if one.column == "arc_y_arcsec"]
    assert line.words == "highest more often when the arc lies at the top"
    assert f"top 10 of {len(lenses)}" in str(line)
    assert line.summary()["auroc"] == found.auroc[1, _index(study, "arc_y_arcsec")]
    lowest = strongest_statements(study, measure="top")
    assert all(one.p_holm < 0.05 and min(abs(one.low - 0.5), abs(one.high - 0.5)) > 0 for one in lowest)


def test_extremes_are_those_of_sorting_all_scored_images(studied):
    table, _, study = studied(top=4, labels=np.arange(N) % 2, spoil={7: np.nan})
    for kernel in (0, 1, 3):
        values = table.values(Kernel("0", kernel))
        good = [i for i in range(N) if i != 7]
        assert study.top[kernel].tolist() == sorted(good, key=lambda i: -values[i])[:4]
        assert study.bottom[kernel].tolist() == sorted(good, key=lambda i: values[i])[:4]
        assert study.mean[kernel] == pytest.approx(values[good].mean(dtype=float), rel=1e-12)
        assert study.sd[kernel] == pytest.approx(values[good].std(dtype=float), rel=1e-12)


def test_equal_values_come_in_the_order_of_the_set(studied):
    places = np.repeat(drawn_places(3), 4, axis=0)
    _, _, study = studied(top=12, places=places)
    for ends in (study.top[0], study.bottom[0]):
        groups = [row // 4 for row in ends]
        assert groups == sorted(groups, key=groups.index)
        assert all((np.diff(ends.reshape(3, 4)) == 1).ravel())


def test_kernels_that_are_not_live_are_named_and_have_no_numbers(studied):
    module = compass()
    module[0].register_module("spare", nn.Conv2d(1, 1, 1))
    module[0].weight.data[4] = 3e38  # overflows in the sum
    module[3].weight.data[0, 4] = 0.0
    module.insert(1, nn.Hardtanh(-9.0, 9.0))  # keeps the score finite
    _, _, study = studied(module=module)
    assert study.state == ("live", "live", "constant", "silent", "not finite", "unused")
    assert [str(kernel) for kernel in study.in_state("constant", "unused")] == [
        "layer 0 kernel 2",
        "layer 0.spare kernel 0",
    ]
    for dead in (2, 4, 5):
        assert (study.top[dead] == -1).all()
        assert np.isnan(study.correlations.rho[dead]).all()
        assert not study.correlations.significant[dead].any()
    assert study.mean[2] == pytest.approx(0.7, rel=1e-6)
    assert study.sd[2] == pytest.approx(0, abs=1e-6)
    assert np.isnan(study.mean[[4, 5]]).all()
    assert np.isfinite(study.correlations.rho[3]).all(), "a silent kernel has values before its ReLU"
    silent = statements_of(study, 3)
    assert silent[0].column == "arc_y_arcsec"
    assert str(silent[0]).endswith("; silent: its maps stay below 0")
    assert "silent" not in str(statements_of(study, 0)[0])


def test_small_blocks_give_the_same_study(studied, monkeypatch):
    table, lens_set, study = studied()
    monkeypatch.setattr(study_module, "_BLOCK", 1)
    again = study_kernels(table, lens_set, 3)
    np.testing.assert_array_equal(again.top, study.top)
    # float64 rounding of matrix products of another width
    np.testing.assert_allclose(again.correlations.rho, study.correlations.rho, rtol=0, atol=1e-13)
    np.testing.assert_allclose(again.correlations.p_holm, study.correlations.p_holm, rtol=1e-9, atol=0)
    assert again.state == study.state


def test_without_truth_the_rest_still_comes(studied):
    _, _, study = studied(truth=False)
    assert study.correlations is None
    assert study.note.startswith("no truth")
    assert (study.top[0] >= 0).all()
    assert np.isfinite(study.sd[0])
    assert strongest_statements(study) == statements_of(study, 0, measure="top") == []


def test_without_lenses_there_is_nothing_to_compare(studied):
    _, _, study = studied(labels=np.zeros(N, int))
    assert study.correlations is None
    assert study.note.startswith("no lenses")


def test_three_lenses_are_too_few_for_any_number(studied):
    _, _, study = studied(labels=(np.arange(N) < 3).astype(int))
    assert np.isnan(study.correlations.rho).all()
    assert not study.correlations.significant.any()
    assert study.correlations.n.tolist() == [3] * len(TRUTH)


def test_noise_goes_with_nothing(tmp_path):
    """Holm's promise over many sets: a false statement in about one of twenty."""
    false = np.zeros(2, int)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth, values = rng.normal(size=(50, 11)), rng.normal(size=(50, 20)).astype(np.float32)
        part = study_module._Part.of(values, np.ones(20), np.arange(50), truth, np.arange(50), 3)
        false += np.array([found.significant.any() for found in corrected([part.effects], TRUTH, truth)])
    assert (false <= 6).all()  # 2 expected of each; 7 or more of 40 happen once in 300 times


def test_position_of_the_arc_is_the_centroid_of_its_light(tmp_path):
    places = drawn_places(6)
    lens_set = write_blobs(tmp_path / "set", places)
    rows = np.array([5, 0, 3])
    columns, values = truth_values(lens_set, rows)
    names = [column.name for column in columns]
    assert columns == TRUTH
    found = values[:, [names.index("arc_x_arcsec"), names.index("arc_y_arcsec")]]
    np.testing.assert_allclose(found, places[rows], rtol=0, atol=1e-3)  # a blob's tail is cut off at the edge
    np.testing.assert_allclose(np.hypot(*found.T), lens_set.column("arc_offset_arcsec")[rows], rtol=0, atol=1e-3)
    assert axis()[0] == -axis()[-1]


def test_another_set_or_no_cutouts_are_refused(studied, tmp_path):
    table, lens_set, _ = studied()
    with pytest.raises(DataError, match="is of another set"):
        study_kernels(table, write_blobs(tmp_path / "other", drawn_places(N, seed=8)))
    with pytest.raises(UsageError, match="--top 0"):
        study_kernels(table, lens_set, 0)
    assert study_kernels(table, lens_set, 10 * N).top.shape == (5, N)


def test_a_study_on_disk_has_a_row_per_kernel(studied, tmp_path):
    _, lens_set, study = studied()
    write_study(study, tmp_path / "kernels.parquet")
    table = pq.read_table(tmp_path / "kernels.parquet")
    rows = table.to_pylist()
    assert [(row["layer"], row["kernel"], row["state"], row["dead"]) for row in rows[1:4]] == [
        ("0", 1, "live", False),
        ("0", 2, "constant", True),
        ("0", 3, "silent", False),
    ]
    assert rows[0]["top_ids"] == [lens_set.ids[i] for i in study.top[0]]
    assert rows[2]["top_ids"] == rows[2]["bottom_ids"] == []
    x = _index(study, "arc_x_arcsec")
    assert rows[0]["rho_arc_x_arcsec"] == study.correlations.rho[0, x]
    assert rows[0]["rho_arc_x_arcsec_low"] < rows[0]["rho_arc_x_arcsec"] < rows[0]["rho_arc_x_arcsec_high"]
    assert rows[0]["rho_arc_x_arcsec_p_holm"] == study.correlations.p_holm[0, x]
    assert rows[0]["n_arc_x_arcsec"] == N
    assert rows[0]["top_arc_x_arcsec"] == study.top_lenses.auroc[0, x]
    assert rows[0]["top_arc_x_arcsec_low"] <= rows[0]["top_arc_x_arcsec"] <= rows[0]["top_arc_x_arcsec_high"]
    assert rows[0]["n_top_arc_x_arcsec"] == 10
    record = json.loads(table.schema.metadata[b"lensaudit"])
    assert record["provenance"]["inputs"]["set"] == lens_set.content_hash
    assert record["n_scored"] == N
