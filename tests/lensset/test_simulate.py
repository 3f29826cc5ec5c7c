"""Simulating: the real scenes and images reach the container unchanged; image i depends on (seed, i) alone."""

from __future__ import annotations

import json

import fake_sky
import numpy as np
import pytest

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.imaging import INSTRUMENTS, TRUTH_COLUMNS, render
from lensaudit.lensset import LensSet, Reddened, simulate
from lensaudit.lensset.simulation import write_chunks
from lensaudit.scenes import draw_scene, edits
from lensaudit.spread import spread


@pytest.fixture(scope="module")
def lsst(tmp_path_factory) -> LensSet:
    return simulate("lsst", "lsst", 10, 5, tmp_path_factory.mktemp("lsst") / "set")


def test_what_is_stored_is_what_is_rendered(lsst):
    for i in (0, 9):
        scene = draw_scene("lsst", 5, i)
        rendered = render(scene, INSTRUMENTS["lsst"])
        assert lsst.scene(i) == scene
        np.testing.assert_array_equal(lsst.images("g", i)[0], rendered.images["g"])
        np.testing.assert_array_equal(lsst.source_light("g", i)[0], rendered.truth.source_light["g"])
        np.testing.assert_array_equal(lsst.mask("g", i)[0], rendered.truth.mask["g"])
        for column in TRUTH_COLUMNS:
            stored, given = lsst.column(column.name)[i], rendered.truth.row[column.name]
            assert stored == given or (np.isnan(stored) and np.isnan(given)), column.name
            assert lsst.units[column.name] == column.unit


def test_facts_of_a_simulated_set(lsst):
    assert lsst.ids[3] == "lsst-000003"
    assert (lsst.bands, lsst.shape["g"], lsst.has_truth) == (("g",), (45, 45), True)
    assert lsst.header.provenance.command == "lensaudit simulate lsst --population lsst --n 10 --seed 5"
    assert set(np.unique(lsst.labels)) <= {0, 1}
    lsst.verify()


def test_an_image_depends_on_seed_and_index_alone(lsst, tmp_path):
    fewer = simulate("lsst", "lsst", 3, 5, tmp_path / "fewer")
    np.testing.assert_array_equal(fewer.images("g", slice(None)), lsst.images("g", slice(0, 3)))
    other = simulate("lsst", "lsst", 1, 6, tmp_path / "other")
    assert not np.array_equal(other.images("g", 0), lsst.images("g", 0))


def test_ids_name_the_population(tmp_path):
    assert simulate("euclid", "single", 1, 0, tmp_path / "set").ids == ["euclid-single-000000"]


def test_a_reddened_set_has_the_scenes_of_the_plain_one_in_other_colours(tmp_path):
    plain = simulate("euclid", "euclid", 3, 8, tmp_path / "plain")
    red = simulate("euclid", Reddened("euclid", 0.5, 1.5), 3, 8, tmp_path / "red")
    for i in range(3):
        scene = draw_scene("euclid", 8, i)
        assert plain.scene(i) == scene
        assert red.scene(i) == edits.arc_colour_drawn(scene, 0.5, 1.5)
        # The reference magnitude stays, so that VIS is the same image but for rounding: its noise is 2e-3.
        np.testing.assert_allclose(red.images("VIS", i), plain.images("VIS", i), rtol=0, atol=2e-5)
    assert not np.array_equal(red.images("H", slice(None)), plain.images("H", slice(None)))
    assert red.header.provenance.command.endswith("--population euclid --n 3 --seed 8 --redden 0.5:1.5")
    assert LensSet.open(red.path).header.redden == (0.5, 1.5)
    with pytest.raises(UsageError, match="holds another lens set \\(redden"):
        simulate("euclid", "euclid", 3, 8, tmp_path / "red")


def test_the_header_of_a_set_that_is_not_reddened_says_nothing_of_it(lsst):
    words = json.loads((lsst.path / "lensset.json").read_text())
    assert "redden" not in words
    assert "redden" not in words["provenance"]["command"]


@pytest.mark.slow
def test_two_workers_simulate_the_same_tree(tmp_path):
    for workers in (1, 2):
        simulate("lsst", "lsst", 20, 1, tmp_path / str(workers), workers)
    assert fake_sky.tree(tmp_path / "1") == fake_sky.tree(tmp_path / "2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hubble", "euclid", 1, 0), "instrument 'hubble' is unknown; allowed: euclid, vis101, lsst,"),
        (("euclid", "galaxies", 1, 0), "'galaxies' is not one of"),
        (("eucld", "euclid", 1, 0), "instrument 'eucld' is unknown; did you mean euclid?"),
        (("lsst", "lsst", 0, 0), "--n must be at least 1, not 0"),
        (("lsst", "lsst", 1, -1), "--seed must lie in"),
        (("lsst", Reddened("lsst"), 1, 0), "lsst has one band, and so no colours"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(tmp_path, words, said):
    with pytest.raises(UsageError, match=said):
        simulate(*words, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("bounds", [(-0.1, 1.0), (1.0, 0.5), (0.0, 3.1), (float("nan"), 1.0)])
def test_bounds_of_reddening_are_checked(bounds):
    with pytest.raises(UsageError, match="two strengths, 0 <= LOW <= HIGH <= 3, not"):
        Reddened("euclid", *bounds)


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--workers must be at least 1, not 0"):
        write_chunks(fake_sky.FakeTask(tmp_path / "set", fake_sky.header(8)), 0)


def test_a_dying_worker_is_a_machine_error(tmp_path):
    with pytest.raises(MachineError, match="a worker process died"):
        list(spread(fake_sky.Dying(), [0, 1, 2], 2))


def test_an_error_in_a_worker_arrives_as_it_was(tmp_path):
    with pytest.raises(DataError, match="chunk 1 is bad"):
        list(spread(fake_sky.Failing(), [0, 1, 2], 2))
