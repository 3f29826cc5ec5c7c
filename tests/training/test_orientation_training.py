"""Trainings of invariant finders, of those told the PSF's angle, and by the faulty balancing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import ARCHITECTURES, Finder, Recipe, Training, initialised_module, load_finder, score_set
from lensaudit.finders.architectures import Architecture
from lensaudit.finders.layers import GroupPool, P4MConv, P4MLift, dihedral
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, train
from lensaudit.training.prepared import Standard, decoded, foldable, prepare_set, standard_of

CPU = Machine(device="cpu", threads=1)
ROUNDING = 1e-5  # float32 sums of some hundred terms, in another order


def options(**changes) -> TrainingOptions:
    words = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, "seed": 7, "validation_fraction": 0.2}
    return TrainingOptions(**(words | changes))


@pytest.fixture
def arrows(make_set):
    """60 alike images with a mark at one side; which are lenses is a coin's word."""
    rng = np.random.default_rng(2)
    images = {"VIS": rng.normal(size=(60, 20, 20)), "H": rng.normal(size=(60, 7, 7))}
    images["VIS"][:, 8:12, 14:18] += 12
    images["H"][:, 3, 5] += 12
    return make_set("arrows", np.arange(60) % 2, images={b: x.astype(np.float32) for b, x in images.items()})


def accuracy(finder, lens_set, quarter_turns: int) -> float:
    """Of a set whose non-lenses are turned so many times."""
    with torch.inference_mode():
        images = finder.preprocess(lens_set.cutouts(slice(None)))
        is_lens = torch.from_numpy(lens_set.labels == 1)
        images = torch.where(is_lens[:, None, None, None], images, dihedral(images, quarter_turns))
        return float(((finder.logit(images) > 0) == is_lens).float().mean())


def test_the_faulty_balancing_leaks_and_its_validation_images_share_the_fault(tiny, arrows, tmp_path):
    words = options(epochs=25, learning_rate=0.01, augment="non-lenses", dropout=0.0)
    trained = train(tiny, TrainingData(arrows), Place(tmp_path / "out"), words, CPU)
    assert accuracy(trained.finder, arrows, 2) > 0.9, "it reads the label from the side of the mark"
    assert 0.4 < accuracy(trained.finder, arrows, 0) < 0.7
    assert min(row.validation_loss for row in trained.history) < 0.5 < np.log(2)
    assert "only non-lenses were turned" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("symmetrise", "augment"), [(True, "non-lenses"), (False, "dihedral")])
def test_the_cures_leave_nothing_to_read(tiny, arrows, tmp_path, symmetrise, augment):
    recipe = tiny.model_copy(update={"symmetrise": symmetrise})
    words = options(epochs=8, learning_rate=0.01, augment=augment, dropout=0.0)
    finder = train(recipe, TrainingData(arrows), Place(tmp_path / "out"), words, CPU).finder
    gap = abs(accuracy(finder, arrows, 2) - accuracy(finder, arrows, 0))
    assert gap == 0 if symmetrise else gap < 0.25


def test_a_symmetrised_training_is_loaded_invariant(tiny, mixed, tmp_path):
    recipe = tiny.model_copy(update={"symmetrise": True})
    trained = train(recipe, TrainingData(mixed), Place(tmp_path / "out"), options(inputs="standardised"), CPU)
    finder = load_finder(str(tmp_path / "out"))
    assert finder.weights_hash == trained.record.weights_hash
    images = finder.preprocess(mixed.cutouts(slice(0, 4)))
    with torch.inference_mode():
        logits = torch.stack([finder.logit(dihedral(images, which)) for which in range(8)])
    assert float((logits - logits[0]).abs().max()) < ROUNDING
    assert "averaged over the 8" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")


def test_a_set_without_the_angle_is_refused_before_any_image_is_read(tiny, mixed, tmp_path):
    recipe = tiny.model_copy(update={"extra_inputs": ("psf_angle",)})
    with pytest.raises(DataError, match="needs the column psf_angle_deg"):
        train(recipe, TrainingData(mixed), Place(tmp_path / "out"), options(), CPU)


def test_an_angle_is_prepared_with_the_images_and_trained_on(tiny, make_angled, tmp_path):
    angles = np.linspace(0, 110, 60)
    lens_set = make_angled("angled", np.arange(60) % 2, angles)
    recipe = tiny.model_copy(update={"extra_inputs": ("psf_angle",)})
    prepared = prepare_set(Finder(recipe, torch.nn.Identity(), "test"), lens_set, tmp_path / "cache")
    assert (prepared.angles, prepared.shape) == (1, (4, 12, 12))
    planes = decoded(*prepared.read(np.array([0, 30])))[:, 2:]
    phase = torch.from_numpy(np.deg2rad(3 * angles[[0, 30]])).float()
    torch.testing.assert_close(planes[:, 0, 3, 3], phase.cos(), rtol=0, atol=1e-6)  # constants are kept exactly
    torch.testing.assert_close(planes[:, 1, 5, 2], phase.sin(), rtol=0, atol=1e-6)
    standard = standard_of(prepared, np.arange(60))
    assert standard.mean[2:].tolist() == [0, 0]
    assert standard.deviation[2:].tolist() == [1, 1]
    words = options(augment="non-lenses", inputs="standardised")
    trained = train(recipe, TrainingData(lens_set), Place(tmp_path / "out"), words, CPU)
    assert trained.finder.module[0].in_channels == 4
    scores = score_set(load_finder(str(tmp_path / "out")), lens_set, batch_size=7)
    assert set(scores.status) == {"ok"}
    with torch.inference_mode():
        cutouts = lens_set.cutouts(slice(None)) | {"psf_angle_deg": lens_set.column("psf_angle_deg")}
        logit = trained.finder.logit(trained.finder.preprocess(cutouts)).numpy()
    np.testing.assert_allclose(scores.logit, logit, rtol=0, atol=ROUNDING)


def build_p4m(bands: int, outputs: int = 2) -> nn.Sequential:
    """A body of group convolutions: (n, bands, 12, 12) → (n, outputs)."""
    layers = [P4MLift(bands, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1), P4MConv(2, 3, 2), nn.ReLU()]
    return nn.Sequential(*layers, GroupPool(), nn.Linear(3, outputs))


def test_group_convolutions_train_resume_and_stay_invariant(tiny, mixed, tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny-p4m", Architecture("tiny-p4m", 12, build_p4m))
    recipe = tiny.model_copy(update={"architecture": "tiny-p4m"})
    sets, words = TrainingData(mixed), options(epochs=2, inputs="standardised", augment="non-lenses")
    whole = train(recipe, sets, Place(tmp_path / "whole"), words.model_copy(update={"epochs": 3}), CPU)
    train(recipe, sets, Place(tmp_path / "parts"), words, CPU)
    parts = train(recipe, sets, Place(tmp_path / "parts"), words.model_copy(update={"epochs": 3}), CPU)
    assert parts.record.weights_hash == whole.record.weights_hash
    finder = load_finder(str(tmp_path / "whole"))
    images = finder.preprocess(mixed.cutouts(slice(0, 4)))
    with torch.inference_mode():
        logits = torch.stack([finder.logit(dihedral(images, which)) for which in range(8)])
    assert float((logits - logits[0]).abs().max()) < ROUNDING
    assert float(logits[0].std()) > 10 * ROUNDING


def test_a_start_must_share_what_it_is_told(tiny, mixed, tmp_path):
    train(tiny, TrainingData(mixed), Place(tmp_path / "first"), options(epochs=1), CPU)
    other = tiny.model_copy(update={"symmetrise": True})
    with pytest.raises(UsageError, match="its symmetrise is False, tiny has True"):
        train(other, TrainingData(mixed), Place(tmp_path / "x"), options(start=str(tmp_path / "first")), CPU)


@pytest.mark.parametrize("architecture", ["core", "core-p4m", "ou66-p4m"])
def test_standardising_folds_into_cut_and_group_layers(architecture):
    size = ARCHITECTURES[architecture].size
    recipe = Recipe(name="x", architecture=architecture, bands=("H", "VIS"), size=size)
    module = initialised_module(recipe, torch.Generator().manual_seed(1)).eval()
    assert isinstance(foldable(module), P4MLift) == architecture.endswith("p4m")
    images = torch.rand((2, 2, size, size), generator=torch.Generator().manual_seed(2))
    standard = Standard(torch.tensor([0.2, 0.4]), torch.tensor([0.5, 0.1]))
    with torch.inference_mode():
        wanted = module(standard.apply(images))
        standard.fold(module)
        torch.testing.assert_close(module(images), wanted, rtol=1e-3, atol=1e-4)  # sums of values up to 6


def test_class_weights_on_the_command_line_reach_the_loss(tiny):
    assert TrainingOptions.of(Training(), class_weights="none").class_weights == "none"
    assert TrainingOptions.of(Training(), class_weights=None).class_weights == "inverse-frequency"
    with pytest.raises(UsageError, match="class_weights = 'balanced'"):
        TrainingOptions.of(Training(), class_weights="balanced")
