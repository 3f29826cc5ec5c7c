"""A second stage begins from a finder's weights, and only from one that fits."""

import pytest
import torch

from lensaudit.errors import UsageError
from lensaudit.finders import load_finder
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, train
from lensaudit.training.start import starting_weights

CPU = Machine(device="cpu", threads=1)
STILL = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-12, "seed": 3}


def test_training_begins_where_the_other_finder_ended(tiny, mixed, tmp_path):
    first = tmp_path / "first"
    train(tiny, TrainingData(mixed), Place(first), TrainingOptions(epochs=2, batch_size=8, learning_rate=1e-2), CPU)
    again = train(tiny, TrainingData(mixed), Place(tmp_path / "again"), TrainingOptions(start=str(first), **STILL), CPU)
    old, new = load_finder(str(first)).module.state_dict(), again.finder.module.state_dict()
    # A rate of 1e-12 over a few steps moves nothing that float32 can show beyond its last digits.
    for name, tensor in old.items():
        torch.testing.assert_close(new[name], tensor, rtol=1e-6, atol=1e-8)
    assert again.record.training_data["start"] == str(first)


def test_another_architecture_is_refused(tiny, mixed, tmp_path):
    first = tmp_path / "first"
    train(tiny, TrainingData(mixed), Place(first), TrainingOptions(**STILL), CPU)
    other = tiny.model_copy(update={"bands": ["VIS"]})
    with pytest.raises(UsageError, match=r"its bands is .*they must agree"):
        starting_weights(str(first), other)
