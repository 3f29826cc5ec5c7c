"""One small network written in many styles: every method is right, or refused, or says what it does not reach."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import FOR_ANY, METHODS, Explainer, explain_prepared, occlusion
from lensaudit.explaining.kernels.activations import recording
from lensaudit.explaining.layers import convolutions
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder, declare_finder

SIZE, SHIFT = 14, 0.4
FLOAT32 = 2e-5  # of the largest value: some hundred float32 terms, in another order


class Clean(nn.Module):
    """The reference: every layer a module, nothing in place."""

    shift = 0.0

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3), nn.Linear(48, 1)
        self.act, self.last, self.pool, self.flat = nn.ReLU(inplace), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.first(x - self.shift)))
        return self.head(self.flat(self.last(self.second(x))))


class Shifted(Clean):
    shift = SHIFT


class Functional(Clean):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.first(x)), 2)
        return self.head(functional.relu(self.second(x)).flatten(1))


class Clamped(Clean):
    """ReLU by another name, and two that throw the result of a call in place away."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        functional.relu(y, inplace=True)
        z = self.second(self.pool(y))
        z.clamp_(min=0)
        return self.head(z.flatten(1))


class Branching(Clean):
    """Branches on the data, so that no graph can be drawn; its ReLUs are functions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if float(x.detach().sum()) > -1e9 else -x
        x = functional.max_pool2d(functional.relu(self.first(x)), 2)
        return self.head(functional.relu(self.second(x)).flatten(1))


class BranchingModules(Clean):
    """The same with modules that a hook reaches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if float(x.detach().sum()) > -1e9 else -x)


class HalfHooked(Clean):
    """One ReLU of two is a module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if float(x.detach().sum()) > -1e9 else -x
        return self.head(self.last(self.second(self.pool(functional.relu(self.first(x))))).flatten(1))


class Subtracts(Clean):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= SHIFT
        return super().forward(x)


class SubtractsByName(Clean):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.sub_(SHIFT)
        return super().forward(x)


class SubtractsInPart(Clean):
    """In a part of its own, behind a branch."""

    class Shift(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.detach().sum()) > -1e9:
                x.data.sub_(SHIFT) if not x.requires_grad else x.sub_(SHIFT)
            return x

    def __init__(self) -> None:
        super().__init__()
        self.part = self.Shift()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.part(x)
        return super().forward(x)


STYLES = {
    "functional": (Functional, Clean),
    "in-place modules": (lambda: Clean(inplace=True), Clean),
    "in place, result thrown away": (Clamped, Clean),
    "x -= 0.4": (Subtracts, Shifted),
    "x.sub_": (SubtractsByName, Shifted),
    "x.sub_ in a part": (SubtractsInPart, Shifted),
    "branch": (Branching, Clean),
    "branch, modules": (BranchingModules, Clean),
    "half hooked": (HalfHooked, Clean),
    "DataParallel": (lambda: nn.DataParallel(Functional()), Clean),
    "torch.compile": (lambda: torch.compile(Functional(), backend="eager"), Clean),
    "torch.compile inside": (lambda: nn.Sequential(torch.compile(Functional(), backend="eager")), Clean),
    "module.compile": (lambda: compiled(Functional()), Clean),
    "TorchScript": (lambda: torch.jit.script(Functional()), Clean),
    "traced TorchScript": (lambda: torch.jit.trace(filled(Functional()), images()), Clean),
}
HOOKED = ("guided-backprop", "deeplift", "gradcam", "guided-gradcam")
REFUSED = {
    **{(style, method): "TorchScript" for style in ("TorchScript", "traced TorchScript") for method in HOOKED},
    ("branch", "guided-backprop"): "no hook reaches its 2 ReLU calls in Branching, so this would be the plain gradient",
    ("branch", "guided-gradcam"): "no hook reaches its 2 ReLU calls in Branching, so this would be the plain gradient",
    ("branch", "deeplift"): "no rule reaches its activations (relu, max_pool2d) in Branching, so this would be input",
}
PARTIAL = {
    ("half hooked", "guided-backprop"): "1 of 2 ReLU calls in HalfHooked are functions that no hook reaches",
    ("half hooked", "guided-gradcam"): "1 of 2 ReLU calls in HalfHooked are functions that no hook reaches",
    ("half hooked", "deeplift"): "DeepLIFT has no rule for 1 of 3 activations (relu) in HalfHooked",
}


def compiled(net: nn.Module) -> nn.Module:
    net.compile(backend="eager")
    return net


def filled(net: nn.Module, seed: int = 4) -> nn.Module:
    """Seeded weights in the order of the parameters, which all styles share."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in net.parameters():
            weights.copy_(0.4 * torch.randn(weights.shape, generator=rng) + 0.03)
    return net.eval()


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def declared(net: nn.Module) -> Finder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        return declare_finder(net, ("H", "VIS"), SIZE, name="styled")


@pytest.fixture(scope="module")
def styled() -> dict[str, Finder]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return {style: declared(filled(make())) for style, (make, _) in STYLES.items()}


def oracle(net: nn.Module, method: str) -> torch.Tensor:
    """captum's own answer, summed over bands, for the clean network, whose one output is the log-odds."""
    x = images().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # captum tells of the hooks it sets
        found = {
            "saliency": lambda: attr.Saliency(net).attribute(x, abs=False),
            "integrated-gradients": lambda: attr.IntegratedGradients(net).attribute(x, n_steps=50),
            "deeplift": lambda: attr.DeepLift(net).attribute(x, baselines=torch.zeros_like(x)),
            "guided-backprop": lambda: attr.GuidedBackprop(net).attribute(x),
            "gradcam": lambda: attr.LayerAttribution.interpolate(
                attr.LayerGradCam(net, net.last).attribute(x, relu_attributions=True), (SIZE, SIZE), "bilinear"
            ),
            "guided-gradcam": lambda: attr.GuidedGradCam(net, net.last).attribute(x, interpolate_mode="bilinear"),
            "occlusion": lambda: attr.Occlusion(net).attribute(x, (2, 1, 1), (2, 1, 1))[:, :1],
        }[method]()
    return found.detach().sum(1)


@pytest.fixture(scope="module")
def expected() -> dict[tuple[type, str], np.ndarray]:
    nets = {make: filled(make()) for make in (Clean, Shifted)}
    methods = [name for name in FOR_ANY if name not in ("input-x-gradient", "smoothgrad")]
    found = {(make, method): oracle(net, method).numpy() for make, net in nets.items() for method in methods}
    assert all(np.abs(values).max() > 1e-3 for values in found.values())
    return found


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", *HOOKED, "occlusion"])
@pytest.mark.parametrize("style", STYLES)
def test_a_map_is_captums_of_the_clean_network_or_it_is_said_what_is_missing(style, method, styled, expected):
    finder, x = styled[style], images()
    if (style, method) in REFUSED:
        with pytest.raises(DataError, match=re.escape(REFUSED[style, method])):
            explain_prepared(finder, x, method)
        return
    result = explain_prepared(finder, x, method)
    assert torch.equal(x, images()), "the caller's images were changed"
    if (style, method) in PARTIAL:
        assert result.title == f"{METHODS[method].title}, partial"
        assert any(note.startswith(PARTIAL[style, method]) for note in result.notes)
        return
    assert result.title == METHODS[method].title
    assert len(result.notes) == METHODS[method].known_to_fail
    wanted = expected[STYLES[style][1], method]
    np.testing.assert_allclose(result.maps, wanted, rtol=0, atol=FLOAT32 * np.abs(wanted).max())


def test_a_judgement_knows_what_a_method_does_not_reach(styled):
    half = styled["half hooked"]
    assert Explainer(half).missed("deeplift").startswith("DeepLIFT has no rule for 1 of 3 activations (relu)")
    assert Explainer(half).missed("gradcam") == ""
    assert Explainer(styled["branch"]).missed("deeplift") == ""  # no scores at all, which is said elsewhere


@pytest.mark.parametrize("style", STYLES)
def test_scores_and_kernels_are_those_of_the_clean_network(style, styled):
    finder, clean, x = styled[style], filled(STYLES[style][1]()), images()
    with torch.no_grad():
        np.testing.assert_allclose(finder.logit(x), clean(x)[:, 0], rtol=1e-4, atol=1e-5)
    assert torch.equal(x, images())
    if "TorchScript" in style:
        with pytest.raises(UsageError, match="TorchScript hides its convolutions"):
            convolutions(finder.module)
        return
    with evaluating(finder.module), recording(finder.module) as recorder:
        finder.logit(x)
        found, _ = recorder.take(len(x))
    with torch.no_grad():
        first = clean.first(x - clean.shift)
        second = clean.second(clean.pool(clean.act(first)))
    wanted = torch.cat([first.mean((2, 3)), second.mean((2, 3))], 1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)  # means of float32 numbers of order 1


def test_a_finder_says_that_its_module_writes_into_its_input(styled):
    notes = {style: finder.notes for style, finder in styled.items() if finder.notes}
    assert set(notes) == {"x -= 0.4", "x.sub_", "x.sub_ in a part"}
    assert notes["x.sub_"] == ("its module changes its input in place, so it is handed a copy each time",)


@pytest.mark.parametrize("style", ["x -= 0.4", "x.sub_ in a part", "torch.compile", "TorchScript"])
def test_both_engines_of_occlusion_agree(style, styled):
    rng = np.random.default_rng(1)
    native = {band: rng.random((SIZE, SIZE), np.float32) for band in ("H", "VIS")}
    maps = [occlusion(styled[style], native, patch=2, engine=engine).maps[0] for engine in ("exact", "captum")]
    np.testing.assert_allclose(*maps, rtol=0, atol=FLOAT32 * np.abs(maps[1]).max())


class Transformer(nn.Module):
    """A small vision transformer: patches by a convolution, attention by torch or by hand."""

    def __init__(self, hand_made: bool) -> None:
        super().__init__()
        self.patches, self.hand_made = nn.Conv2d(2, 8, 7, 7), hand_made
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.query, self.key, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.hand_made:
            tokens = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1) @ tokens
        else:
            tokens = self.layer(tokens)
        return self.head(tokens.relu().mean(1))


class Mixer(nn.Module):
    """Dense layers over tokens in place of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mix, self.head = nn.Conv2d(2, 8, 7, 7), nn.Linear(4, 4), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(self.patches(x).flatten(2)).relu().mean(2))


@pytest.mark.parametrize(
    ("make", "mixed"),
    [
        (lambda: Transformer(False), "attention"),
        (lambda: Transformer(True), "a dense layer over tokens"),
        (Mixer, "a dense layer over tokens"),
    ],
)
def test_gradcam_is_not_drawn_from_the_patches_of_a_transformer(make, mixed):
    finder, x = declared(filled(make())), images()
    for method in ("gradcam", "guided-gradcam"):
        with pytest.raises(DataError, match=f"{mixed} after its last convolution mixes all places"):
            explain_prepared(finder, x, method)
    leaf = x.clone().requires_grad_()
    out = finder.module(leaf)
    (slope,) = torch.autograd.grad((out[:, 1] - out[:, 0]).sum(), leaf)
    found = explain_prepared(finder, x, "saliency").maps
    np.testing.assert_allclose(found, slope.sum(1), rtol=0, atol=FLOAT32 * float(slope.abs().max()))


def test_deeplift_says_where_products_of_activations_break_its_sum():
    """Attention multiplies activations, for which there is no rule: the attributions do not add up."""
    result = explain_prepared(declared(filled(Transformer(True))), images(), "deeplift")
    assert result.title == "DeepLIFT, partial"
    assert "DeepLIFT has no rule for a part of the finder: attributions add up to" in result.notes[-1]


class Twice(nn.Module):
    """Two branches that are put together later, or one branch that sees the image and its mirror image."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, 3, 3)
        self.other = self.one if shared else nn.Conv2d(2, 3, 3)
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.one(x).relu().mean((2, 3)), self.other(x.flip(-1)).relu().mean((2, 3))]
        return self.head(torch.cat(parts, 1))


def test_gradcam_says_that_it_shows_one_of_two_branches():
    result = explain_prepared(declared(filled(Twice(False))), images(), "gradcam")
    assert result.title == "Grad-CAM, partial"
    assert result.notes == ("another convolution leads to the score beside the last one, which alone Grad-CAM shows",)
    with pytest.raises(DataError, match="runs 2 times side by side"):
        explain_prepared(declared(filled(Twice(True))), images(), "gradcam")


class Squares(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 30 * x.square().sum((1, 2, 3)) - 40


def test_deeplift_of_a_finder_without_any_activation_is_refused_unless_it_is_linear():
    with pytest.raises(DataError, match=r"attributions add up to .* use integrated-gradients"):
        explain_prepared(declared(Squares()), images(), "deeplift")


def test_weights_that_change_make_a_new_copy():
    """The copy that is hooked is kept between maps; it must not outlive the weights."""
    finder, x = declared(filled(Clean())), images()
    before = explain_prepared(finder, x, "saliency").maps
    with torch.no_grad():
        finder.module.head.weight.mul_(2)
    np.testing.assert_allclose(explain_prepared(finder, x, "saliency").maps, 2 * before, rtol=1e-5)
    finder.module.head.weight.data.mul_(2)  # which autograd's counter of versions does not see
    np.testing.assert_allclose(explain_prepared(finder, x, "saliency").maps, 4 * before, rtol=1e-5)
