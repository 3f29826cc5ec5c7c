"""Transfer learning (Akhazhanov 2018, Chapter 5): a learned stem before a body that was trained on photographs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Self

from torch import Tensor, nn

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


SIZE = None
DROPOUT = 0.2
"""Of the head; the paper says that there is one, not how much."""

_WIDTH = 8
_COLOURS = 3


class Transfer(nn.Module):
    """Stem, body and head, one after the other.

    Parameters
    ----------
    stem
        (n, bands, size, size) → (n, 3, side, side).
    body
        → (n, features).
    head
        → (n, outputs).
    frozen
        The body's weights have no gradient, and its batch norms and dropout stay in evaluation mode in training too,
        so that training leaves it as it is.
    """

    def __init__(self, stem: nn.Module, body: nn.Module, head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.stem, self.body, self.head, self.frozen = stem, body, head, frozen
        if frozen:
            body.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but for a frozen body."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, outputs) of images (n, bands, size, size)."""
        logits: Tensor = self.head(self.body(self.stem(images)))
        return logits


def build(
    bands: int,
    outputs: int = 2,
    *,
    size: int = 100,
    body: str = "efficientnet-lite0",
    lift: int = 1,
    frozen: bool = True,
    dropout: float = DROPOUT,
) -> Transfer:
    """(n, bands, size, size) → (n, outputs) logits.

    Parameters
    ----------
    body
        A key of `lensaudit.finders.architectures.transfer.BODIES`.
    lift
        How many times the stem enlarges the image: the body sees ``lift * size`` pixels. With 100 pixels, 3 is about
        the 299 of the photographs; 1 costs a ninth of it.
    frozen
        Whether the body is left as it is (the paper's best).
    dropout
        Before the last layer.

    Raises
    ------
    UsageError
        The body is not known or sees too few pixels, or timm cannot be imported.
    """
    side, smallest = lift * size, known_body(body).smallest
    if lift < 1 or side < smallest:
        raise UsageError(
            f"body {body} takes {smallest} pixels or more, the stem gives size {size} × lift {lift}; raise one of them"
        )
    features = new_body(body)
    width = int(features.head_hidden_size)  # type: ignore[arg-type]
    head = nn.Sequential(nn.Dropout(dropout), nn.BatchNorm1d(width), nn.Linear(width, outputs))
    return Transfer(_stem(bands, lift), features, head, frozen)


def _stem(bands: int, lift: int) -> nn.Sequential:
    """Transposed convolutions to exactly `lift` times the size, in three colours of zero mean and unit variance, as
    photographs come to the body."""
    return nn.Sequential(
        nn.ConvTranspose2d(bands, _WIDTH, 3 * lift, stride=lift, padding=lift),
        nn.ReLU(inplace=False),
        nn.ConvTranspose2d(_WIDTH, _WIDTH, 3, padding=1),
        nn.ReLU(inplace=False),
        nn.ConvTranspose2d(_WIDTH, _COLOURS, 3, padding=1),
        nn.BatchNorm2d(_COLOURS),
    )
