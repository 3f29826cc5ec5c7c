"""Pixels in another unit: brought to the finder's, refused, or said to be unknown; never assumed to be right."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    Finder,
    builtin_recipes,
    load_finder,
    read_record,
    read_scores,
    refitted,
    save_finder,
    score_set,
)
from lensaudit.finders.units import factor, is_known, zero_point_mag
from lensaudit.imaging import get_instrument
from lensaudit.lensset import pixel_units_of

ELECTRONS = "electron / s at 24 mag"


@pytest.fixture
def vis(make_cutouts):
    """Six VIS images of 101 pixels."""
    return make_cutouts(6)["VIS"][:, 50:151, 50:151]


@pytest.fixture
def lastro(make_finder, make_set, vis):
    """A finder whose statistics are those of `vis` in electron/s."""
    finder = refitted(make_finder("lastro-101"), make_set("trained", {"VIS": vis}))
    return replace(finder, refitted=False)


def with_unit(finder: Finder, unit: str | None) -> Finder:
    return replace(
        finder, recipe=finder.recipe.model_copy(update={"pixel_unit": {} if unit is None else {"VIS": unit}})
    )


@pytest.mark.parametrize(
    ("given", "own", "expected"),
    [
        (ELECTRONS, ELECTRONS, 1.0),
        ("ADU at 26.5 mag", ELECTRONS, 0.1),  # 2.5 mag fainter a count
        ("nanomaggy at 22.5 mag", "ADU at 25 mag", 10.0),
        ("challenge flux unit", "challenge flux unit", 1.0),
        ("unit of the files", ELECTRONS, None),
        ("ADU at many mag", ELECTRONS, None),
    ],
)
def test_zero_points_alone_give_the_factor(given, own, expected):
    assert factor(given, own) == (None if expected is None else pytest.approx(expected, rel=1e-12))


def test_what_counts_as_known():
    assert zero_point_mag("electron / s at 1e1 mag") == 10.0
    assert [is_known(unit) for unit in (None, "", "unit of the files", "challenge flux unit", ELECTRONS)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_a_set_with_another_zero_point_gives_the_same_scores_and_says_so(lastro, make_set, vis):
    """0.1 electron a count: pixels ten times as large, scores alike to float32 rounding of the factor."""
    ours = score_set(lastro, make_set("same", {"VIS": vis}))
    counts = make_set("counts", {"VIS": 10 * vis}, unit=("ADU", 26.5))
    assert lastro.unit_remarks(counts) == [
        "pixels are brought to the unit of finder lastro-101 by their zero points: VIS times 0.1"
    ]
    theirs = score_set(lastro, counts)
    assert np.ptp(ours.logit) > 1e-3
    np.testing.assert_allclose(theirs.logit, ours.logit, atol=1e-3 * np.ptp(ours.logit))
    told = lastro.for_units(counts)
    assert told.weights_hash == lastro.weights_hash
    told.check(counts)
    for finder, lens_set in ((lastro, counts), (told, make_set("again", {"VIS": vis}))):  # nothing is read unconverted
        with pytest.raises(DataError, match="read sets of one unit at a time"):
            finder.check(lens_set)
    named = make_set("named", {"VIS": vis}, unit=("unit of the files", 24.0))  # the same flux by another name
    np.testing.assert_array_equal(score_set(lastro, named).logit, ours.logit)
    assert lastro.unit_remarks(named) == []
    np.testing.assert_allclose(  # explanations prepare their images in the same way
        told.preprocess(counts.cutouts([0])), lastro.preprocess({"VIS": vis[:1]}), atol=1e-5
    )  # float32 rounding of the factor


@pytest.mark.parametrize(
    ("own", "unit", "says"),
    [
        (ELECTRONS, ("unit of the files", None), "in a unit that the set does not know; give --refit"),
        (ELECTRONS, ("challenge flux unit", None), "are in challenge flux unit; give --refit"),
        ("challenge flux unit", ("electron / s", 24.0), f"in challenge flux unit, the set's pixels are in {ELECTRONS}"),
    ],
)
def test_other_units_without_zero_points_are_refused_with_the_fix(own, unit, says, lastro, make_set, vis):
    lens_set = make_set("other", {"VIS": vis}, unit=unit)
    with pytest.raises(DataError, match="finder lastro-101 scales band VIS by statistics") as refused:
        score_set(with_unit(lastro, own), lens_set)
    assert says in str(refused.value)
    score_set(refitted(lastro, lens_set), lens_set)


@pytest.mark.parametrize("own", [None, "unit of the files"])
def test_a_finder_that_does_not_know_its_own_unit_scores_and_says_so(own, lastro, make_set, vis):
    lens_set = make_set("one", {"VIS": vis}, unit=("unit of the files", None))
    finder = with_unit(lastro, own)
    score_set(finder, lens_set)
    [remark] = finder.unit_remarks(lens_set)
    assert "does not record the pixel unit of its statistics" in remark
    assert "pixels are in an unknown one" in remark
    assert "--refit" in remark
    assert with_unit(lastro, ELECTRONS).unit_remarks(make_set("two", {"VIS": vis})) == []


def test_statistics_of_one_set_are_not_applied_to_pixels_of_another_unit(lastro, make_set, vis):
    """As where a report refits to a real set and then asks probes, which are rendered in electron/s."""
    unknown = make_set("real", {"VIS": 1e-12 * vis}, unit=("unit of the files", None))
    finder = refitted(lastro, unknown)
    finder.check(unknown)
    assert finder.unit_remarks(unknown) == []
    with pytest.raises(DataError, match=f"in unit of the files, the set's pixels are in {ELECTRONS}"):
        finder.check(make_set("drawn", {"VIS": vis}))


@pytest.mark.parametrize(
    "folder", [path for path in builtin_recipes().values() if (path / "finder.yaml").is_file()], ids=lambda p: p.name
)
def test_shipped_finders_ask_for_no_unit_or_record_it(folder):
    recipe = read_record(folder).recipe
    for one in (recipe, *recipe.members):
        if one.in_pixel_units:
            instrument = get_instrument(str(read_record(folder).training_data.instrument))
            assert one.pixel_unit == {band: pixel_units_of(instrument)[band] for band in one.bands}
        else:
            assert one.pixel_unit == {}
            assert one.stretch != "sqrt-minmax"


def test_the_command_warns_once_and_records_units_and_fractions(lastro, make_set, vis, tmp_path, lensaudit):
    save_finder(with_unit(lastro, None), tmp_path / "f", origin="a test")
    make_set("unit", {"VIS": vis}, unit=("unit of the files", None))
    code, _, err = lensaudit("score", tmp_path / "f", tmp_path / "unit", "--out", tmp_path / "s.parquet")
    assert code == 0
    assert [line for line in err.splitlines() if "does not record the pixel unit" in line]
    pixels = read_scores(tmp_path / "s.parquet")[1].pixels
    assert pixels["units"] == pixels["finder_units"] == {"VIS": "unknown"}
    assert 0 < pixels["clipping"]["VIS"]["below"] < 1
    assert len([remark for remark in pixels["remarks"] if "does not record" in remark]) == 1


def test_a_record_without_unit_keeps_opening(lastro, tmp_path):
    save_finder(lastro, tmp_path, origin="a test")
    path = tmp_path / "finder.yaml"
    words = yaml.safe_load(path.read_text())
    assert words["recipe"].pop("pixel_unit") == {"VIS": ELECTRONS}
    path.write_text(yaml.safe_dump(words))
    assert load_finder(str(tmp_path)).recipe.pixel_unit == {}


def test_refit_of_a_stretch_without_statistics_is_refused(make_finder, make_set, vis):
    with pytest.raises(UsageError, match="takes no statistics of a set"):
        refitted(make_finder("epfl-resnet-101"), make_set("s", {"VIS": vis}))
