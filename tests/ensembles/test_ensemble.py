"""An ensemble is a finder like any other: its members' own scores, saved, scored, explained and refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from torch import nn

from lensaudit.ensembles import EnsemblePlan, assembled, fit_ensemble, map_ensemble, open_members, read_region
from lensaudit.ensembles.fit import Sets
from lensaudit.ensembles.map_files import SetOnMap, spread_rows
from lensaudit.ensembles.map_picture import brier_scores, counted, lens_fraction
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import explain, kernel_activations, occlusion
from lensaudit.finders import Recipe, declare_finder, initialised_module, load_finder, save_finder, score_set
from lensaudit.finders.ou_tsne import SUREST
from lensaudit.finders.store import read_record
from lensaudit.training import Place, TrainingData, train

from .conftest import cutouts, make_member, write_ringed


def test_members_score_as_they_do_alone(ensemble, members, training):
    images = training.cutouts(slice(0, 8))
    with torch.inference_mode():
        inside = ensemble.module.scores(ensemble.preprocess(images)).numpy()
        alone = np.stack([expit(one.logit(one.preprocess(images)).numpy()) for one in members], axis=1)
    # Rounded to five decimals, after a resizing that was undone in float32.
    np.testing.assert_allclose(inside, alone, rtol=0, atol=1.5e-5)
    assert np.ptp(alone, axis=0).min() > 1e-3  # so that a wrong image would be seen


def test_its_score_is_the_lens_fraction_of_the_cell(ensemble, training):
    found, module = ensemble.module.map, ensemble.module
    labels = module.labels.numpy()
    expected = lens_fraction(*counted(found.positions, labels, 6))
    np.testing.assert_allclose(found.fraction, expected, rtol=0, atol=1e-7)  # stored as float32
    images = ensemble.preprocess(training.cutouts(slice(0, 10)))
    with torch.inference_mode():
        scores, positions = ensemble.logit(images).double().numpy(), module.placed(images).numpy()
    low, high = found.positions.min(0), found.positions.max(0)
    for score, place in zip(scores, positions, strict=True):
        column, row = np.clip(((place - low) / (high - low) * 6).astype(int), 0, 5)
        assert score == pytest.approx(logit(np.clip(expected[row, column], SUREST, 1 - SUREST)), abs=1e-5)  # float32
    assert np.ptp(scores) > 1


def test_saved_and_loaded_it_scores_the_same(ensemble, training, tmp_path):
    before = score_set(ensemble, training)
    save_finder(ensemble, tmp_path / "again", origin="test")
    again = load_finder(str(tmp_path / "again"))
    assert again.weights_hash == ensemble.weights_hash
    assert np.array_equal(score_set(again, training).logit, before.logit)
    assert again.recipe == ensemble.recipe
    assert not again.differentiable
    assert not again.symmetrised().differentiable
    copied = copy.deepcopy(again.module)  # with its map, as the randomisation check copies it
    images = ensemble.preprocess(training.cutouts(slice(0, 3)))
    with torch.inference_mode():
        assert torch.equal(copied(images), ensemble.module(images))


def test_a_score_depends_neither_on_its_neighbours_nor_on_broken_ones(ensemble, training, tmp_path):
    images, others = cutouts(9), cutouts(9, seed=8)
    mixed = {band: block.copy() for band, block in others.items()}
    for band in mixed:
        mixed[band][4] = images[band][4]
        mixed[band][5] = np.nan
    plain = score_set(ensemble, write_ringed(tmp_path / "plain", images))
    among = score_set(ensemble, write_ringed(tmp_path / "mixed", mixed))
    assert among.logit[4] == plain.logit[4]
    assert [i for i in range(9) if among.status[i] != "ok"] == [5]
    single = score_set(ensemble, write_ringed(tmp_path / "plain-1", images), batch_size=1)
    assert np.array_equal(single.logit, plain.logit)  # p of the members is rounded before it is placed


def test_the_same_command_goes_on_and_writes_the_same(members, training, tmp_path, monkeypatch):
    plan, out = EnsemblePlan(cells=6, perplexity=5), tmp_path / "stopped"
    monkeypatch.setattr("lensaudit.ensembles.map_files.PIECE", 10)
    whole = fit_ensemble(members, Sets(training), tmp_path / "whole", plan)

    def stop(done: int, _total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_ensemble(members, Sets(training), out, plan, {"training": stop})
    assert not (out / "finder.yaml").exists()
    pieces = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(pieces) == 4
    again = fit_ensemble(members, Sets(training), out, plan)
    assert again.record.weights_hash == whole.record.weights_hash
    assert all(path.stat().st_mtime_ns == time for path, time in pieces.items())


def test_rows_are_spread_over_the_set():
    assert spread_rows(250, None) == [range(100), range(100, 200), range(200, 250)]
    assert spread_rows(1000, 250) == [range(100), range(475, 575), range(950, 1000)]
    assert spread_rows(80, 500) == [range(80)]
    assert spread_rows(80, 30) == [range(30)]
    with pytest.raises(UsageError, match="at least 1"):
        spread_rows(10, 0)


def test_record_and_card_say_what_was_measured(members, training, tmp_path):
    fitted = fit_ensemble(members, Sets(training, training), tmp_path / "e", EnsemblePlan(cells=6, perplexity=5))
    measured = fitted.record.metrics
    scores = score_set(fitted.finder, training)
    called = scores.p_lens >= 0.5
    assert measured.test.accuracy.value == np.mean(called == (training.labels == 1))
    assert set(measured.members) == {"both", "only-h"}
    assert measured.resized["both"]["highest_change_of_p"] < 1.5e-5  # rounding to five decimals
    assert fitted.record.training_data.members == {one.name: one.weights_hash for one in members}
    card = (tmp_path / "e" / "card.md").read_text()
    assert "0.9431" in card  # the paper's precision, beside ours
    assert f"{measured.test.auroc.value:.3f}" in card


def test_a_grid_that_fits_its_images_is_chosen_recorded_and_stored(lensaudit, member_folders, training, tmp_path):
    out = tmp_path / "e"
    words = ("--data", training.path, "--out", out, "--perplexity", 5, "--cells", "auto", "--test", training.path)
    code, said, err = lensaudit("ensemble", *member_folders, *words)
    assert code == 0, err
    finder, record = load_finder(str(out)), read_record(out)
    positions, labels = finder.module.positions.double().numpy(), finder.module.labels.numpy()
    errors = brier_scores(positions, labels)
    assert record.metrics.map.brier_left_out == {str(side): error for side, error in errors.items()}
    best = min(errors, key=errors.get)
    assert record.metrics.map.cells == best < 100
    assert finder.module.fraction.shape == (best, best)
    assert f"of {best}² cells" in said
    assert f"{best}² {errors[best]:.4f}" in (out / "card.md").read_text()


@pytest.mark.parametrize(("cells", "says"), [("fine", "--cells fine: give a number, or auto"), ("1", "at least 2")])
def test_a_grid_that_cannot_be_is_refused(lensaudit, member_folders, training, tmp_path, cells, says):
    words = ("--data", training.path, "--out", tmp_path / "e", "--cells", cells)
    code, _, err = lensaudit("ensemble", *member_folders, *words)
    assert code == 2
    assert says in err


def test_a_member_with_fitted_figures_keeps_them(members, training, tmp_path):
    statistics = {"mean": torch.full((1, 12, 12), 0.5), "sigma": torch.tensor([2.0])}
    third = make_member("noisy", ("VIS",), 3, stretch="noise")
    third = type(third)(third.recipe, third.module, "test", statistics=statistics)
    fitted = fit_ensemble([*members, third], Sets(training), tmp_path / "e", EnsemblePlan(cells=6, perplexity=5))
    assert fitted.record.metrics.resized["noisy"]["highest_change_of_p"] < 1.5e-5  # rounding to five decimals


def test_the_map_is_drawn_with_regions(ensemble, training, tmp_path):
    low, high = ensemble.module.map.positions.min(0), ensemble.module.map.positions.max(0)
    everything = read_region(f"{low[0] - 99},{high[0] + 99},{low[1] - 99},{high[1] + 99}", "all")
    record = map_ensemble(ensemble, training, tmp_path / "map", [everything])
    assert record.n == record.n_placed == 40
    assert (record.regions[0].n, record.regions[0].n_lenses) == (40, 20)
    assert record.regions[0].lens_fraction == 0.5
    assert SetOnMap.read(tmp_path / "map" / "map.json") == record
    assert {path.name for path in (tmp_path / "map").iterdir()} == {
        "map.png",
        "regions.png",
        "map.parquet",
        "map.json",
        "scores",
    }
    with pytest.raises(UsageError, match="has no map; give an ensemble"):
        map_ensemble(make_member("x", ("H",), 1), training, tmp_path / "x")


def test_wrong_members_get_one_line(members, member_folders, training, tmp_path):
    with pytest.raises(UsageError, match="needs two members or more, not 1"):
        open_members(member_folders[:1])
    with pytest.raises(UsageError, match="of different names"):
        assembled("e", [members[0], members[0]], training)
    custom = declare_finder(nn.Sequential(nn.Flatten(), nn.Linear(144, 1)), ("H",), 12, field_of_view_arcsec=2.05)
    with pytest.raises(UsageError, match="member custom: is no built-in architecture, which a map needs; take --kind"):
        assembled("e", [members[0], custom], training)
    with pytest.raises(UsageError, match=r"member wide needs 2\.06″, the ensemble has 2\.05″"):
        assembled("e", [members[0], _wide()], training)
    with pytest.raises(DataError, match=r"needs band J, the set .* has"):
        assembled("e", [*members, make_member("j", ("J",), 1)], training)
    with pytest.raises(UsageError, match=r"--perplexity 1"):
        EnsemblePlan(perplexity=1)
    with pytest.raises(DataError, match="the map needs 20 or more"):
        fit_ensemble(members, Sets(training), tmp_path / "few", EnsemblePlan(images=10, cells=6))


def _wide():
    """A member whose field of view is off the others' by less than a set is refused for."""
    one = make_member("wide", ("H",), 1)
    return type(one)(one.recipe.model_copy(update={"field_of_view_arcsec": 2.06}), one.module, "test")


def test_a_recipe_with_members_must_hold_together():
    words = {"name": "e", "architecture": "ou-tsne", "bands": ("H",), "size": 12, "outputs": 1, "lens_index": 0}
    one = make_member(
        "a",
        ("H",),
        1,
    ).recipe.model_dump()
    other = {**one, "name": "b"}
    whole = {**words, "field_of_view_arcsec": 2.05, "members": [one, other], "architecture_options": {"references": 5}}
    assert len(Recipe.model_validate(whole).members) == 2
    assert "members" not in Recipe.model_validate(one).model_dump()
    for change, message in (
        ({"members": [one]}, "two or more"),
        ({"architecture_options": {}}, "needs the option references"),
        ({"architecture": "tiny"}, "members do not fit architecture tiny"),
        ({"bands": ("VIS",)}, "member a needs H"),
        ({"members": [one, {**whole, "name": "nested"}]}, "an ensemble itself"),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe.model_validate({**whole, **change})


def test_it_is_not_trained_but_made(ensemble, training, tmp_path):
    with pytest.raises(UsageError, match="make it with lensaudit ensemble both only-h --data SET"):
        train(ensemble.recipe, TrainingData(training), Place(tmp_path / "t"))
    with pytest.raises(UsageError, match="has no random start"):
        initialised_module(ensemble.recipe, torch.Generator())


def test_what_needs_no_gradient_applies(ensemble, training):
    found = occlusion(ensemble, training.cutouts([1]), patch=5, engine="captum")
    exact = occlusion(ensemble, training.cutouts([1]), patch=5)
    np.testing.assert_allclose(
        exact.patches.p_lost,
        found.patches.p_lost,
        rtol=0,
        atol=1e-6,  # p of the members is rounded alike
    )
    assert explain(ensemble, training.cutouts([1]), "occlusion").maps.shape == (1, 20, 20)
    with pytest.raises(DataError, match=r"Grad-CAM does not apply .* no gradient"):
        explain(ensemble, training.cutouts([1]), "gradcam")


def test_kernels_of_the_members_have_activations(ensemble, training, tmp_path):
    table = kernel_activations(ensemble, training, tmp_path / "kav.parquet")
    assert sorted({kernel.layer for kernel in table.kernels}) == ["members.both.body.0", "members.only-h.body.0"]


def test_members_whose_statistics_are_in_two_units_do_not_go_together(training):
    """The ensemble hands both the same pixels, which cannot be in both."""
    one, two = (
        make_member(name, ("H",), 1, stretch="clip-log", pixel_unit={"H": unit})
        for name, unit in (("one", "electron / s"), ("two", "electron / s at 24 mag"))
    )
    with pytest.raises((UsageError, DataError), match="statistics"):
        assembled("e", [one, two], training)
