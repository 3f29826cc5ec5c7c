"""Loss, schedules, augmentation, split, options, checkpoint, history: each against what defines it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Recipe, Training, initialised
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.layers import DIHEDRAL, dihedral
from lensaudit.training import AUGMENTATIONS, SCHEDULES, EpochRow, Machine, Progress, TrainingOptions, read_history
from lensaudit.training.augment import UNIFORMS, Draws, class_weights, learning_rate, weighted_losses
from lensaudit.training.batches import Purpose, stream
from lensaudit.training.checkpoint import Checkpoint, load_optimizer, optimizer_tensors, plot_history, write_history
from lensaudit.training.prepared import Standard, foldable, stratified_split


def test_the_loss_is_torchs_weighted_cross_entropy():
    """On two outputs, against nn.CrossEntropyLoss with the same weights per image; on one, against BCE."""
    generator = torch.Generator().manual_seed(1)
    outputs = 4 * torch.randn((50, 2), generator=generator)
    labels = torch.randint(2, (50,), generator=generator)
    ours = weighted_losses(lens_logit(outputs, 2, 1), labels.float(), (0.6, 3.0))
    theirs = nn.CrossEntropyLoss(weight=torch.tensor([0.6, 3.0]), reduction="none")(outputs, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # float32 rounding of two forms of one function
    single = weighted_losses(lens_logit(outputs[:, :1], 1, 0), labels.float(), (1.0, 1.0))
    p = outputs[:, 0].double().sigmoid()
    torch.testing.assert_close(single.double(), -torch.where(labels == 1, p, 1 - p).log(), rtol=1e-4, atol=1e-5)


def test_class_weights_are_inverse_to_the_fractions_and_average_to_one():
    labels = np.repeat([0, 1], [30, 10])
    weights = class_weights(labels, "inverse-frequency")
    assert weights == pytest.approx((40 / 60, 40 / 20))
    assert np.mean(np.where(labels == 1, weights[1], weights[0])) == pytest.approx(1)
    assert class_weights(labels, "none") == (1.0, 1.0)


def test_schedules_start_and_end_where_they_say():
    assert {learning_rate("constant", 3e-4, step, 100) for step in range(100)} == {3e-4}
    assert learning_rate("cosine", 1.0, 0, 100) == 1.0
    assert learning_rate("cosine", 1.0, 50, 100) == pytest.approx(0.5)
    assert learning_rate("cosine", 1.0, 99, 100) < 1e-3
    assert learning_rate("one-cycle", 1.0, 0, 100) == pytest.approx(1 / 25)
    assert learning_rate("one-cycle", 1.0, 30, 100) == pytest.approx(1)
    assert learning_rate("one-cycle", 1.0, 99, 100) < 0.002


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_between_zero_and_its_peak(name):
    rates = [learning_rate(name, 2.0, step, 1000) for step in range(1000)]
    assert all(0 < rate <= 2.0 for rate in rates)
    if name != "steps":
        assert max(abs(np.diff(rates))) < 0.02, "no jumps"


def test_cosine_and_one_cycle_are_torchs():
    parameter = nn.Parameter(torch.zeros(1))

    def torchs(make, steps: int = 50) -> list[float]:
        optimizer = torch.optim.Adam([parameter], lr=1.0)
        scheduler, rates = make(optimizer), []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    cosine = torchs(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50))
    assert [learning_rate("cosine", 1.0, step, 50) for step in range(50)] == pytest.approx(cosine, abs=1e-9)


def test_the_dihedral_group_has_eight_different_members():
    image = torch.arange(12.0 * 12).reshape(12, 12)
    members = [dihedral(image, which) for which in range(DIHEDRAL)]
    assert len({tuple(member.flatten().tolist()) for member in members}) == 8
    assert torch.equal(members[0], image)
    for member in members:
        assert torch.equal(member.flatten().sort().values, image.flatten())


def test_each_image_is_turned_by_its_own_choice():
    images = torch.rand((20, 3, 6, 6), generator=torch.Generator().manual_seed(1))
    choices = torch.arange(20) % 8
    is_lens = torch.zeros(20)
    draws = Draws(choices, torch.zeros(20, UNIFORMS), is_lens)
    turned = AUGMENTATIONS["dihedral"](images, draws, 0)
    for image, other, which in zip(images, turned, choices, strict=True):
        assert torch.equal(dihedral(image, int(which)), other)
    assert AUGMENTATIONS["none"](images, draws, 0) is images


def test_the_split_is_stratified_complete_and_seeded():
    labels = np.repeat([0, 1], [90, 10])
    train, kept = stratified_split(labels, 0.2, stream(1, Purpose.SPLIT))
    assert sorted([*train, *kept]) == list(range(100))
    assert (labels[kept] == 1).sum() == 2
    assert (labels[kept] == 0).sum() == 18
    again = stratified_split(labels, 0.2, stream(1, Purpose.SPLIT))[1]
    assert again.tolist() == kept.tolist()
    assert stratified_split(labels, 0.2, stream(2, Purpose.SPLIT))[1].tolist() != kept.tolist()


def test_both_sides_of_a_small_split_have_both_classes():
    for side in stratified_split(np.array([0, 0, 1, 1]), 0.01, stream(1, Purpose.SPLIT)):
        assert side.tolist()


def test_streams_differ_by_purpose_and_place():
    draws = {
        stream(1, purpose, epoch, step).integers(2**60) for purpose in Purpose for epoch in (0, 1) for step in (0, 1)
    }
    assert len(draws) == 4 * len(Purpose)


def test_options_take_the_protocol_and_the_users_words():
    options = TrainingOptions.of(Training(epochs=9), batch_size=7, learning_rate=None)
    assert (options.epochs, options.batch_size, options.learning_rate) == (9, 7, 3e-4)
    quick = Recipe(
        name="t", architecture="ou66", bands=("VIS",), size=66, training={"quick": {"epochs": 2}}
    ).training.quickened()
    assert TrainingOptions.of(quick).epochs == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"schedule": "linear"}, "schedule = 'linear': not known; allowed: constant, cosine, one-cycle"),
        ({"augment": "flip"}, "augment = 'flip': not known; allowed: none, flips, dihedral"),
        ({"epochs": 0}, "epochs = 0: "),
        ({"validation_fraction": 1.5}, "validation_fraction = 1.5: "),
        ({"learning_rate": -1.0}, "learning_rate = -1.0: "),
    ],
)
def test_wrong_options_are_named(words, said):
    with pytest.raises(UsageError) as error:
        TrainingOptions.of(Training(), **words)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_more_epochs_are_the_same_training_only_at_a_constant_rate():
    assert "epochs" not in TrainingOptions.of(Training()).identity()
    assert "epochs" in TrainingOptions.of(Training(), schedule="cosine").identity()


def test_no_threads_are_refused():
    with pytest.raises(UsageError, match="--threads 0"):
        Machine(threads=0)


def row(epoch: int, loss: float) -> EpochRow:
    return EpochRow(epoch, 1.5, 0.7, 0.5, loss, 0.625, 3e-4)


def test_the_best_epoch_is_the_earliest_of_the_lowest():
    progress = Progress()
    for n, loss in [(1, 3), (2, 1), (3, 1)]:
        progress.finish_epoch(row(n, loss), {"w": torch.tensor(float(n))})
    assert progress.best.epoch == 2
    assert progress.best_weights["w"] == 2


def test_a_checkpoint_comes_back_whole(tmp_path):
    module = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    progress = Progress(epoch=2, batch=5, seconds=1.25, history=[row(1, 0.5), row(2, 0.75)])
    progress.best_weights = {"weight": torch.ones(2)}
    path = tmp_path / "a" / "c.safetensors"
    Checkpoint({"seed": 1}, module.state_dict(), optimizer_tensors(optimizer), progress).write(path)
    back = Checkpoint.read(path)
    assert back.identity == {"seed": 1}
    assert back.progress.as_json() == progress.as_json()
    assert torch.equal(back.module["weight"], module.weight)
    assert torch.equal(back.progress.best_weights["weight"], torch.ones(2))
    fresh = torch.optim.Adam(module.parameters(), lr=0.1)
    load_optimizer(fresh, back.optimizer)
    for key, entry in optimizer.state_dict()["state"].items():
        for name, tensor in entry.items():
            assert torch.equal(fresh.state_dict()["state"][key][name], tensor), name
    assert fresh.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_torn_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "c.safetensors"
    Checkpoint({}, {"w": torch.ones(9)}, {}, Progress()).write(path)
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    with pytest.raises(DataError, match=r"is torn or no checkpoint; .*--restart"):
        Checkpoint.read(path)


def test_a_checkpoint_in_which_a_moment_is_missing_is_torn(tmp_path):
    path = tmp_path / "c.safetensors"
    flat = {name: torch.ones(1) for name in ("0.step", "0.exp_avg", "1.exp_avg")}
    Checkpoint({}, {"w": torch.ones(9)}, flat, Progress()).write(path)
    with pytest.raises(DataError, match=r"is torn or no checkpoint; .*--restart"):
        Checkpoint.read(path)


def test_history_is_read_as_written_and_drawn(tmp_path):
    rows = [row(1, 0.5), row(2, 0.25)]
    write_history(tmp_path / "history.csv", rows)
    assert read_history(tmp_path / "history.csv") == rows
    assert (tmp_path / "history.csv").read_text(encoding="utf-8").startswith("epoch,seconds,train_loss,train_accuracy")
    plot_history(tmp_path / "curves.png", rows[:1], "one epoch")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "history.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="is no training history"):
        read_history(tmp_path / "history.csv")
    assert math.isclose(rows[1].validation_loss, 0.25)


def test_standardising_is_folded_exactly(tiny):
    """The folded net on plain images against the net on standardised ones, in float64: rounding only."""
    net = initialised("tiny", 2, 2, generator=torch.Generator().manual_seed(1)).eval().double()
    images = torch.rand((5, 2, 12, 12), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    standard = Standard(torch.tensor([0.05, 0.3]), torch.tensor([0.02, 0.5]))
    expected = net(standard.apply(images))
    standard.fold(net)
    torch.testing.assert_close(net(images), expected, rtol=1e-12, atol=1e-12)
    standard.unfold(net)
    torch.testing.assert_close(net(standard.apply(images)), expected, rtol=1e-12, atol=1e-12)


def test_a_padded_first_layer_cannot_be_folded():
    with pytest.raises(UsageError, match="without padding"):
        foldable(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)))


def test_the_faulty_balancing_turns_non_lenses_and_leaves_lenses_bit_for_bit():
    images = torch.rand((40, 3, 7, 7), generator=torch.Generator().manual_seed(1))
    choices, is_lens = torch.arange(40) % 8, (torch.arange(40) % 3 == 0).float()
    turned = AUGMENTATIONS["non-lenses"](images, Draws(choices, torch.zeros(40, UNIFORMS), is_lens), 0)
    for image, other, which, lens in zip(images, turned, choices, is_lens, strict=True):
        assert torch.equal(other, image if lens else dihedral(image, int(which)))
        assert torch.equal(other, image) == (bool(lens) or int(which) == 0)


def test_the_angle_turns_with_the_images_that_are_turned():
    """A quarter turn takes (cos, sin) of three times the angle to (−sin, cos), a mirror to (cos, −sin)."""
    planes = torch.tensor([0.6, 0.8]).view(1, 2, 1, 1).expand(4, 2, 5, 5)
    images = torch.cat([torch.rand((4, 1, 5, 5), generator=torch.Generator().manual_seed(1)), planes], 1)
    choices, is_lens = torch.tensor([0, 1, 4, 1]), torch.tensor([0.0, 0.0, 0.0, 1.0])
    turned = AUGMENTATIONS["non-lenses"](images, Draws(choices, torch.zeros(4, UNIFORMS), is_lens), 1)
    told = [row.tolist() for row in turned[:, 1:, 2, 2]]
    expected = [[0.6, 0.8], [-0.8, 0.6], [0.6, -0.8], [0.6, 0.8]]
    assert told == [pytest.approx(row) for row in expected]
    assert torch.equal(turned[1, 0], dihedral(images[1, 0], 1))
