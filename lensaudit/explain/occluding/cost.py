"""What an occlusion map took: how each layer was calculated, and multiply-adds against the plain way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerReport:
    """How one layer was calculated.

    Attributes
    ----------
    label
        Name and kind, as ``4 Conv2d``.
    mode
        ``window`` (only the changed window), ``whole`` (the window has become the map, or the layer gives a vector),
        ``fallback`` (no rule for this layer: plain batches from here on), ``after fallback``.
    window, size
        Height and width of the window and of the whole map; None where there is none.
    """

    label: str
    mode: str
    window: tuple[int, int] | None = None
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.window is None or self.size is None:
            return f"{self.label}: {self.mode}"
        return f"{self.label}: {self.mode}, {self.window[0]}×{self.window[1]} of {self.size[0]}×{self.size[1]}"


@dataclass(frozen=True)
class Cost:
    """Multiply-adds over all positions, of convolutions and dense layers.

    Attributes
    ----------
    positions
        Patch positions.
    full
        Plain forward passes, one per position.
    least
        Each output that a patch touches calculated once per position; the whole layer where the maps are whole.
    done
        What the engine did: of a window's linear layers only inputs that changed are read, so it can be below `least`.
    """

    positions: int = 0
    full: int = 0
    least: int = 0
    done: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.positions + other.positions, self.full + other.full, self.least + other.least, self.done + other.done
        )

    @property
    def bound(self) -> float:
        """How many times less arithmetic minimal windows need than plain passes."""
        return self.full / self.least if self.least else 1.0

    @property
    def reduction(self) -> float:
        """How many times less arithmetic was done than by plain passes."""
        return self.full / self.done if self.done else 1.0
