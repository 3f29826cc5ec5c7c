"""What the renders of several scenes have in common, computed once.

An edited scene differs from the drawn one in little: a turned point-spread function traces no ray again, a redder
source leaves all other galaxies as they were. What is kept is what the same call would have given, so that images are
the same bits whether they are rendered together or apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Shared:
    """Keeps results under a key that names everything they depend on."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key the first time."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found
