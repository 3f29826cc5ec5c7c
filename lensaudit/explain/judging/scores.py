"""The scores of explanations by name: what each measures, which direction is better, and its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lensaudit.errors import UsageError


@dataclass(frozen=True)
class Score:
    """One number an explanation of one image gets.

    Attributes
    ----------
    name
        What stands in tables.
    title
        What stands on pictures.
    part
        What the user types to have it, one of `PARTS`.
    better
        ``higher``, ``lower``, or empty where neither is.
    range
        Lowest and highest possible value.
    meaning
        One sentence.
    paper
        Where it comes from.
    """

    name: str
    title: str
    part: str
    better: str
    range: tuple[float, float]
    meaning: str
    paper: str


PARTS = ("localisation", "deletion", "insertion", "infidelity", "sensitivity", "randomisation", "compound")
"""What can be asked for; ``randomisation`` judges the method, all others judge its maps image by image."""


def _registered(*scores: Score) -> Mapping[str, Score]:
    names = [score.name for score in scores]
    if len(set(names)) != len(names):
        raise ValueError(f"a score's name is given twice: {names}")
    return {score.name: score for score in scores}


SCORES = _registered(
    Score(
        "positive-share",
        "positive attribution on the lensed light",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Share of the positive attribution that falls on the truth mask; chance is the mask's share of the area.",
        "Kohlbrenner et al. 2020",
    ),
    Score(
        "rank-accuracy",
        "rank accuracy",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Of the K pixels with the highest attribution, K the pixels of the truth mask, the share that lies in it.",
        "Arras et al. 2022",
    ),
    Score(
        "pointing-game",
        "pointing game",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Whether the pixel with the highest attribution lies within 0.3″ of the truth mask.",
        "Zhang et al. 2018",
    ),
    Score(
        "deletion",
        "deletion: area under p(lens)",
        "deletion",
        "lower",
        (0.0, 1.0),
        "Mean p(lens) while pixels are removed, the highest attribution first.",
        "Petsiuk et al. 2018",
    ),
    Score(
        "insertion",
        "insertion: area under p(lens)",
        "insertion",
        "higher",
        (0.0, 1.0),
        "Mean p(lens) while pixels are put back into an empty image, the highest attribution first.",
        "Petsiuk et al. 2018",
    ),
    Score(
        "infidelity",
        "infidelity: response unexplained",
        "infidelity",
        "lower",
        (0.0, 1.0),
        "Share of the log-odds' response to removed tiles that the attribution leaves unexplained at its best scale.",
        "Yeh et al. 2019",
    ),
    Score(
        "sensitivity",
        "maximum sensitivity",
        "sensitivity",
        "lower",
        (0.0, float("inf")),
        "Largest relative change of the map under noise of ±0.02 on the image's scale of 0 to 1.",
        "Yeh et al. 2019",
    ),
    Score(
        "randomised-similarity",
        "similarity with all weights random",
        "randomisation",
        "lower",
        (-2.0, 2.0),
        "Rank correlation with the image's own map beyond that with other images', with all weights drawn anew.",
        "Adebayo et al. 2018",
    ),
    Score(
        "nearer-share",
        "attribution on the nearer source",
        "compound",
        "",
        (0.0, 1.0),
        "Share of the positive attribution where the nearer source's light is the brighter one; chance is its area.",
        "",
    ),
    Score(
        "farther-share",
        "attribution on the farther source",
        "compound",
        "",
        (0.0, 1.0),
        "Share of the positive attribution where the farther source's light is the brighter one; chance is its area.",
        "",
    ),
)


def chosen_parts(words: Sequence[str] | None) -> tuple[str, ...]:
    """`words` in the order of `PARTS`; all of them for None.

    Raises
    ------
    UsageError
        One is not known, or there is none.
    """
    if words is None:
        return PARTS
    unknown = [word for word in words if word not in PARTS]
    if unknown or not words:
        raise UsageError(f"score '{unknown[0] if unknown else ''}' is not known; allowed: {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in words)
