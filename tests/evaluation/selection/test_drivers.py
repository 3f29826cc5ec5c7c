"""The model of found and lost: it names the column the score is made of and not what goes with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from lensaudit.evaluation.selection.drivers import (
    RIDGE,
    driver_model,
    driver_table,
    fitted,
    standard_errors,
    untangled,
    variance_inflation,
)
from lensaudit.evaluation.selection.parameters import Parameter


def parameter(name: str, logarithmic: bool = False) -> Parameter:
    return Parameter(name, name, "", (name,), logarithmic)


def pair(n: int = 1500, r: float = 0.9, seed: int = 1):
    """A driver and a companion that goes with it."""
    rng = np.random.default_rng(seed)
    driver = rng.normal(size=n)
    return {"driver": driver, "companion": r * driver + math.sqrt(1 - r * r) * rng.normal(size=n)}, rng


def by_name(model):
    return {one.parameter.name: one for one in model.drivers}


NAMES = (parameter("driver"), parameter("companion"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_driver_is_told_from_what_goes_with_it(seed):
    values, rng = pair(seed=seed)
    found = 1.5 * values["driver"] + rng.logistic(size=1500) > 0
    model = driver_model(NAMES, values, found, seed=0)
    one = by_name(model)
    assert one["driver"].verdict == "drives"
    assert one["companion"].verdict == "goes along"
    assert one["companion"].alone.low > 0, "alone, the companion looks like a driver"
    assert one["driver"].slope.low < 1.5 < one["driver"].slope.high
    assert model.drivers[0].parameter.name == "driver"
    assert (one["driver"].companion.words, model.notes) == ("companion", ())
    assert one["driver"].companion.correlation == pytest.approx(0.9, abs=0.02)  # the pair is drawn


def test_a_score_that_is_the_driver_itself_separates_and_is_said():
    values, _ = pair()
    model = driver_model(NAMES, values, values["driver"] > 0.3, seed=0)
    one = by_name(model)
    assert one["driver"].verdict == "drives"
    assert one["companion"].verdict == "goes along"
    assert np.isfinite([one["driver"].slope.value, one["driver"].slope.high]).all()
    assert abs(one["companion"].slope.value) < 0.05 * one["driver"].slope.value
    assert any("separate found from lost completely" in note for note in model.notes)


def test_a_bend_is_seen_with_its_place():
    """Found best at 0.5 of a parameter whose logarithm is modelled."""
    rng = np.random.default_rng(4)
    size = 10 ** rng.normal(0, 0.3, 2000)
    found = 2 - 12 * (np.log10(size) - math.log10(0.8)) ** 2 + rng.logistic(size=2000) > 0
    (one,) = driver_model((parameter("size", True),), {"size": size}, found, seed=0).drivers
    assert one.verdict == "drives"
    assert one.bend.high < 0
    assert one.sense.startswith("found best near 0.")
    assert float(one.sense.split()[-1]) == pytest.approx(0.8, abs=0.1)  # of 2 000 lenses


def test_nothing_drives_a_finder_that_throws_dice():
    values, rng = pair()
    model = driver_model(NAMES, values, rng.random(1500) < 0.5, seed=0)
    assert {one.verdict for one in model.drivers} == {"not significant"}
    assert "No parameter is shown" in model.sentences[0]
    assert model.auroc == pytest.approx(0.5, abs=0.06)  # 1 500 lenses: σ = 0.015


def test_what_another_fixes_is_taken_out_and_named():
    """Of two that say the same but for noise, the one stays that says better who is found."""
    rng = np.random.default_rng(5)
    driver = rng.normal(size=1500)
    values = {"companion": driver + 0.25 * rng.normal(size=1500), "driver": driver, "other": rng.normal(size=1500)}
    found = 3 * driver + rng.logistic(size=1500) > 0
    model = driver_model([parameter(name) for name in values], values, found, seed=0)
    assert set(by_name(model)) == {"driver", "other"}
    (gone,) = model.carried
    assert gone.parameter.name == "companion"
    assert gone.companion.words == "driver"
    assert gone.vif == pytest.approx(17, rel=0.15)  # 1 + 1 / 0.25², of 1 500 draws
    assert gone.p_alone < 1e-6 < gone.p_cost
    assert "all but fix" in " ".join(model.sentences)


def test_a_copy_has_infinite_inflation_and_does_no_harm():
    values, rng = pair()
    values["copy"] = 3 * values["driver"] + 1
    found = values["driver"] + rng.logistic(size=1500) > 0
    model = driver_model([*NAMES, parameter("copy")], values, found, seed=0)
    assert math.isinf(model.carried[0].vif)
    assert len(model.drivers) == 2
    assert sum(one.verdict == "drives" for one in model.drivers) == 1


def test_variance_inflation_is_the_inverse_correlation():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    assert variance_inflation(x) == pytest.approx(np.diag(np.linalg.inv(np.corrcoef(x, rowvar=False))))
    assert variance_inflation(x[:, :1]).tolist() == [1.0]


def test_the_fit_is_the_minimum_of_the_penalised_likelihood():
    """Against scipy's minimiser, and Wald's errors against the curvature it finds."""
    values, rng = pair(400, 0.5)
    x = np.column_stack(list(values.values()))
    y = x[:, 0] + rng.logistic(size=400) > 0.5

    def loss(b):
        z = x @ b[:2] + b[2]
        return np.logaddexp(0, np.where(y, -z, z)).sum() + RIDGE / 2 * (b[:2] ** 2).sum()

    theirs = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    ours = fitted(x, y)
    assert [*ours.slopes, ours.intercept] == pytest.approx(theirs.x, abs=1e-3)  # scikit-learn stops at 1e-4
    curvature = approx_fprime(theirs.x, lambda b: approx_fprime(b, loss, 1e-5), 1e-4)
    assert standard_errors(x, ours) == pytest.approx(np.sqrt(np.diag(np.linalg.inv(curvature)))[:2], rel=0.01)
    assert ours.deviance == pytest.approx(2 * (loss(theirs.x) - RIDGE / 2 * (theirs.x[:2] ** 2).sum()), rel=1e-5)
    share = fitted(x[:, :0], y)
    assert share.deviance == pytest.approx(-2 * (y.sum() * math.log(y.mean()) + (~y).sum() * math.log(1 - y.mean())))


@pytest.mark.parametrize(("found", "said"), [(True, "all 1500 lenses are found"), (False, "none of the 1500 lenses")])
def test_one_outcome_is_said_and_no_model(found, said):
    values, _ = pair()
    model = driver_model(NAMES, values, np.full(1500, found), seed=0)
    assert said in model.status
    assert model.drivers == ()
    assert said in model.sentences[0]


def test_a_handful_of_losses_is_no_model():
    values, _ = pair()
    found = np.ones(1500, bool)
    found[:9] = False
    assert driver_model(NAMES, values, found, seed=0).status == "1491 lenses found and 9 lost, 10 of each are needed"
    found[9] = False
    model = driver_model(NAMES, values, found, seed=0)
    assert model.status == ""
    assert model.drivers[0].bend is None
    assert any("too few to ask where recall bends" in note for note in model.notes)
    assert any("the intervals are rough" in note for note in model.notes)


def test_gaps_and_constants_are_left_out_and_counted():
    values, rng = pair()
    values["gappy"] = np.where(np.arange(1500) < 160, np.nan, rng.normal(size=1500))
    values["constant"] = np.full(1500, 24.0)
    values["negative"] = np.where(np.arange(1500) < 7, -1.0, rng.lognormal(size=1500))
    names = [*NAMES, parameter("gappy"), parameter("constant"), parameter("negative", True)]
    found = values["driver"] + rng.logistic(size=1500) > 0
    model = driver_model(names, values, found, seed=0)
    assert model.left_out == {"gappy": "160 of 1500 lenses lack it", "constant": "the same for all lenses"}
    assert (model.n, model.n_missing) == (1493, 7)


def test_no_parameter_at_all_is_said():
    model = driver_model((), {}, np.arange(100) < 50, seed=0)
    assert model.status == "no parameter varies among the lenses"


def test_the_same_seed_gives_the_same_numbers():
    values, rng = pair(300)
    found = values["driver"] + rng.logistic(size=300) > 0
    first, again, other = (driver_model(NAMES, values, found, seed=seed).to_json()["drivers"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_untangling_leaves_what_is_not_tangled():
    values, rng = pair()
    table, _, _ = driver_table(NAMES, values, rng.random(1500) < 0.5)
    kept, gone = untangled(table)
    assert (kept.parameters, gone) == (NAMES, [])
