"""Modules that would give wrong answers are refused when they are declared, each in one line with its fix."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, declare_finder, initialised_module, load_recipe

SIZE = 12


class Net(nn.Module):
    """Convolution, ReLU, mean, dense; `ends` is what is done to the output, `begins` to the input."""

    def __init__(self, begins: Callable = lambda x: x, ends: Callable = lambda y: y, outputs: int = 1) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, outputs)
        self.begins, self.ends = begins, ends
        rng = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weights in self.parameters():
                weights.copy_(torch.randn(weights.shape, generator=rng))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ends(self.head(self.conv(self.begins(x)).relu().mean((2, 3))))


class Counts(Net):
    """Remembers how often it was asked."""

    asked = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return super().forward(x) + self.asked


def declared(net: nn.Module) -> Finder:
    return declare_finder(net, ("H", "VIS"), SIZE, name="mine")


def normalised(x: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(ends=torch.sigmoid), "all its outputs lie within [0, 1] on any noise, so they are probabilities; leave"),
        (Net(ends=lambda y: y.sigmoid().squeeze(1)), "leave the sigmoid off"),
        (Net(ends=torch.sigmoid, outputs=3), "leave the sigmoid off"),
        (Net(ends=lambda y: y.softmax(1), outputs=3), "its outputs add up to 1, so they are probabilities; leave the"),
        (Net(begins=functional.dropout), "such as functional.dropout(x) without training=self.training"),
        (Net(begins=lambda x: x + torch.rand_like(x)), "answers differently the second time for the same images (by "),
        (Counts(), "answers differently the second time for the same images (by 1)"),
        (Net(begins=lambda x: x / x.amax()), "its answer for an image depends on the other images of the batch (by "),
        (Net(begins=normalised), "use running statistics in evaluation"),
        (Net().half(), "its weights are float16; declare module.float()"),
        (Net().double(), "its weights are float64; declare module.float()"),
        (Net().bfloat16(), "its weights are bfloat16; declare module.float()"),
        (Net(ends=lambda y: y.half()), "it answers in float16; declare module.float(), no autocast"),
        (Net(ends=lambda y: y.argmax(1), outputs=2), "it answers in int64; return logits, not classes"),
        (Net(ends=lambda y: y.squeeze()), "the module returns () for 1 image; keep the first axis, with squeeze(1)"),
        (Net(ends=lambda y: y.squeeze(), outputs=2), "the module returns (2,) for 1 image; keep the first axis"),
        (Net(ends=lambda y: y[:, :, None]), "the module returns (2, 1, 1) for 2 images; return logits (2,) or (2, k)"),
        (Net().to("meta"), "its weights are on the meta device, so there are none; load them first"),
    ],
)  # fmt: skip
def test_what_would_be_silently_wrong_is_refused(net, message):
    with pytest.raises(UsageError, match=re.escape(message)) as refused:
        declared(net)
    assert str(refused.value).startswith("finder mine: ")
    assert "\n" not in str(refused.value)


def in_place(x: torch.Tensor) -> torch.Tensor:
    return x.div_(2)


@pytest.mark.parametrize(
    "net",
    [
        Net(),
        Net(outputs=2),
        Net(ends=lambda y: y.squeeze(1)),
        Net(ends=lambda y: y.log_softmax(1), outputs=2),
        Net(ends=lambda y: y.double()),
        Net(begins=lambda x: functional.dropout(x, training=False)),
        Net(begins=lambda x: x / x.amax((1, 2, 3), keepdim=True)),
        Net(begins=lambda x: x - x.new_tensor(0.5)),
        nn.Sequential(nn.Flatten(), nn.LazyLinear(1)),
    ],
)
def test_sound_modules_are_taken_without_a_word(net):
    assert declared(net).notes == ()


def test_a_mean_is_no_probability_though_it_lies_within_0_and_1_on_images():
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3))

    assert declared(Mean()).recipe.outputs == 1


def test_a_module_that_refuses_images_beyond_0_and_1_is_judged_by_those_within():
    def only_scaled(x: torch.Tensor) -> torch.Tensor:
        if float(x.min()) < 0 or float(x.max()) > 1:
            raise ValueError("not an image")
        return x

    assert declared(Net(begins=only_scaled)).recipe.outputs == 1
    with pytest.raises(UsageError, match="leave the sigmoid off"):
        declared(Net(begins=only_scaled, ends=torch.sigmoid))


@pytest.mark.parametrize(
    "change", [in_place, lambda x: functional.relu(x.sub_(0.2), inplace=True), lambda x: x.mul_(1)]
)
def test_a_module_may_write_into_its_input_and_scores_are_as_if_it_did_not(change):
    finder, x = declared(Net(begins=change)), torch.rand(3, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    with torch.no_grad():
        first, second, whole = finder.logit(x), finder.logit(x), finder.symmetrised().logit(x)
        assert torch.equal(x, kept)
        assert torch.equal(first, second)
        assert torch.equal(whole, declared(Net(begins=lambda x: change(x.clone()))).symmetrised().logit(x))
    writes = change(kept.clone()) is not None and not torch.equal(change(kept.clone()), kept)
    assert bool(finder.notes) is writes


def test_the_trial_leaves_the_random_numbers_of_the_user_alone():
    net = Net(begins=functional.dropout)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with pytest.raises(UsageError):
        declared(net)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "name", ["ou66", "ou66-p4m", "deeplens", "epfl-resnet-101", "lastro-101", "lensflow", "petrillo"]
)
def test_our_own_architectures_write_into_nothing_they_are_given(name):
    """They get no copy."""
    recipe = load_recipe(name)
    finder = Finder(recipe, initialised_module(recipe, torch.Generator().manual_seed(1)), "test")
    x = torch.rand(1, recipe.channels, recipe.size, recipe.size, generator=torch.Generator().manual_seed(2))
    kept = x.clone()
    with torch.no_grad():
        finder.logit(x)
    assert torch.equal(x, kept)


class Program(Net):
    """Refuses to be put into evaluation, as a program of torch.export does."""

    def eval(self):
        raise NotImplementedError("Calling eval() is not supported yet.")


def test_a_module_that_refuses_eval_is_one_line():
    with pytest.raises(UsageError, match=r"finder mine: Program\.eval\(\) .*not supported yet") as refused:
        declared(Program())
    assert "\n" not in str(refused.value)
