"""The attribution methods by name: each a plain call of captum on the log-odds of "lens".

What is known of each method's sanity (Adebayo et al. 2018, "Sanity checks for saliency maps") stands beside it:
guided back-propagation and guided Grad-CAM hardly change when the weights are drawn anew, so that they show edges of
the image more than what the finder has learnt. `lensaudit judge` measures it for the finder at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lensaudit.errors import UsageError
from lensaudit.explaining.attribution.attention import attends, relevance, rollout, seen_words, token_drop
from lensaudit.explaining.attribution.gradcam import grad_cam, last_features, parallel
from lensaudit.explaining.attribution.hookable import Hookable, hookable, state_of
from lensaudit.explaining.occluding.occluder import Occluder
from lensaudit.finders import Finder

WITHOUT_HOOKS = "saliency, input-x-gradient, integrated-gradients, smoothgrad or occlusion"


@dataclass(frozen=True)
class Reached:
    """What a method reaches.

    Attributes
    ----------
    hooked
        In words, as ``3 of 3 ReLU calls``.
    notes
        What is missing; empty where nothing is.
    """

    hooked: str
    notes: tuple[str, ...] = ()


def guided(copy: Hookable) -> Reached:
    """ReLU calls that guided back-propagation changes the gradient of.

    Raises
    ------
    LookupError
        None: it would be the plain gradient.
    """
    _check_visible(copy)
    relus, hooked = copy.watch.relus, copy.watch.hooked_relus
    if not relus:
        raise LookupError("it has no ReLU, so this would be the plain gradient; use saliency")
    if not hooked:
        raise LookupError(
            f"no hook reaches its {relus} ReLU calls{copy.where}, so this would be the plain gradient; "
            "use saliency, or nn.ReLU modules in its code"
        )
    missing = f"{relus - hooked} of {relus} ReLU calls{copy.where} are functions that no hook reaches"
    return Reached(f"{hooked} of {relus} ReLU calls", (missing,) if hooked < relus else ())


def deeplift(copy: Hookable) -> Reached:
    """Activations that DeepLIFT has a rule for.

    Raises
    ------
    LookupError
        None, so that it would be input × gradient; or one module runs several times, which its rules do not cover.
    """
    _check_visible(copy)
    calls, hooked = copy.watch.activations, copy.watch.hooked
    if calls and not hooked:
        raise LookupError(
            f"no rule reaches its activations ({', '.join(dict.fromkeys(calls))}){copy.where}, so this would be "
            "input × gradient; use integrated-gradients, or nn.ReLU modules in its code"
        )
    if twice := [type(part).__name__ for part, uses in copy.watch.uses.items() if uses > 1]:
        raise LookupError(f"one {twice[0]} module of it runs several times; use integrated-gradients, or one for each")
    missing = list(calls)
    for name in hooked:
        missing.remove(name)
    note = f"DeepLIFT has no rule for {len(missing)} of {len(calls)} activations ({', '.join(dict.fromkeys(missing))})"
    return Reached(
        f"{len(hooked)} of {len(calls)} activations",
        (f"{note}{copy.where}: there it is input × gradient",) if missing else (),
    )


def gradcam(copy: Hookable) -> Reached:
    """The maps that Grad-CAM weighs.

    Raises
    ------
    LookupError
        There are none that show where the finder looks.
    """
    _check_visible(copy)
    words = last_features(copy.module, copy.noise).words
    beside = parallel(copy.module, copy.noise)
    if not beside:
        return Reached(words)
    others = "another convolution leads" if beside == 1 else f"{beside} other convolutions lead"
    return Reached(words, (f"{others} to the score beside the last one, which alone Grad-CAM shows",))


def guided_gradcam(copy: Hookable) -> Reached:
    """Both; errors as of both."""
    coarse, fine = gradcam(copy), guided(copy)
    return Reached(f"{coarse.hooked}; {fine.hooked}", coarse.notes + fine.notes)


def attention(copy: Hookable) -> Reached:
    """The attention that is there.

    Raises
    ------
    LookupError
        There is none among patches of the image.
    """
    _check_visible(copy)
    return Reached(seen_words(copy.plain, copy.noise))


def _check_visible(copy: Hookable) -> None:
    if copy.scripted:
        raise LookupError(f"no hook reaches layers of TorchScript; declare the Python module, or use {WITHOUT_HOOKS}")


INTEGRATION_STEPS = 50
"""Of the path from the black image in integrated gradients; captum's own number."""

SMOOTHING_SAMPLES = 25
SMOOTHING_SIGMA = 0.1
"""Noise of SmoothGrad as a fraction of the input's range [0, 1]; Smilkov et al. 2017 found 0.1 to 0.2 best."""

IMAGES_AT_ONCE = 8
"""Images of one call; those of 200×200 pixels keep within some 100 MB with their gradients."""


class Target:
    """What is explained: a finder, the copy of its module that captum may hook, and its occluder.

    Both are made once, at the first method that needs them, and anew where the finder's weights have changed since.

    Parameters
    ----------
    finder
        The finder.
    occluder
        By default of the paper's patches.
    """

    def __init__(self, finder: Finder, occluder: Occluder | None = None) -> None:
        self.finder, self.occluder = finder, occluder or Occluder(finder)
        self._state: tuple[object, ...] = ()
        self._hookable: Hookable | None = None
        self._reached: dict[str, Reached] = {}

    def refresh(self) -> bool:
        """Forget what was made where the finder's weights have changed; whether they had."""
        state = state_of(self.finder)
        if state == self._state:
            return False
        self.forget()
        self._state = state
        return True

    def forget(self) -> None:
        """Make all anew at the next call: a method that failed may have left hooks on the copy."""
        self._state, self._hookable, self._reached = (), None, {}
        self.occluder.forget()

    @property
    def hookable(self) -> Hookable:
        """The copy."""
        if self._hookable is None:
            self._hookable = hookable(self.finder)
        return self._hookable

    def reached(self, method: Method) -> Reached:
        """What a method hooks of the finder; LookupError where that would be another method."""
        if method.reach is None:
            return Reached("")
        if method.name not in self._reached:
            self._reached[method.name] = method.reach(self.hookable)
        return self._reached[method.name]


@dataclass(frozen=True)
class Method:
    """One way to attribute the score to pixels.

    Attributes
    ----------
    name
        What the user types.
    title
        What stands on pictures.
    run
        (target, images (n, bands, size, size), generator) → attribution of the same shape, or (n, 1, size, size).
    known_to_fail
        Whether it failed the parameter-randomisation check in Adebayo et al. 2018.
    reach
        For a method that hooks layers: what of a finder it reaches, or LookupError where that would be another method.
    paper
        Where it comes from.
    quantity
        What its numbers are.
    of_attention
        Whether it explains transformers alone.
    """

    name: str
    title: str
    run: Callable[[Target, torch.Tensor, torch.Generator], torch.Tensor]
    known_to_fail: bool
    reach: Callable[[Hookable], Reached] | None
    paper: str
    quantity: str
    of_attention: bool = False


PER_UNIT = "log-odds per unit of input"
IN_LOG_ODDS = "log-odds"
FRACTION = "fraction of attention, either class"
WEIGHED = "gradient × attention over layers"


def _saliency(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    from captum.attr import Saliency

    return Saliency(target.hookable.module).attribute(images, abs=False)


def _input_x_gradient(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    from captum.attr import InputXGradient

    return InputXGradient(target.hookable.module).attribute(images)


def _integrated_gradients(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    from captum.attr import IntegratedGradients

    return IntegratedGradients(target.hookable.module).attribute(
        images, baselines=0, n_steps=INTEGRATION_STEPS, internal_batch_size=max(len(images), IMAGES_AT_ONCE)
    )


def _smoothgrad(target: Target, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mean gradient over noisy copies; captum's ``NoiseTunnel`` draws from torch's global stream, hence by hand."""
    from captum.attr import Saliency

    gradient = Saliency(target.hookable.module)
    total = torch.zeros_like(images)
    for _ in range(SMOOTHING_SAMPLES):
        noise = torch.randn(images[:1].shape, generator=rng, dtype=images.dtype).to(images.device)
        total += gradient.attribute(images + SMOOTHING_SIGMA * noise, abs=False)
    return total / SMOOTHING_SAMPLES


def _guided_backprop(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    from captum.attr import GuidedBackprop

    return GuidedBackprop(target.hookable.module).attribute(images)


def _deeplift(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    from captum.attr import DeepLift

    return DeepLift(target.hookable.module).attribute(images, baselines=0)


def _gradcam(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    return grad_cam(target.hookable.module, images)


def _guided_gradcam(target: Target, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return _gradcam(target, images, rng) * _guided_backprop(target, images, rng)


def _occlusion(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    """Log-odds whole − occluded, exactly (see `lensaudit.explaining.occluding`)."""
    maps = [torch.from_numpy(target.occluder.map(image[None]).attribution) for image in images.detach()]
    return torch.stack(maps)[:, None]


def _rollout(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    return rollout(target.hookable.plain, images)


def _relevance(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    return relevance(target.hookable.plain, images)


def _token_drop(target: Target, images: torch.Tensor, _rng: torch.Generator) -> torch.Tensor:
    return token_drop(target.hookable.plain, images)


def _registered(*methods: Method) -> Mapping[str, Method]:
    names = [method.name for method in methods]
    if len(set(names)) != len(names):
        raise ValueError(f"a method's name is given twice: {names}")
    return {method.name: method for method in methods}


METHODS = _registered(
    Method("saliency", "Gradient", _saliency, False, None, "Simonyan et al. 2013", PER_UNIT),
    Method(
        "input-x-gradient", "Input × gradient", _input_x_gradient, False, None, "Shrikumar et al. 2016", IN_LOG_ODDS
    ),
    Method(
        "integrated-gradients",
        "Integrated gradients",
        _integrated_gradients,
        False,
        None,
        "Sundararajan et al. 2017",
        IN_LOG_ODDS,
    ),
    Method("smoothgrad", "SmoothGrad", _smoothgrad, False, None, "Smilkov et al. 2017", PER_UNIT),
    Method(
        "guided-backprop",
        "Guided back-propagation",
        _guided_backprop,
        True,
        guided,
        "Springenberg et al. 2014",
        PER_UNIT,
    ),
    Method("deeplift", "DeepLIFT", _deeplift, False, deeplift, "Shrikumar et al. 2017", IN_LOG_ODDS),
    Method("gradcam", "Grad-CAM", _gradcam, False, gradcam, "Selvaraju et al. 2017", "log-odds per cell of the map"),
    Method(
        "guided-gradcam",
        "Guided Grad-CAM",
        _guided_gradcam,
        True,
        guided_gradcam,
        "Selvaraju et al. 2017",
        "Grad-CAM × guided gradient",
    ),
    Method("occlusion", "Occlusion", _occlusion, False, None, "Zeiler & Fergus 2014", "log-odds, whole − patch hidden"),
    Method(
        "attention-rollout", "Attention rollout", _rollout, False, attention, "Abnar & Zuidema 2020", FRACTION, True
    ),
    Method(
        "attention-relevance", "Attention relevance", _relevance, False, attention, "Chefer et al. 2021", WEIGHED, True
    ),
    Method(
        "token-drop", "Token drop", _token_drop, False, attention, "Jain et al. 2022", "log-odds, whole − token", True
    ),
)

FOR_ANY = tuple(name for name, method in METHODS.items() if not method.of_attention)
"""Methods for any network: what a command explains with where none is named and no finder is at hand."""


WITHOUT_GRADIENT = ("occlusion",)
"""Methods that ask the finder for scores only."""


def applicable_methods(finder: Finder) -> tuple[str, ...]:
    """Names of the methods that can explain `finder`: `default_methods`, or without a gradient those that need none."""
    return default_methods(finder) if finder.differentiable else WITHOUT_GRADIENT


def default_methods(finder: Finder) -> tuple[str, ...]:
    """Names of the methods for any network, and of those for attention where it has any."""
    return tuple(METHODS) if attends(finder.module) else FOR_ANY


def not_applicable(method: Method, finder: Finder) -> str:
    """The line that says why `method` is none of `applicable_methods`."""
    if finder.differentiable and method.of_attention:
        return f"{method.title} cannot explain {finder.name}: it has no attention; use {', '.join(FOR_ANY)}"
    return no_gradient(method.title, finder)


def no_gradient(what: str, finder: Finder) -> str:
    """The line that says why `what` does not apply to a finder without a gradient, and what does."""
    way = getattr(finder.module, "way_to_gradients", "")
    return (
        f"{what} does not apply to finder {finder.name}, whose score has no gradient; {way and f'{way}, or '}use "
        "occlusion, kernels, probe or selection, which need none"
    )


def find_method(name: str) -> Method:
    """The method of that name.

    Raises
    ------
    UsageError
        There is none; the line lists those that exist.
    """
    if name not in METHODS:
        raise UsageError(f"method '{name}' is not known; allowed: {', '.join(METHODS)}")
    return METHODS[name]
