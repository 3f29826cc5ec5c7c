"""A second stage begins from a finder's weights, and only from one that fits."""

import pytest
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, train
from lensaudit.training.network import _channels, starting_weights

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
    assert again.record.training_data.start == str(first)


def test_of_a_finder_with_more_bands_the_kernels_of_ours_are_taken(tiny, mixed, tmp_path):
    first = tmp_path / "first"
    train(tiny, TrainingData(mixed), Place(first), TrainingOptions(epochs=1, batch_size=8, learning_rate=1e-2), CPU)
    old = load_finder(str(first)).module.state_dict()
    only = tiny.model_copy(update={"name": "only", "bands": ("VIS",)})
    taken = starting_weights(str(first), only)
    assert torch.equal(taken["0.weight"], old["0.weight"][:, 1:])  # H is dropped, and nothing stands in for it
    assert all(torch.equal(taken[name], old[name]) for name in old if name != "0.weight")
    turned = starting_weights(str(first), tiny.model_copy(update={"bands": ("VIS", "H")}))
    assert torch.equal(turned["0.weight"], old["0.weight"][:, [1, 0]])

    options = TrainingOptions(start=str(first), **STILL)
    trained = train(only, TrainingData(mixed), Place(tmp_path / "only"), options, CPU)
    torch.testing.assert_close(trained.finder.module.state_dict()["0.weight"], taken["0.weight"], rtol=1e-6, atol=1e-8)
    assert trained.record.training_data.start_bands == ["VIS"]
    assert f"begun from the channels VIS of `{first}`" in (tmp_path / "only" / "card.md").read_text()


def test_planes_of_extra_inputs_stay_behind_the_bands():
    finder = Finder(
        Recipe(name="a", architecture="tiny", bands=("H", "VIS"), size=12, extra_inputs=("psf_angle",)),
        nn.Identity(),
        "here",
    )
    assert _channels(finder, finder.recipe.model_copy(update={"bands": ("VIS",)})) == [1, 2, 3]


def test_a_finder_without_the_band_is_refused(tiny, mixed, tmp_path):
    first = tmp_path / "first"
    train(tiny, TrainingData(mixed), Place(first), TrainingOptions(**STILL), CPU)
    other = tiny.model_copy(update={"bands": ("VIS", "J")})
    with pytest.raises(UsageError, match=r"its bands H, VIS lack J of tiny; begin from"):
        starting_weights(str(first), other)
