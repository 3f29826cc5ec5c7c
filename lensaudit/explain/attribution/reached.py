"""What of a finder a method that hooks layers really reaches: its name and its notes follow from that."""

from __future__ import annotations

from dataclasses import dataclass

from lensaudit.explain.attribution.gradcam import last_features, parallel
from lensaudit.explain.attribution.hookable import Hookable

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


def _check_visible(copy: Hookable) -> None:
    if copy.scripted:
        raise LookupError(f"no hook reaches layers of TorchScript; declare the Python module, or use {WITHOUT_HOOKS}")
