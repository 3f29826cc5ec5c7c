"""What a judgement consists of, without torch: its settings, scores of images and kinds, checks and compound views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lensaudit.display.numbers import shortest, with_interval
from lensaudit.errors import UsageError
from lensaudit.explaining.judging.scores import FILLS, PARTS, SCORES, chosen_parts
from lensaudit.records import Number, Record

PASSES, FAILS, INCONCLUSIVE = "passes", "fails", "inconclusive"


@dataclass(frozen=True)
class JudgeSettings(Record):
    """What is judged, on how many images.

    Attributes
    ----------
    methods
        Names of methods; empty for all.
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
    layers
        Whether the randomisation check also draws the weights layer by layer, which shows where a map changes; its
        verdict rests on networks with all weights drawn and is the same without.
    """

    methods: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    per_kind: int = 20
    few: int = 5
    check_images: int = 12
    fill: str = "zero"
    seed: int = 0
    kinds: tuple[str, ...] = ()
    layers: bool = True

    def __post_init__(self) -> None:
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
        from lensaudit.explaining.judging.attributor import chosen_methods

        return cls(methods=chosen_methods(_split(methods)), parts=chosen_parts(_split(parts)), **numbers)

    def settled(self) -> JudgeSettings:
        """With every method by name.

        Raises
        ------
        UsageError
            One is not known.
        """
        from lensaudit.explaining.judging.attributor import chosen_methods

        return replace(self, methods=chosen_methods(self.methods or None))


def _split(words: str | None) -> Sequence[str] | None:
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]


@dataclass(frozen=True)
class ImageScore(Record):
    """One score of one map.

    Attributes
    ----------
    system
        Name of the image.
    score
        Key of `SCORES`.
    value
        NaN where there is none, see `status`.
    chance
        Of this image where it has a closed form (fractions of areas), else NaN.
    status
        Why there is no value; empty if there is one.
    """

    system: str
    score: str
    value: Number
    chance: Number = math.nan
    status: str = ""


@dataclass(frozen=True)
class Row(Record):
    """One score of one explainer on one kind of scene.

    Attributes
    ----------
    finder, method, kind, score
        Of what; method is also a baseline's name, kind also ``all non-lenses``.
    value, low, high
        Mean over images with its 95 % interval (bootstrap; Wilson for hits and misses); none for fewer than two.
    chance
        Mean of what chance gives on the same images; NaN where the score knows no chance.
    n
        Images with a value.
    status
        ``ok``, or how many images were left out and why.
    gain_low, gain_high
        95 % interval of the mean of value − chance, image by image.
    check
        Verdict of the method's randomisation check; empty where it was not made.
    """

    finder: str
    method: str
    kind: str
    score: str
    value: Number
    low: Number
    high: Number
    chance: Number
    n: int
    status: str
    gain_low: Number
    gain_high: Number
    check: str = ""

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval of value − chance lies on the better side."""
        better = SCORES[self.score].better
        return self.gain_low > 0 if better != "lower" else self.gain_high < 0


@dataclass(frozen=True)
class SourceFraction(Record):
    """Fraction of the positive attribution on one source's pixels; means over images.

    Attributes
    ----------
    name
        ``nearer`` or ``farther``.
    value, low, high
        With the 95 % interval over images.
    area
        Fraction of the area: chance.
    light
        Fraction of both sources' light.
    gain_low, gain_high
        95 % interval of the mean of value − area.
    """

    name: str
    value: Number
    low: Number
    high: Number
    area: Number
    light: Number
    gain_low: Number
    gain_high: Number


@dataclass(frozen=True)
class CompoundView(Record):
    """How one method's attribution is spread over the two sources.

    Attributes
    ----------
    finder, method, title, kind
        What was looked at; kind is ``compound-arcs`` or ``compound-rings``.
    shares
        One of each of `SOURCES`.
    n
        Images counted.
    left_out
        Images of which a source has too few pixels, or the map nothing positive.
    unlensed
        Images whose nearer source is not lensed (``faithful`` scenes).
    verdict
        In words.
    """

    finder: str
    method: str
    title: str
    kind: str
    shares: tuple[SourceFraction, ...]
    n: int
    left_out: int
    unlensed: int
    verdict: str

    def fraction(self, name: str) -> SourceFraction:
        """That of ``nearer`` or ``farther``."""
        return next(fraction for fraction in self.shares if fraction.name == name)


@dataclass(frozen=True)
class RandomisedStep(Record):
    """Maps of a finder whose last layers were drawn anew against those of the finder itself; means over images.

    Attributes
    ----------
    layer
        The layer drawn last: it and all behind it are random; empty before any is.
    excess
        Spearman's correlation with the original map of the same image, less that with those of other images.
    correlation, absolute
        Spearman's correlation of the maps, and of their absolute values, for the same image.
    ssim
        Structural similarity of the absolute values, for the same image.

    Images whose map is constant are not counted; NaN where all are.
    """

    layer: str
    excess: Number
    correlation: Number
    absolute: Number
    ssim: Number


@dataclass(frozen=True)
class RandomisationResult(Record):
    """Whether a method's maps depend on what the finder has learnt.

    Attributes
    ----------
    method, title, finder, finder_hash
        What was checked.
    steps
        Nothing random, then layer by layer from the last to the first, of the first draw of weights.
    excess, low, high
        After all weights were drawn anew: mean over draws and images, with its 95 % interval over both.
    level
        Excess above which the method fails.
    images, draws
        How many of each. Constant maps have nothing to compare: an image is counted where the finder's own map and
        that of one random finder at least are not.
    verdict
        ``passes``, ``fails`` or ``inconclusive``: the whole interval below the level, above it, or neither.
    """

    ALSO = ("label", "sentence")

    method: str
    title: str
    finder: str
    finder_hash: str
    steps: tuple[RandomisedStep, ...]
    excess: Number
    low: Number
    high: Number
    level: float
    images: int
    draws: int
    verdict: str

    @property
    def label(self) -> str:
        """A few words to stand beside every map of a method that fails; empty for one that passes."""
        if self.verdict == PASSES:
            return ""
        return "fails the randomisation check" if self.verdict == FAILS else "randomisation check inconclusive"

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        if math.isnan(self.excess):
            return f"{self.title}: {self.verdict} ({self.images} images with a map)."
        return (
            f"{self.title}: {self.verdict}. With all weights drawn anew its maps keep a rank correlation with the "
            f"image’s own map of {with_interval(self.excess, self.low, self.high, 2)} beyond that with other images’ "
            f"(level {shortest(self.level)}, {self.images} images, {self.draws} draws)."
        )
