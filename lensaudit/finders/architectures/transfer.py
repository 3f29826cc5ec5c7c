"""Transfer learning (Akhazhanov 2018, Chapter 5): a learned stem before a body that was trained on photographs."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from lensaudit.errors import UsageError
from lensaudit.finders.timm_body import known_body, new_body

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
        A key of `lensaudit.finders.timm_body.BODIES`.
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
