"""A training ends in a finder that works, stops with one line, and goes on as if never stopped."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError, LensauditWarning, UsageError
from lensaudit.finders import ARCHITECTURES, load_finder, score_set
from lensaudit.training import (
    Machine,
    Place,
    TrainingData,
    TrainingOptions,
    Watch,
    fit,
    loop,
    read_history,
    train,
)
from lensaudit.training.augment import weighted_losses
from lensaudit.training.checkpoint import Checkpoint, curve_in_words, late_fall

CPU = Machine(device="cpu", threads=1)


class Stopped(BaseException):
    """Stands for kill -9: nothing may catch it and tidy up."""


def options(**changes) -> TrainingOptions:
    words = {"epochs": 4, "batch_size": 16, "learning_rate": 3e-3, "seed": 7, "validation_fraction": 0.2}
    return TrainingOptions(**(words | changes))


def stop_after(step: int):
    """A watcher that ends the training after so many steps."""
    seen = []

    def stepped(progress, steps):
        seen.append(progress.batch)
        if len(seen) == step:
            raise Stopped

    return Watch(stepped=stepped)


def test_a_trained_folder_is_a_finder(tiny, mixed, tmp_path):
    trained = train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=12), CPU)
    finder = load_finder(str(tmp_path / "out"))
    assert finder.weights_hash == trained.record.weights_hash
    scores = score_set(finder, mixed)
    right = ((scores.p_lens > 0.5) == (mixed.labels == 1)).mean()
    assert right > 0.95, "a ring of six sigma is learnt in a few epochs"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "weights.safetensors", "finder.yaml", "card.md", "history.csv", "curves.png", "training"
    }  # fmt: skip
    assert not list((tmp_path / "out" / "training").glob("prepared-*")), "prepared images are removed at the end"


def test_kept_weights_are_those_of_the_lowest_validation_loss(tiny, make_set, tmp_path):
    """Labels that say nothing make the validation loss rise; training up to its minimum only gives the same weights."""
    labels = np.random.default_rng(8).integers(2, size=60)
    images = make_set("ringless", np.zeros(60)).cutouts(slice(None))
    sets, words = TrainingData(make_set("meaningless", labels, images=images)), {"learning_rate": 0.01}
    long = train(tiny, sets, Place(tmp_path / "long"), options(epochs=8, **words), CPU)
    losses = [row.validation_loss for row in long.history]
    best = int(np.argmin(losses)) + 1
    assert 1 < best < 8, "the test needs a lowest loss in the middle"
    short = train(tiny, sets, Place(tmp_path / "short"), options(epochs=best, **words), CPU)
    assert short.record.weights_hash == long.record.weights_hash
    assert read_history(tmp_path / "long" / "history.csv")[best - 1].validation_loss == pytest.approx(min(losses))


@pytest.mark.parametrize(("step", "augment", "symmetrise"), [(2, "dihedral", False), (9, "non-lenses", True)])
def test_a_stopped_training_goes_on_to_the_same_weights(tiny, mixed, tmp_path, monkeypatch, step, augment, symmetrise):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    tiny = tiny.model_copy(update={"symmetrise": symmetrise})
    sets, words = TrainingData(mixed), options(augment=augment, schedule="cosine")
    whole = train(tiny, sets, Place(tmp_path / "whole"), words, CPU)
    with pytest.raises(Stopped):
        train(tiny, sets, Place(tmp_path / "parts"), words, CPU, stop_after(step))
    found = Checkpoint.read(tmp_path / "parts" / "training" / "checkpoint.safetensors").progress
    assert (found.epoch, found.batch) != (0, 0)
    parts = train(tiny, sets, Place(tmp_path / "parts"), words, CPU)
    assert parts.record.weights_hash == whole.record.weights_hash
    for one, other in zip(parts.history, whole.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-12)  # the same sums in the same order
        assert one.validation_loss == pytest.approx(other.validation_loss, rel=1e-12)


def test_another_seed_gives_other_weights(tiny, mixed, tmp_path):
    hashes = {
        train(tiny, TrainingData(mixed), Place(tmp_path / str(seed)), options(epochs=1, seed=seed), CPU)
        .record.weights_hash
        for seed in (1, 2)
    }  # fmt: skip
    assert len(hashes) == 2


def test_more_epochs_go_on_from_a_finished_training(tiny, mixed, tmp_path):
    sets, steps = TrainingData(mixed), []
    train(tiny, sets, Place(tmp_path / "out"), options(epochs=2), CPU)
    watch = Watch(stepped=lambda progress, n: steps.append(progress.epoch))
    train(tiny, sets, Place(tmp_path / "out"), options(epochs=3), CPU, watch)
    assert min(steps) == 2
    whole = train(tiny, sets, Place(tmp_path / "whole"), options(epochs=3), CPU)
    assert load_finder(str(tmp_path / "out")).weights_hash == whole.record.weights_hash


def test_a_finished_training_is_not_run_again(tiny, mixed, tmp_path):
    sets = TrainingData(mixed)
    first = train(tiny, sets, Place(tmp_path / "out"), options(), CPU)
    shutil.rmtree(mixed.path / "images")
    again = train(tiny, sets, Place(tmp_path / "out"), options(), CPU, stop_after(1))
    assert again.record == first.record


def test_other_options_in_the_same_folder_are_refused(tiny, mixed, tmp_path):
    train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=1), CPU)
    with pytest.raises(UsageError, match=r"batch_size was 16, you ask for 8.*--restart"):
        train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(batch_size=8), CPU)
    train(tiny, TrainingData(mixed), Place(tmp_path / "out", restart=True), options(epochs=1, batch_size=8), CPU)


def test_a_finder_that_no_training_left_is_not_replaced_unasked(tiny, mixed, tmp_path):
    train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=1), CPU)
    shutil.rmtree(tmp_path / "out" / "training")  # as one that was imported, or that somebody handed over
    with pytest.raises(UsageError, match=r"holds a finder already; .*--restart"):
        train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=2), CPU)
    train(tiny, TrainingData(mixed), Place(tmp_path / "out", restart=True), options(epochs=1), CPU)


@pytest.mark.parametrize(("call", "where"), [(3, "epoch 1, step 3: the loss"), (4, "epoch 1: the validation loss")])
def test_a_loss_that_is_no_number_stops_with_one_line(tiny, mixed, tmp_path, monkeypatch, call, where):
    """Three training batches, then one of validation; the loss of batch number `call` is made NaN."""
    calls = []

    def poisoned(logit, *rest):
        calls.append(1)
        return weighted_losses(logit, *rest) * (float("nan") if len(calls) == call else 1.0)

    monkeypatch.setattr(fit, "weighted_losses", poisoned)
    with pytest.raises(UsageError, match=f"{where} is nan; .*--lr 0.003, and --restart"):
        train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(), CPU)


@pytest.mark.parametrize(("labels", "missing"), [(np.zeros(20), "lenses"), (np.ones(20), "non-lenses")])
def test_a_class_without_examples_is_refused(tiny, make_set, tmp_path, labels, missing):
    with pytest.raises(DataError, match=f"has no {missing}; give --data"):
        train(tiny, TrainingData(make_set("one-class", labels)), Place(tmp_path / "out"), options(), CPU)


def test_a_validation_set_without_labels_is_refused(tiny, mixed, make_set, tmp_path):
    unknown = make_set("unknown", np.full(10, -1))
    with pytest.raises(DataError, match=r"has no lenses; give --validation"):
        train(tiny, TrainingData(mixed, unknown), Place(tmp_path / "out"), options(), CPU)


def test_too_few_images_for_a_split_are_refused(tiny, make_set, tmp_path):
    lonely = make_set("lonely", np.arange(20) == 0)
    with pytest.raises(DataError, match="1 lenses; training and validation"):
        train(tiny, TrainingData(lonely), Place(tmp_path / "out"), options(), CPU)


def test_a_set_of_another_instrument_is_refused(tiny, mixed, tmp_path):
    other = tiny.model_copy(update={"bands": ("g",)})
    with pytest.raises(DataError, match="needs band g, the set"):
        train(other, TrainingData(mixed), Place(tmp_path / "out"), options(), CPU)


def test_validating_on_the_training_images_is_refused(tiny, mixed, make_set, tmp_path):
    with pytest.raises(UsageError, match="same set as --data"):
        train(tiny, TrainingData(mixed, mixed), Place(tmp_path / "out"), options(), CPU)


def test_sets_simulated_with_one_seed_are_refused(tiny, make_set, tmp_path):
    """Image i of a population depends on (seed, i) alone: the shorter set would be a part of the longer one."""
    drawn = [make_set(f"seed4-{n}", np.arange(n) % 2, drawn_with=4, population="p") for n in (20, 24)]
    with pytest.raises(UsageError, match="same seed 4 as --data"):
        train(tiny, TrainingData(*drawn), Place(tmp_path / "out"), options(), CPU)


def test_an_image_that_cannot_be_scaled_is_named(tiny, make_set, tmp_path):
    labels = np.arange(20) % 2
    images = {"VIS": np.random.default_rng(1).normal(size=(20, 20, 20)).astype(np.float32)}
    images["H"] = images["VIS"][:, :7, :7].copy()
    images["H"][13] = 2.0
    with pytest.raises(DataError, match=r"image image-0013: H is constant"):
        train(tiny, TrainingData(make_set("flat", labels, images=images)), Place(tmp_path / "out"), options(), CPU)


def test_unlabelled_images_are_left_out_and_counted(tiny, make_set, tmp_path):
    labels = np.where(np.arange(40) % 4 == 3, -1, np.arange(40) % 2)
    record = train(tiny, TrainingData(make_set("some", labels)), Place(tmp_path / "out"), options(epochs=1), CPU).record
    facts = record.training_data
    assert facts.n_unlabelled_left_out == 10
    assert facts.n_training + facts.n_validation == 30


def test_one_output_trains_too(tiny, mixed, tmp_path):
    recipe = tiny.model_copy(update={"outputs": 1, "lens_index": 0})
    trained = train(recipe, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=12), CPU)
    assert trained.history[-1].validation_loss < 0.7 * trained.history[0].validation_loss


def test_standardised_inputs_end_in_a_finder_that_eats_plain_ones(tiny, mixed, tmp_path):
    """Scores of the saved finder have the validation loss that the training saw."""
    words = options(epochs=6, inputs="standardised", class_weights="none")
    trained = train(tiny, TrainingData(mixed), Place(tmp_path / "out"), words, CPU)
    assert trained.record.metrics.validation.accuracy.value == trained.record.metrics.validation_accuracy
    scores = score_set(load_finder(str(tmp_path / "out")), mixed)
    assert ((scores.p_lens > 0.5) == (mixed.labels == 1)).mean() > 0.9


def test_a_processor_without_bfloat16_is_told_of(tiny, mixed, tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.finders.running.has_bfloat16", lambda device: False)
    with pytest.warns(LensauditWarning, match=r"--precision bf16: this processor has no bfloat16 .*; leave it out"):
        train(tiny, TrainingData(mixed), Place(tmp_path / "half"), options(epochs=1, precision="bf16"), CPU)
    train(tiny, TrainingData(mixed), Place(tmp_path / "full"), options(epochs=1), CPU)


@pytest.mark.filterwarnings("ignore:--precision bf16")
def test_bfloat16_steps_end_in_a_float32_finder_near_the_full_one(tiny, mixed, tmp_path):
    """bfloat16 has 8 significant bits: the losses part in the third digit, the kept weights stay float32."""
    sets = TrainingData(mixed)
    full, half = (
        train(tiny, sets, Place(tmp_path / name), options(epochs=4, precision=name), CPU) for name in ("full", "bf16")
    )
    losses = [[row.train_loss for row in trained.history] for trained in (full, half)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)  # 2⁻⁸ an operation, a few layers and 4 epochs
    assert {tensor.dtype for tensor in half.finder.module.state_dict().values()} == {torch.float32}
    assert half.record.training_data.precision == "bf16"
    assert "steps in `bf16`" in (tmp_path / "bf16" / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("inputs", ["as-is", "standardised"])
def test_a_training_begins_where_another_ended(tiny, mixed, tmp_path, inputs):
    """A second stage at a rate of nearly nothing keeps the first stage's finder, whatever the inputs of either."""
    sets = TrainingData(mixed)
    first = train(tiny, sets, Place(tmp_path / "first"), options(epochs=12), CPU)
    words = options(epochs=1, learning_rate=1e-9, start=str(tmp_path / "first"), inputs=inputs)
    second = train(tiny, sets, Place(tmp_path / "second"), words, CPU)
    logits = [score_set(trained.finder, mixed).logit for trained in (first, second)]
    assert logits[1] == pytest.approx(logits[0], abs=1e-3)  # float32 weights there and back, and a step of 1e-9
    assert second.record.provenance.inputs["start"] == first.record.weights_hash
    assert "begun from the weights of" in (tmp_path / "second" / "card.md").read_text(encoding="utf-8")


def test_a_start_of_another_shape_is_refused(tiny, mixed, tmp_path):
    one = tiny.model_copy(update={"bands": ("VIS",)})
    train(one, TrainingData(mixed), Place(tmp_path / "first"), options(epochs=1), CPU)
    with pytest.raises(UsageError, match="--start"):  # fewer bands than it needs; more are tests/training/test_start.py
        train(tiny, TrainingData(mixed), Place(tmp_path / "x"), options(start=str(tmp_path / "first")), CPU)


def test_a_test_set_is_measured_and_the_card_says_so(tiny, mixed, make_set, tmp_path):
    test = make_set("test", np.arange(30) % 2, 9)
    sets = TrainingData(mixed, None, test)
    record = train(tiny, sets, Place(tmp_path / "out"), options(), CPU).record
    assert (record.metrics.test.n_lenses, record.metrics.test.n_non_lenses) == (15, 15)
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert "| | validation, 4 + 8 | test, 15 + 15 |" in card
    area = record.metrics.test.auroc
    assert f"{area.value:.3f} ({area.low:.3f}–{area.high:.3f})" in card
    assert "48 images to train" in card
    assert "* The validation curve" in card or "* Fewer than 6 epochs" in card
    assert record.weights_hash in card


def test_nothing_is_left_behind_elsewhere(tiny, mixed, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    threads = torch.get_num_threads()
    before = torch.random.get_rng_state()
    train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(epochs=1), Machine("cpu", 1, False))
    assert not list((tmp_path / "here").iterdir())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is not drawn from"


def test_the_record_names_data_protocol_and_versions(tiny, mixed, tmp_path):
    record = train(tiny, TrainingData(mixed), Place(tmp_path / "out"), options(augment="dihedral"), CPU).record
    assert record.training_data.set == mixed.content_hash
    assert record.training_data.augmentation == "dihedral"
    assert record.recipe.training.batch_size == 16
    assert record.provenance.seed == 7
    assert record.provenance.packages["torch"]
    json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert ARCHITECTURES["tiny"].size == record.recipe.size


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.7, 0.6, 0.5, 0.4, 0.399, 0.41], "is flat: the last 2 epochs .* loss by 0.2 %; another seed"),
        ([0.7, 0.6, 0.5, 0.4, 0.39, 0.41], "still falls: the last 2 epochs .* by 2.5 %; flat is less than 1 %."),
        ([0.7, 0.3, 0.5, 0.4, 0.39, 0.41], "is flat: the last 2 epochs .* loss by 0.0 %; another seed"),
        ([0.7, 0.6, 0.5, 0.4, 0.3], "Fewer than 6 epochs: too few"),
    ],
)
def test_whether_a_curve_is_flat_is_said_by_one_rule(losses, words):
    assert re.search(words, curve_in_words(len(losses), late_fall(losses)))
