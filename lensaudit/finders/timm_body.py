"""Bodies trained on photographs, from timm, which is imported only where one is built."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import nn

from lensaudit.errors import UsageError


@dataclass(frozen=True)
class Body:
    """One body.

    Attributes
    ----------
    timm_name
        What timm calls it.
    smallest
        Side in pixels below which its layers have nothing left to work on.
    classifier
        Tensors of timm's state dict that follow the features, which the finder replaces.
    """

    timm_name: str
    smallest: int
    classifier: tuple[str, str]


BODIES: dict[str, Body] = {
    "efficientnet-lite0": Body("tf_efficientnet_lite0", 8, ("classifier.weight", "classifier.bias")),
    "xception": Body("legacy_xception", 8, ("fc.weight", "fc.bias")),
    "inception": Body("inception_v3", 75, ("fc.weight", "fc.bias")),
    "resnet": Body("resnet50", 8, ("fc.weight", "fc.bias")),
    "nasnet": Body("nasnetalarge", 8, ("last_linear.weight", "last_linear.bias")),
    "vgg16": Body("vgg16", 32, ("head.fc.weight", "head.fc.bias")),
    "vgg19": Body("vgg19", 32, ("head.fc.weight", "head.fc.bias")),
}
"""The six of Akhazhanov 2018, in the versions whose numbers of parameters he gives (Inception v3, ResNet-50, NASNet-A
Large; of Xception the one with the weights of its author), and one small enough to be trained on a laptop."""


def known_body(name: str) -> Body:
    """The body called `name`; UsageError lists what is allowed."""
    if name not in BODIES:
        raise UsageError(f"body {name!r} is not known; allowed: {', '.join(BODIES)}")
    return BODIES[name]


def new_body(name: str, **words: Any) -> nn.Module:
    """The features of body `name`: (n, 3, side, side) → (n, ``num_features``); nothing in it works in place.

    Parameters
    ----------
    words
        For ``timm.create_model``, such as ``pretrained=True``.

    Raises
    ------
    UsageError
        timm is not installed, or the torchvision it needs does not load.
    """
    module: nn.Module = timm().create_model(known_body(name).timm_name, num_classes=0, **words)
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return module


def timm() -> ModuleType:
    """The library, imported now."""
    if find_spec("timm") is None:
        raise UsageError(
            "the body of this finder comes from timm, which is not installed; pip install 'lensaudit[transfer]'"
        )
    try:
        with warnings.catch_warnings():  # torchvision says that it cannot read JPEG files, which nobody asks it to
            warnings.filterwarnings("ignore", message="Failed to load image Python extension", module="torchvision.*")
            import timm as library
    except (ImportError, OSError, RuntimeError) as broken:
        import torch

        reason = " ".join(str(broken).split())[:100]
        raise UsageError(
            f"timm needs the torchvision that was built with torch {torch.__version__}, and there is none that loads "
            f"({reason}); install that build of torchvision, a CPU build beside a CPU torch"
        ) from broken
    return library
