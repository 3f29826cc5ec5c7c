"""Classifiers of scikit-learn from skops files: scikit-learn's own scores, and nothing but types of a list."""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
import pytest
import skops.io
import torch
from network_files import BANDS, SIZE, declaration, small_network, write_onnx
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.explaining import explain_prepared
from lensaudit.finders import load_finder
from lensaudit.finders.formats.opening import training_features
from lensaudit.finders.formats.skops_file import features
from lensaudit.lensset.image_statistics import band_statistics, with_colours

SOFTMAX = {"outputs": "softmax"}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(60, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def lenses(images) -> np.ndarray:
    return (images[:, 0, 6:10, 6:10].mean(dim=(1, 2)) > 0.5).numpy().astype(int)


def fitted(images, lenses, *steps, kind="pixels"):
    return make_pipeline(*steps).fit(features(images.numpy(), BANDS, kind), lenses)


def dumped(model, path):
    skops.io.dump(model, path)
    return path


@pytest.fixture(scope="module")
def forest(images, lenses, tmp_path_factory):
    model = fitted(images, lenses, StandardScaler(), RandomForestClassifier(5, random_state=0, n_jobs=2))
    return model, dumped(model, tmp_path_factory.mktemp("skops") / "forest.skops")


def test_statistics_that_do_not_exist_are_0():
    """Of a constant image everything in units of its noise, and colours of bands without light."""
    images = np.zeros((2, len(BANDS), SIZE, SIZE), np.float32)
    images[1] = np.random.default_rng(1).normal(size=images[1].shape)
    measured = with_colours({band: band_statistics(images[:, place]) for place, band in enumerate(BANDS)})
    plain = np.stack(list(measured.values()), axis=1)
    assert np.isnan(plain[0]).any()
    found = features(images, BANDS, "statistics")
    np.testing.assert_array_equal(found, np.where(np.isnan(plain), 0, plain))


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((FunctionTransformer(np.arcsinh), StandardScaler(), LogisticRegression()), "pixels"),
        ((StandardScaler(), LogisticRegression()), "statistics"),
        ((HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5),), "statistics"),
    ],
)
def test_scores_are_scikit_learns(images, lenses, tmp_path, steps, kind):
    model = fitted(images, lenses, *steps, kind=kind)
    finder = load_finder(declaration(dumped(model, tmp_path / "a.skops"), features=kind, **SOFTMAX))
    p = model.predict_proba(features(images.numpy(), BANDS, kind))
    # In single precision from the probabilities on.
    np.testing.assert_allclose(finder.logit(images).numpy(), np.log(p[:, 1] / p[:, 0]), rtol=1e-4, atol=1e-4)
    assert (finder.differentiable, finder.recipe.outputs, finder.name) == (False, 2, "mine")
    assert finder.parameters > 0


def test_a_forest_is_read_and_occluded(images, forest):
    model, path = forest
    finder = load_finder(declaration(path, **SOFTMAX))
    p = model.predict_proba(features(images.numpy(), BANDS, "pixels"))[:, 1]
    np.testing.assert_allclose(torch.sigmoid(finder.logit(images)).numpy(), p, atol=1e-6)
    assert np.isfinite(explain_prepared(finder, images[:1], "occlusion").maps).all()
    with pytest.raises(DataError, match="has no gradient; use occlusion"):
        explain_prepared(finder, images[:1], "saliency")


def test_what_gives_no_probabilities_gives_its_decision(images, lenses, tmp_path):
    model = fitted(images, lenses, StandardScaler(), LinearSVC())
    finder = load_finder(declaration(dumped(model, tmp_path / "a.skops")))
    np.testing.assert_allclose(
        finder.logit(images).numpy(), model.decision_function(features(images.numpy(), BANDS, "pixels")), rtol=1e-5
    )


def test_features_for_training_are_those_of_scoring(lens_set, lensaudit, tmp_path):
    told = declaration(tmp_path / "a.skops", features="statistics", **SOFTMAX)  # whose file is not there yet
    cutouts = {band: lens_set.cutouts(range(len(lens_set)))[band] for band in BANDS}
    found = training_features(told, cutouts)
    assert found.shape == (len(lens_set), 27)  # 13 statistics of each band, and a colour
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(found, np.arange(len(found)) % 2)
    dumped(model, tmp_path / "a.skops")
    finder = load_finder(told)
    p = model.predict_proba(found)[:, 1]
    np.testing.assert_allclose(torch.sigmoid(finder.logit(finder.preprocess(cutouts))).numpy(), p, atol=1e-5)
    code, _, error = lensaudit("score", told, lens_set.path, "--out", tmp_path / "scores.parquet")
    assert code == 0, error


def my_own(values):
    raise AssertionError("was run")


def with_array(path, to, change):
    """The archive with `change` made to its arrays that have fields."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(data))
                if array.dtype.names:
                    change(array)
                    stream = io.BytesIO()
                    np.save(stream, array)
                    data = stream.getvalue()
            out.writestr(name, data)
    return to


@pytest.mark.parametrize(("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 10**6)])
def test_trees_that_point_elsewhere_are_refused(forest, tmp_path, field, value):
    def change(nodes):
        nodes[field][nodes["left_child"] != -1] = value

    bad = with_array(forest[1], tmp_path / "bad.skops", change)
    with pytest.raises(DataError, match="a tree of it points at nodes or features that are not there"):
        load_finder(declaration(bad, **SOFTMAX))


def test_what_is_no_classifier_of_such_images_gets_one_line(images, lenses, forest, tmp_path, monkeypatch):
    x = features(images.numpy(), BANDS, "pixels")
    own = make_pipeline(FunctionTransformer(my_own), LogisticRegression())
    own.steps[1][1].fit(x, lenses)
    line = dumped(LinearRegression().fit(x, lenses), tmp_path / "line.skops")
    for path, words, says in (
        (dumped(own, tmp_path / "own.skops"), SOFTMAX, r"holds the type .*my_own, which is not among those that are"),
        (line, SOFTMAX, "is a LinearRegression, which has neither predict_proba nor decision_function"),
        (forest[1], {}, "its outputs are probabilities that add up to 1, not logits; say outputs: softmax"),
        (
            forest[1],
            {"features": "statistics", **SOFTMAX},
            "takes 512 features, statistics of 2 channel.* are 27; correct",
        ),
        (forest[1], {"size": 8, **SOFTMAX}, "takes 512 features, pixels of 2 channel.* of 8×8 pixels are 128; correct"),
    ):
        with pytest.raises(DataError, match=says) as refused:
            load_finder(declaration(path, **words))
        assert "\n" not in str(refused.value)
    whole = forest[1].read_bytes()
    for name, data in (("short", whole[: len(whole) // 2]), ("changed", whole.replace(b"Pipeline", b"Popeline"))):
        (tmp_path / f"{name}.skops").write_bytes(data)
        with pytest.raises(DataError, match=r"torn|damaged|not among those|a zip archive|schema.json"):
            load_finder(declaration(tmp_path / f"{name}.skops", **SOFTMAX))
    with pytest.raises(UsageError, match="features is of skops files"):
        load_finder(declaration(write_onnx(small_network(), tmp_path / "a.onnx"), features="pixels"))
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(MachineError, match=r"needs skops; pip install 'lensaudit\[skops\]'"):
        load_finder(declaration(forest[1], **SOFTMAX))
