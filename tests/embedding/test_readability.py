"""What can be read of a column, against scikit-learn's own cross-validation and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lensaudit.embedding.readability import ALPHAS, Question, _folds, _questions, questions, read_all
from tests.realism_gate.toys import drawn_set


def question(name: str, target: np.ndarray, binary: bool = False) -> Question:
    return Question(name, "", np.asarray(target, float)[:, None], binary)


def read_by_hand(features: np.ndarray, target: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold answers within the range of the training folds, and these folds' mean."""
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS))
    said = cross_val_predict(model, features, target, cv=PredefinedSplit(fold))
    training = [target[fold != own] for own in fold]
    return np.array([np.clip(one, t.min(), t.max()) for one, t in zip(said, training, strict=True)]), np.array(
        [t.mean() for t in training]
    )


def test_r_squared_and_auroc_are_those_of_scikit_learn_s_cross_validation():
    """Two quantities and a yes or no of one set, three columns of other answers; one image is far out."""
    rng = np.random.default_rng(5)
    n, features, baseline = 160, rng.normal(size=(160, 6)), rng.normal(size=(160, 3))
    features[11] *= 30  # its answer would leave what was ever seen
    target = {
        "first": features[:, 0] + rng.normal(size=n),
        "second": 50 + 7 * (features[:, 1] - 2 * features[:, 2]) + baseline[:, 0] + rng.normal(size=n),
        "third": (features[:, 3] + rng.normal(size=n) > 0.6).astype(float),
    }
    asked = [question(name, values, name == "third") for name, values in target.items()]
    system = rng.integers(60, size=n)
    found = {
        one.column: one
        for one in read_all(features, baseline, asked, [f"s{one:02d}" for one in system], np.random.default_rng(0))
    }
    _, number = np.unique([f"s{one:02d}" for one in system], return_inverse=True)
    fold = _folds(number, asked, np.random.default_rng(0))
    assert all(len(set(fold[system == one])) == 1 for one in set(system.tolist()))
    for name in ("first", "second"):
        y = target[name]
        for told, columns in ((found[name].value, features), (found[name].statistics, baseline)):
            said, mean = read_by_hand(columns, y, fold)
            by_hand = 1 - ((y - said) ** 2).sum() / ((y - mean) ** 2).sum()
            assert told == pytest.approx(by_hand, abs=1e-9)  # both in double precision
    for told, columns in ((found["third"].value, features), (found["third"].statistics, baseline)):
        said, mean = read_by_hand(columns, target["third"], fold)
        assert told == pytest.approx(roc_auc_score(target["third"], said - mean), abs=1e-12)
    for one in found.values():
        assert one.more == pytest.approx(one.value - one.statistics, abs=1e-12)


def test_the_interval_is_as_wide_as_theory_says_and_what_is_more_is_paired():
    """R² of normal numbers scatters by 2 R (1 − R²) / √n; of what two readings share the difference knows nothing."""
    rng = np.random.default_rng(3)
    n, features = 1500, rng.normal(size=(1500, 2))
    y = features[:, 0] + rng.normal(size=n)
    (one,) = read_all(features, features[:, :1], [question("y", y)], [str(i) for i in range(n)], rng)
    sigma = 2 * np.sqrt(0.5) * 0.5 / np.sqrt(n)
    assert (one.high - one.low) / (2 * 1.96 * sigma) == pytest.approx(1, abs=0.2)  # 500 resamples, of one set
    assert abs(one.more) < 0.005
    assert one.more_high - one.more_low < (one.high - one.low) / 5
    assert not one.beyond


def test_doubles_of_a_system_make_no_interval_narrower():
    rng = np.random.default_rng(9)
    features = rng.normal(size=(200, 3))
    y = features[:, 0] + rng.normal(size=200)
    widths = []
    for times in (1, 5):
        names = np.repeat([f"s{i}" for i in range(200)], times)
        asked = [question("y", np.repeat(y, times))]
        (one,) = read_all(np.repeat(features, times, axis=0), None, asked, names.tolist(), np.random.default_rng(1))
        widths.append(one.high - one.low)
    assert widths[1] / widths[0] == pytest.approx(1, abs=0.2)  # of images it would be 1/√5


@pytest.mark.parametrize(
    ("name", "unit", "symmetry"),
    [
        ("lens_angle_rad", "rad", 2),
        ("psf_angle_deg", "deg", 3),
        ("arc_angle_rad", "rad", 1),
        ("field_angle_deg", "deg", 1),
    ],
)
def test_an_angle_is_read_as_its_sine_and_cosine_with_its_symmetry(name, unit, symmetry):
    turn = 360.0 if unit == "deg" else 2 * np.pi
    angle = np.linspace(0, 1, 50) * turn / symmetry
    (one,) = _questions(name, unit, angle)
    (again,) = _questions(name, unit, angle + turn / symmetry)
    np.testing.assert_allclose(one.target, again.target, atol=1e-12)  # rounding of a turn
    np.testing.assert_allclose((one.target**2).sum(axis=1), 1)
    assert np.ptp(one.target, axis=0) == pytest.approx([2, 2], abs=0.01)  # 50 steps: once round, not twice
    steps = np.abs(np.diff(np.unwrap(np.arctan2(one.target[:, 1], one.target[:, 0]))))
    assert steps.sum() == pytest.approx(2 * np.pi)


def test_a_yes_or_no_needs_images_on_either_side():
    few = np.arange(100) < 14
    assert not question("few", few, True).can_be_asked
    assert not question("most", ~few, True).can_be_asked
    assert question("enough", np.arange(100) < 15, True).can_be_asked


def test_columns_are_those_of_the_images_that_are_read(tmp_path):
    lens_set = drawn_set(tmp_path / "set", 60, 4, np.random.default_rng(2).permutation(60) % 2)
    rows = np.arange(60)[::-1]
    (label,) = [one for one in questions(lens_set, rows[:50]) if one.name == "label"]
    assert label.target[:, 0].tolist() == lens_set.labels[rows[:50]].tolist()
