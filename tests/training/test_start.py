"""A second stage begins from a finder's weights, and only from one that fits."""

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder, read_record
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, train
from lensaudit.training.network import _channels, starting_weights
from lensaudit.training.sets import prepare

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


def test_images_that_choose_the_epoch_are_those_of_the_finder_it_goes_on_from(tiny, mixed, make_set, tmp_path):
    """Else most of them would be images that its weights were trained on; a third stage keeps them, too."""
    data, at = TrainingData(mixed), [str(tmp_path / name) for name in ("first", "second", "third", "other")]
    stages = (("first", 3, None), ("second", 4, at[0]), ("third", 5, at[1]))
    kept = {}
    for name, seed, start in stages:
        options = TrainingOptions(**(STILL | {"seed": seed, "start": start, "validation_fraction": 0.2}))
        kept[name] = prepare(data, Finder(tiny, nn.Identity(), "test"), options, tmp_path / "cache", None)
        record = train(tiny, data, Place(tmp_path / name), options, CPU).record.training_data
        assert record.split_seed == (None if start is None else 3)
    first = kept["first"].validation[1]
    assert all((split.validation[1] == first).all() for split in kept.values())
    card = (tmp_path / "third" / "card.md").read_text()
    assert f"classes split alike, those of `{at[1]}`" in card
    assert "The finder it was begun from was trained on this set." in card

    elsewhere = TrainingData(make_set("elsewhere", mixed.labels, 9))
    options = TrainingOptions(**(STILL | {"seed": 4, "start": at[0]}))
    assert train(tiny, elsewhere, Place(tmp_path / "other"), options, CPU).record.training_data.split_seed is None


def test_what_the_first_stage_was_made_with_measures_no_second(tiny, mixed, make_set, tmp_path):
    chose, more = make_set("chose", mixed.labels, 5), make_set("more", mixed.labels, 6)
    train(tiny, TrainingData(mixed, chose), Place(tmp_path / "first"), TrainingOptions(**STILL), CPU)
    options = TrainingOptions(start=str(tmp_path / "first"), **STILL)
    for data, words in (
        (TrainingData(more, test=mixed), "mixed: trained .*first, from which this training begins; give --test other"),
        (TrainingData(more, validation=mixed), "mixed: trained .*first, .* give --validation other images"),
        (TrainingData(more, test=chose), "chose: chose the epoch of .*first, .* give --test other images"),
    ):
        with pytest.raises(UsageError, match=words):
            train(tiny, data, Place(tmp_path / "refused"), options, CPU)
    train(tiny, TrainingData(mixed, chose), Place(tmp_path / "second"), options, CPU)


def test_sets_of_all_stages_are_known_as_training_sets(tiny, make_set, tmp_path):
    sets = {name: make_set(name, np.arange(30) % 2, seed) for seed, name in enumerate(("one", "two", "three", "none"))}
    start = None
    for name in ("one", "two", "three"):
        options = TrainingOptions(**(STILL | {"start": start}))
        train(tiny, TrainingData(sets[name]), Place(tmp_path / "stages" / name), options, CPU)
        start = str(tmp_path / "stages" / name)
    facts = read_record(tmp_path / "stages" / "three").training_data
    assert {name: facts.seen_as(one.content_hash) for name, one in sets.items()} == {
        "one": "training", "two": "training", "three": "training", "none": "",
    }  # fmt: skip
    known = ", ".join(f"`{sets[name].content_hash[:16]}`" for name in ("two", "one"))
    card = (tmp_path / "stages" / "three" / "card.md").read_text()
    assert f"The finder it was begun from was trained on {known}." in card
    options = TrainingOptions(**(STILL | {"start": start}))
    with pytest.raises(UsageError, match=r"one: trained .*three, .* give --test other images"):
        train(tiny, TrainingData(sets["none"], test=sets["one"]), Place(tmp_path / "refused"), options, CPU)
