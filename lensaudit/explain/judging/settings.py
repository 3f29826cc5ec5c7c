"""What a judgement asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.explain.judging.curves import FILLS
from lensaudit.explain.judging.explainer import chosen_methods
from lensaudit.explain.judging.scores import PARTS, chosen_parts


@dataclass(frozen=True)
class JudgeSettings:
    """What is judged, on how many images.

    Attributes
    ----------
    methods
        Names of methods.
    parts
        Of `PARTS`.
    per_kind
        Images of each kind of scene.
    few
        Of those, how many also get maximum sensitivity, which costs most.
    check_images
        Of the randomisation check; where they cannot tell, it is repeated on up to four times as many.
    fill
        What stands where a pixel is missing in deletion and insertion, one of `FILLS`.
    seed
        Of all that is drawn.
    kinds
        Kinds of scene that are judged; empty for all there are.
    """

    methods: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    per_kind: int = 20
    few: int = 5
    check_images: int = 12
    fill: str = "zero"
    seed: int = 0
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", chosen_methods(self.methods or None))
        object.__setattr__(self, "parts", chosen_parts(self.parts))
        for name, lowest in (("per_kind", 1), ("few", 1), ("check_images", 3), ("seed", 0)):
            if getattr(self, name) < lowest:
                word = name.replace("_", "-")
                raise UsageError(f"--{word} {getattr(self, name)} is not possible; choose {lowest} or more")
        if self.fill not in FILLS:
            raise UsageError(f"fill '{self.fill}' is not known; allowed: {', '.join(FILLS)}")

    @classmethod
    def of_words(cls, methods: str | None, parts: str | None, **numbers: Any) -> JudgeSettings:
        """From comma-separated names as typed; None means all.

        Raises
        ------
        UsageError
            A name is not known, or a number too small.
        """
        return cls(methods=chosen_methods(_split(methods)), parts=chosen_parts(_split(parts)), **numbers)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _split(words: str | None) -> Sequence[str] | None:
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]
