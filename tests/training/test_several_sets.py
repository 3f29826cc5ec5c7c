"""Several sets are trained on as one set of all their images would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.test_train import CPU, options

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.finder_record import refuse_training_set
from lensaudit.finders import Finder, load_finder
from lensaudit.lensset.part import Part
from lensaudit.report.schema import Training
from lensaudit.training import Place, TrainingData, train
from lensaudit.training.prepared import JoinedSets, prepare_set
from lensaudit.training.sets import fit_to

SPLIT = 26


@pytest.fixture
def parts(mixed) -> list[Part]:
    """The first 26 images of the set and the other 34, neither with labels that read alike backwards."""
    return [Part(mixed, np.arange(SPLIT)), Part(mixed, np.arange(SPLIT, len(mixed)))]


def test_two_parts_train_the_weights_of_the_whole(tiny, mixed, parts, tmp_path):
    """Bit-equal: images keep their place, so that split, order and augmentation are the same."""
    whole = train(tiny, TrainingData(mixed), Place(tmp_path / "whole"), options(augment="dihedral"), CPU)
    first, second = parts
    joined = TrainingData(first, further=(second,))
    both = train(tiny, joined, Place(tmp_path / "both"), options(augment="dihedral"), CPU)
    assert both.finder.weights_hash == whole.finder.weights_hash
    facts, alone = both.record.training_data, whole.record.training_data
    assert (facts.n_training, facts.n_validation) == (alone.n_training, alone.n_validation)
    assert facts.set == joined.content_hash != alone.set
    assert [(one.set, one.n_labelled, one.n_lenses) for one in facts.sets] == [
        (first.content_hash, 26, 9),
        (second.content_hash, 34, 11),
    ]
    card = (tmp_path / "both" / "card.md").read_text("utf-8")
    assert f"Sets `{first.content_hash[:16]}`" in card
    assert "11 lenses among 34 with a label: 48 images to train on" in card
    assert "a fraction of all these sets" in card
    more = options(epochs=1, start=str(tmp_path / "both"))
    train(tiny, joined, Place(tmp_path / "more"), more, CPU)
    assert "begun from was trained on these sets." in (tmp_path / "more" / "card.md").read_text("utf-8")


def test_each_of_them_is_known_as_a_training_set(tiny, parts, make_set, tmp_path):
    first, second = parts
    train(tiny, TrainingData(first, further=(second,)), Place(tmp_path / "out"), options(epochs=1), CPU)
    finder = load_finder(str(tmp_path / "out"))
    for one in parts:
        with pytest.raises(DataError, match="trained tiny, whose scores there are better"):
            refuse_training_set(finder, one, "give another")
    refuse_training_set(finder, make_set("other", np.arange(20) % 2, 9), "give another")


def test_a_report_knows_each_of_them():
    several = Training(None, {"set": "all", "sets": [{"set": "a"}, {"set": "b"}], "earlier_sets": ["e"]}, "trained")
    assert [several.trained_on(one) for one in ("all", "a", "b", "e", "c")] == [True, True, True, True, False]
    assert not Training(None, {"set": "all", "sets": "a", "earlier_sets": {"a": 1}}, "hostile").trained_on("a")
    assert not Training(None, {}, "trained").trained_on("a")


def test_images_are_read_in_any_order(tiny, mixed, parts, tmp_path):
    finder = Finder(tiny, torch.nn.Identity(), "test")
    joined = JoinedSets(tuple(prepare_set(finder, one, tmp_path) for one in parts))
    which = np.random.default_rng(3).permutation(60)[:37]
    codes, scales = prepare_set(finder, mixed, tmp_path).read(which)
    found, found_scales = joined.read(which)
    assert found.equal(codes)
    assert found_scales.equal(scales)
    assert len(joined) == 60
    np.testing.assert_array_equal(joined.labels, mixed.labels)


def test_cutouts_of_other_sizes_may_be_joined(tiny, mixed, make_set, tmp_path):
    """By as much as a finder takes: 2.0″ and 2.1″ for 2.05″; each is resized by itself."""
    wide = np.pad(mixed.images("VIS", slice(None)), ((0, 0), (0, 1), (0, 1)), mode="reflect")
    other = make_set("wide", mixed.labels, images={"VIS": wide, "H": mixed.images("H", slice(None))})
    trained = train(tiny, TrainingData(mixed, further=(other,)), Place(tmp_path / "out"), options(epochs=1), CPU)
    assert trained.record.training_data.n_training == 96


def test_statistics_are_those_of_all(tiny, mixed, parts):
    recipe = tiny.model_copy(update={"stretch": "noise"})
    (_, whole), (_, both) = fit_to([mixed], recipe), fit_to(parts, recipe)
    assert whole.keys() == both.keys() == {"mean", "sigma"}
    for name in whole:
        torch.testing.assert_close(both[name], whole[name])


def test_statistics_need_sets_alike(tiny, mixed, make_set):
    recipe = tiny.model_copy(update={"stretch": "noise"})
    other = make_set("adu", mixed.labels, 5, unit=("ADU", 26.5))
    with pytest.raises(
        DataError, match=r"adu: unit .*ADU.* in H, where .*mixed has electron.*; give --data sets alike"
    ):
        fit_to([mixed, other], recipe)


def test_one_class_may_come_from_one_set_and_the_other_from_another(tiny, make_set, tmp_path):
    lenses, others = make_set("lenses", np.ones(20, int)), make_set("others", np.zeros(20, int), 4)
    trained = train(tiny, TrainingData(lenses, further=(others,)), Place(tmp_path / "out"), options(epochs=1), CPU)
    assert trained.record.training_data.training_lens_fraction == 0.5
    data = TrainingData(lenses, further=(make_set("more", np.ones(20, int), 5),))
    with pytest.raises(DataError, match=r"lenses and .*more: have no non-lenses; give --data"):
        train(tiny, data, Place(tmp_path / "none"), options(epochs=1), CPU)


def test_a_set_given_twice_is_refused(tiny, mixed, tmp_path):
    with pytest.raises(UsageError, match="mixed: is given twice; give --data other images"):
        train(tiny, TrainingData(mixed, further=(mixed,)), Place(tmp_path / "out"), options(), CPU)


def test_sets_of_one_seed_are_refused_by_name(tiny, make_set, tmp_path):
    drawn = [make_set(f"seed4-{n}", np.arange(n) % 2, drawn_with=4, population="p") for n in (20, 24)]
    with pytest.raises(UsageError, match=r"seed4-24: .* same seed 4 as .*seed4-20"):
        train(tiny, TrainingData(drawn[0], further=(drawn[1],)), Place(tmp_path / "out"), options(), CPU)


def test_another_set_in_the_same_folder_is_refused(tiny, parts, tmp_path):
    first, second = parts
    train(tiny, TrainingData(first), Place(tmp_path / "out"), options(epochs=1), CPU)
    with pytest.raises(UsageError, match=r"holds another training .data was .*, you ask for"):
        train(tiny, TrainingData(first, further=(second,)), Place(tmp_path / "out"), options(epochs=2), CPU)
