"""Attribution methods: captum as oracle, closed forms, and one contract for all methods over all kinds of networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import FOR_ANY, Explainer, explain, explain_prepared
from lensaudit.explaining.attribution import methods as methods_module
from lensaudit.explaining.attribution.hookable import hookable
from lensaudit.finders import Finder, declare_finder

SIZE = 12
FLOAT32 = 1e-5  # relative to the largest value: sums of some thousand float32 terms, in another order


def plain(act=None, inplace: bool = False, outputs: int = 2) -> nn.Sequential:
    made = (lambda: nn.ReLU(inplace=inplace)) if act is None else act
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), made(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3), made(), nn.Flatten(), nn.Linear(27, outputs)
    )


class Functional(nn.Module):
    """The same layers with functional ReLUs, one in place, and functional pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3), nn.Linear(27, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.first(x), inplace=True), 2)
        return self.head(self.second(x).relu().flatten(1))


class Untraceable(Functional):
    """Branches on data, so that no graph of it can be drawn."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if float(x.detach().sum()) > -1e9 else super().forward(-x)


class Residual(nn.Module):
    """Batch normalisation, one ReLU module that serves twice, a sum in place, global average, one output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(x)))
        y = self.second(x)
        y += x
        return self.head(self.act(y).mean((2, 3)))


NETS = {
    "plain": plain,
    "in-place": lambda: plain(inplace=True),
    "elu": lambda: plain(nn.ELU),
    "one-output": lambda: plain(outputs=1),
    "functional": Functional,
    "untraceable": Untraceable,
    "residual": Residual,
}


def make(name: str) -> Finder:
    generator = torch.Generator().manual_seed(5)
    net = NETS[name]().eval()
    for key, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(0.5 + drawn.abs() if "var" in key else drawn * 0.5)
    return declare_finder(net, ("H", "VIS"), SIZE, name=name)


def images(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def hooks(module: nn.Module) -> int:
    return sum(
        len(part._forward_hooks)
        + len(part._forward_pre_hooks)
        + len(part._backward_hooks)
        + len(part._backward_pre_hooks)
        for part in module.modules()
    )


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    wanted = expected.detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=FLOAT32 * max(1.0, np.abs(wanted).max()))


class Difference(nn.Module):
    """What is explained, written once more: lens output less the other."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.net(x)
        return out[:, 1] - out[:, 0] if out.shape[1] == 2 else out[:, 0]


REFUSED = {
    ("guided-backprop", "elu"), ("guided-gradcam", "elu"), ("guided-backprop", "untraceable"),
    ("guided-gradcam", "untraceable"), ("deeplift", "untraceable"),
}  # fmt: skip
"""It would be another method; see ``test_module_styles.py``."""


@pytest.mark.parametrize(("method", "net"), [pair for pair in product(FOR_ANY, NETS) if pair not in REFUSED])
def test_contract(method, net):
    """Finite, of the input's shape, the same again, without neighbours too; the module as it was, no hook left."""
    finder, x = make(net), images()
    before = {name: tensor.clone() for name, tensor in finder.module.state_dict().items()}
    finder.module.train()
    result = explain_prepared(finder, x, method, seed=3)
    assert all(part.training for part in finder.module.modules())
    finder.module.eval()
    assert result.maps.shape == (3, SIZE, SIZE)
    assert np.isfinite(result.maps).all()
    assert np.abs(result.maps).max() > 0
    again, alone = explain_prepared(finder, x, method, seed=3), explain_prepared(finder, x[1:2], method, seed=3)
    np.testing.assert_array_equal(again.maps, result.maps)
    np.testing.assert_allclose(alone.maps[0], result.maps[1], rtol=0, atol=FLOAT32 * np.abs(result.maps).max())
    if result.attributions is not None:
        np.testing.assert_allclose(result.attributions.sum(1), result.maps, rtol=1e-6)
    assert hooks(finder.module) == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in finder.module.state_dict().items())
    assert all(part.requires_grad for part in finder.module.parameters())


@pytest.mark.parametrize("method", FOR_ANY)
def test_a_forward_that_raises_leaves_no_hook_and_one_line(method):
    finder = make("plain")

    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("the third layer\nis ill")

    finder.module[3] = Broken()
    with pytest.raises(DataError, match="fails on the images: RuntimeError: the third layer is ill"):
        explain_prepared(finder, images(), method)
    real, x = methods_module.METHODS[method], images()
    with pytest.raises(DataError, match=f"{real.title} cannot explain plain: RuntimeError: the third layer is ill"):
        Explainer(finder)._attributions(real, x, 0)
    assert hooks(finder.module) == 0


ORACLES = {
    "saliency": lambda net, x: attr.Saliency(net).attribute(x, abs=False),
    "input-x-gradient": lambda net, x: attr.InputXGradient(net).attribute(x),
    "integrated-gradients": lambda net, x: attr.IntegratedGradients(net).attribute(x, n_steps=50),
    "guided-backprop": lambda net, x: attr.GuidedBackprop(net).attribute(x),
    "deeplift": lambda net, x: attr.DeepLift(net).attribute(x, baselines=torch.zeros_like(x)),
    "guided-gradcam": lambda net, x: attr.GuidedGradCam(net, net.net[4]).attribute(x, interpolate_mode="bilinear"),
    "occlusion": lambda net, x: attr.Occlusion(net).attribute(x, (2, 1, 1), (2, 1, 1))[:, :1],
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum tells of the hooks it sets
@pytest.mark.parametrize("method", ORACLES)
def test_equals_captum_on_modules_it_can_hook(method):
    finder, x = make("plain"), images()
    result = explain_prepared(finder, x, method)
    expected = ORACLES[method](Difference(finder.module), x.clone().requires_grad_())
    close(result.maps, expected.sum(1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", ["guided-backprop", "deeplift", "guided-gradcam"])
@pytest.mark.parametrize("net", ["in-place", "functional"])
def test_in_place_and_functional_relus_are_explained_as_modules_are(method, net):
    """The three networks calculate the same; captum itself answers differently for two of them."""
    x = images()
    reference, other = make("plain"), make(net)
    weights = list(reference.module.state_dict().values())
    other.module.load_state_dict(dict(zip(other.module.state_dict(), weights, strict=True)))
    np.testing.assert_allclose(other.logit(x).detach(), reference.logit(x).detach(), rtol=1e-5)
    expected, found = (explain_prepared(finder, x, method) for finder in (reference, other))
    np.testing.assert_allclose(found.maps, expected.maps, rtol=0, atol=FLOAT32 * np.abs(expected.maps).max())


def test_gradients_of_a_linear_finder_are_its_weights():
    """Closed form: gradient w, products w·x, which add up to the log-odds less its constant."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE * SIZE, 1))
    finder, x = declare_finder(net, ("H", "VIS"), SIZE), images()
    weight = net[1].weight.detach().reshape(1, 2, SIZE, SIZE)
    for method, expected in (
        ("saliency", weight.expand_as(x)),
        ("smoothgrad", weight.expand_as(x)),
        ("input-x-gradient", weight * x),
        ("integrated-gradients", weight * x),
        ("deeplift", weight * x),
    ):
        result = explain_prepared(finder, x, method)
        close(result.attributions, expected)
        if "x" in method or method in ("integrated-gradients", "deeplift"):
            total = result.attributions.sum((1, 2, 3))
            np.testing.assert_allclose(total, result.logit - net[1].bias.item(), atol=1e-4)


@pytest.mark.parametrize("method", ["integrated-gradients", "deeplift"])
@pytest.mark.parametrize("net", ["plain", "in-place", "functional", "residual"])
def test_completeness(method, net):
    """The attributions add up to the difference of the log-odds from the black image (both axioms)."""
    finder, x = make(net), images()
    result = explain_prepared(finder, x, method)
    black = float(finder.logit(torch.zeros_like(x[:1])).detach())
    expected = result.logit - black
    tolerance = 1e-4 if method == "deeplift" else 0.02  # DeepLIFT is exact; the path integral has 50 steps
    np.testing.assert_allclose(result.maps.sum((1, 2)), expected, atol=tolerance * np.abs(expected).max())


def test_smoothgrad_is_the_mean_gradient_over_noisy_copies(monkeypatch):
    monkeypatch.setattr(methods_module, "SMOOTHING_SAMPLES", 4)
    finder, x = make("plain"), images()
    rng, total = torch.Generator().manual_seed(9), torch.zeros_like(x)
    for _ in range(4):
        noisy = (x + 0.1 * torch.randn(x[:1].shape, generator=rng)).requires_grad_()
        total += torch.autograd.grad(Difference(finder.module)(noisy).sum(), noisy)[0]
    close(explain_prepared(finder, x, "smoothgrad", seed=9).maps, (total / 4).sum(1))


def test_gradcam_by_hand():
    """Channel weights are the mean gradient; the map is the ReLU of the weighted sum, laid bilinearly on the input."""
    finder, x = make("plain"), images()
    body = finder.module
    features = body[:5](x).detach().requires_grad_()
    score = body[5:](features)
    weight = torch.autograd.grad((score[:, 1] - score[:, 0]).sum(), features)[0].mean((2, 3), keepdim=True)
    coarse = (weight * features).sum(1, keepdim=True).relu()
    expected = functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")[:, 0]
    result = explain_prepared(finder, x, "gradcam")
    close(result.maps, expected)
    assert result.attributions is None


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("plain", "last convolution with its ReLU, 3 maps of 3×3"),
        ("in-place", "last convolution with its ReLU, 3 maps of 3×3"),
        ("untraceable", "last convolution with its ReLU, 3 maps of 3×3"),
        ("elu", "last convolution, 3 maps of 3×3"),
        ("residual", "last convolution, 4 maps of 12×12"),
    ],
)
def test_gradcam_takes_the_last_convolution_with_its_relu(net, words):
    """In the residual network a sum stands between the convolution and the ReLU, and ELU is none."""
    assert explain_prepared(make(net), images(), "gradcam").hooked == words


@pytest.mark.parametrize("net", ["in-place", "residual"])
def test_nothing_in_the_copy_is_in_place_and_the_finder_keeps_its_own(net):
    finder = make(net)
    assert not any(getattr(part, "inplace", False) for part in hookable(finder).module.modules())
    assert any(getattr(part, "inplace", False) for part in finder.module.modules())


def test_errors_name_what_is_allowed():
    finder, x = make("plain"), images()
    with pytest.raises(UsageError, match="method 'lime' is not known"):
        explain_prepared(finder, x, "lime")
    dense = declare_finder(nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE**2, 2)), ("H", "VIS"), SIZE, name="dense")
    with pytest.raises(DataError, match="cannot explain dense: no convolution"):
        explain_prepared(dense, x, "gradcam")
    native = {"H": np.ones((1, SIZE, SIZE), np.float32), "VIS": np.random.default_rng(1).random((1, 24, 24))}
    with pytest.raises(DataError, match="H is constant"):
        explain(finder, native)


def test_explain_takes_native_cutouts_and_gives_the_maps_their_place_on_the_sky(make_wcs):
    rng = np.random.default_rng(3)
    native = {"H": rng.random((2, 24, 24), np.float32), "VIS": rng.random((2, 48, 48), np.float32)}
    finder, wcs = make("plain"), make_wcs(24)
    result = explain(finder, native, "saliency", wcs=[wcs, wcs])
    np.testing.assert_array_equal(result.maps, explain_prepared(finder, finder.preprocess(native), "saliency").maps)
    centre, corner = wcs.pixel_to_world(11.5, 11.5), wcs.pixel_to_world(-0.5, -0.5)
    assert result.wcs[1].pixel_to_world(5.5, 5.5).separation(centre).arcsec < 1e-3
    assert result.wcs[1].pixel_to_world(-0.5, -0.5).separation(corner).arcsec < 1e-3
    with pytest.raises(DataError, match="1 world coordinates for 2 cutouts"):
        explain(finder, native, "saliency", wcs=[wcs])
