"""Training a transfer finder: what frozen means, where the weights came from, and what comes after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lensaudit.errors import UsageError
from lensaudit.files import sha256
from lensaudit.finders import Recipe, load_finder
from lensaudit.finders.architectures import unfilled
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, Watch, train

OPTIONS = TrainingOptions(epochs=1, batch_size=4, learning_rate=3e-3, seed=5, validation_fraction=0.3)
MACHINE = Machine("cpu", 1)


@pytest.fixture(autouse=True)
def timm(let_timm_load):
    let_timm_load()


@pytest.fixture
def few(make_set):
    return TrainingData(make_set("few", np.arange(12) % 2))


def recipe_of(frozen: bool) -> Recipe:
    options = {"body": "efficientnet-lite0", "frozen": frozen}
    words = {"bands": ("VIS",), "size": 20, "field_of_view_arcsec": 2.0, "architecture_options": options}
    return Recipe(name="t", architecture="transfer", **words)


def body_in(path) -> dict[str, torch.Tensor]:
    module = unfilled("transfer", 1, 2, 20)
    stored = torch.load(path, weights_only=True)
    module.body.load_state_dict(dict(zip(module.body.state_dict(), list(stored.values())[:-2], strict=True)))
    return module.body.state_dict()


def test_a_frozen_body_is_bit_for_bit_what_was_given(few, tmp_path, pretrained_file):
    options = OPTIONS.model_copy(update={"pretrained": str(pretrained_file)})
    trained = train(recipe_of(True), few, Place(tmp_path / "frozen"), options, MACHINE)
    given = body_in(pretrained_file)
    after = trained.finder.module.body.state_dict()
    moved = [key for key in given if not torch.equal(given[key], after[key])]
    assert not moved, "weights and the batch norms' running figures stay"
    stem = trained.finder.module.stem.state_dict()
    assert int(stem["5.num_batches_tracked"]) == 2  # 8 training images in batches of 4
    assert stem["5.running_mean"].any(), "the stem's batch norm learns"
    words = trained.record.training_data.body
    assert words == (
        "efficientnet-lite0 (timm's tf_efficientnet_lite0), frozen; its weights before training: "
        f"{pretrained_file.name} (SHA-256 {sha256(pretrained_file)}), by position"
    )
    assert f"* Body {words}." in (tmp_path / "frozen" / "card.md").read_text()
    again = load_finder(str(tmp_path / "frozen"))
    assert again.weights_hash == trained.finder.weights_hash
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.logit(images), trained.finder.logit(images))


def test_a_fine_tuned_body_moves_and_a_random_one_is_said(few, tmp_path, pretrained_file):
    options = OPTIONS.model_copy(update={"pretrained": str(pretrained_file)})
    tuned = train(recipe_of(False), few, Place(tmp_path / "tuned"), options, MACHINE)
    given, after = body_in(pretrained_file), tuned.finder.module.body.state_dict()
    assert all(not torch.equal(given[key], after[key]) for key in given if given[key].ndim == 4)
    assert "trained with the rest" in tuned.record.training_data.body
    untold = train(recipe_of(False), few, Place(tmp_path / "random"), OPTIONS, MACHINE)
    assert untold.record.training_data.body.endswith("random: no pretrained weights were given")


def test_interrupted_it_goes_on_with_the_same_weights_only(few, tmp_path, pretrained_file):
    options = OPTIONS.model_copy(update={"pretrained": str(pretrained_file), "epochs": 2})
    whole = train(recipe_of(True), few, Place(tmp_path / "whole"), options, MACHINE)

    def stop(progress, steps):
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(True), few, Place(tmp_path / "stopped"), options, MACHINE, Watch(stepped=stop))
    other = tmp_path / "other.safetensors"
    save_file({key: value + 0 for key, value in body_in(pretrained_file).items()}, other)
    changed = options.model_copy(update={"pretrained": str(other)})
    with pytest.raises(UsageError, match=r"holds another training .*body was"):
        train(recipe_of(True), few, Place(tmp_path / "stopped"), changed, MACHINE)
    resumed = train(recipe_of(True), few, Place(tmp_path / "stopped"), options, MACHINE)
    assert resumed.finder.weights_hash == whole.finder.weights_hash


def test_start_and_pretrained_contradict(few, tmp_path):
    options = OPTIONS.model_copy(update={"pretrained": "w.pth", "start": "ou66"})
    with pytest.raises(UsageError, match="--start brings a body of its own"):
        train(recipe_of(True), few, Place(tmp_path / "out"), options, MACHINE)


def test_grad_cam_looks_through_stem_and_body(cli, few, tmp_path, pretrained_file):
    options = OPTIONS.model_copy(update={"pretrained": str(pretrained_file)})
    train(recipe_of(True), few, Place(tmp_path / "finder"), options, MACHINE)
    before = load_finder(str(tmp_path / "finder")).weights_hash
    words = ["gradcam", tmp_path / "finder", few.training.path, "--out", tmp_path / "maps", "--first", "2"]
    ran = cli(*words)
    assert "functions that no hook reaches" not in ran.output
    assert len(list((tmp_path / "maps").rglob("*.png"))) >= 2
    assert load_finder(str(tmp_path / "finder")).weights_hash == before


@pytest.mark.parametrize(
    ("architecture", "options", "words"),
    [
        (
            "timm:vit_tiny_patch16_224",
            {"patch": 5, "depth": 1, "width": 12, "heads": 3},
            ["started as timm starts it", "its weights before training: random: no pretrained weights were given"],
        ),
        ("ou66", {}, ["He-normal start"]),
    ],
)
def test_the_card_says_which_random_weights_it_began_from(few, tmp_path, architecture, options, words):
    size = 20 if options else 66
    drawn = {"bands": ("VIS",), "size": size, "field_of_view_arcsec": 2.0, "architecture_options": options}
    train(Recipe(name="t", architecture=architecture, **drawn), few, Place(tmp_path / "out"), OPTIONS, MACHINE)
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert [word for word in words if word not in card] == []
    assert ("He-normal" in card) == (not options)
