"""What the protocols of the other papers need: plateaus, early stopping, balanced batches, spatial dropout."""

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.finders import Training, load_recipe
from lensaudit.training import TrainingOptions
from lensaudit.training.augment import has_ended, learning_rate, plateaus
from lensaudit.training.batches import Purpose, balanced, epoch_size, stream
from lensaudit.training.network import MaskSource, SeededSpatialDropout, training_form


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([], 0),
        ([3.0, 2.0, 1.0], 0),
        ([1.0, 2.0, 2.0], 1),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2),
        ([1.0, 2.0, 0.5, 2.0, 0.9], 1),
        ([1.0, 1.0, 1.0], 1),  # no new low
    ],
)
def test_plateaus_by_hand(losses, found):
    assert plateaus(losses, 2) == found


def test_the_rate_drops_every_third_as_every_40_of_120_epochs():
    rates = [learning_rate("steps", 1e-3, 10 * epoch, 10 * 120) for epoch in range(120)]
    assert rates == pytest.approx([1e-3] * 40 + [1e-4] * 40 + [1e-5] * 40)


def test_early_stopping_waits_for_one_plateau_or_for_the_third():
    falling, flat = [1 / (1 + n) for n in range(9)], [1.0] * 10
    assert not has_ended("constant", 3, falling)
    assert not has_ended("constant", None, flat)
    assert [has_ended("constant", 3, flat[:n]) for n in (3, 4)] == [False, True]
    assert [has_ended("plateau", 3, flat[:n]) for n in (9, 10)] == [False, True]


def test_every_balanced_batch_is_half_lenses():
    labels = (np.arange(103) % 5 == 0).astype(np.int8)
    rows = np.arange(103)
    order = balanced(rows, labels, seed=1, epoch=0)
    assert len(order) == epoch_size(labels, True) == 2 * 82
    for first in range(0, 160, 10):
        assert labels[order[first : first + 10]].sum() == 5
    counts = np.bincount(order, minlength=103)
    assert set(counts[labels == 0]) == {1}, "the larger class once each"
    assert set(counts[labels == 1]) <= {3, 4}, "the smaller one in turns"
    assert (balanced(rows, labels, 1, 0) == order).all()
    assert (balanced(rows, labels, 1, 1) != order).any()


def test_spatial_dropout_takes_whole_maps_and_keeps_the_mean():
    masks = MaskSource(1)
    module = training_form(nn.Sequential(nn.Dropout2d(0.25)), masks).train()
    assert isinstance(module[0], SeededSpatialDropout)
    masks.start(0, 0)
    maps = module(torch.ones(400, 50, 3, 3))
    per_map = maps.flatten(2)
    assert (per_map == per_map[:, :, :1]).all()
    kept = (per_map[:, :, 0] > 0).float().mean().item()
    assert kept == pytest.approx(0.75, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)  # four standard errors
    assert per_map.max().item() == pytest.approx(1 / 0.75, rel=1e-4)  # the probability is rounded to 1/65 536
    masks.start(0, 0)
    assert torch.equal(module(torch.ones(400, 50, 3, 3)), maps)
    assert torch.equal(module.eval()(torch.ones(2, 5, 3, 3)), torch.ones(2, 5, 3, 3))


def test_spatial_dropout_draws_like_torchs_in_distribution():
    """Number of maps left of 8: binomial in both; compared by their histograms over 4 000 images."""
    masks = MaskSource(2)
    ours = training_form(nn.Sequential(nn.Dropout2d(0.2)), masks).train()(torch.ones(4000, 8, 1, 1))
    left = np.bincount((ours > 0).sum(dim=(1, 2, 3)).numpy(), minlength=9) / 4000
    generator = stream(3, Purpose.ORDER)
    binomial = np.bincount(generator.binomial(8, 0.8, 400_000), minlength=9) / 400_000
    assert np.abs(left - binomial).max() < 4 * 0.5 / 4000**0.5  # four standard errors of the widest bin


def test_a_recipes_protocol_is_what_training_uses_by_default():
    deeplens = TrainingOptions.of(load_recipe("deeplens").training)
    assert (deeplens.schedule, deeplens.augment, deeplens.threshold_fpr) == ("steps", "deeplens", 0.01)
    assert (deeplens.batch_size, deeplens.epochs, deeplens.learning_rate) == (128, 120, 1e-3)
    lastro = TrainingOptions.of(load_recipe("lastro").training, schedule="constant")
    assert (lastro.schedule, lastro.balanced_batches, lastro.batch_size) == ("constant", True, 10)


def test_a_plain_protocol_is_written_as_before():
    """Records and identities of older trainings stay the same words."""
    assert set(Training().model_dump()) == {
        "optimizer", "learning_rate", "batch_size", "epochs", "class_weights", "validation_fraction", "quick"
    }  # fmt: skip
    words = TrainingOptions.of(Training()).identity()
    assert not {"balanced_batches", "patience", "threshold_fpr", "half"} & words.keys()
