"""The words of the probes' chapter and what each of them means; imports nothing, so that the page needs no torch."""

from __future__ import annotations

BIAS, FALSE_POSITIVES, SELECTION = "bias", "false positives", "selection function"
TOO_FEW, WITHIN, NONE = "too few to tell", "within tolerance", "no effect shown"
GRAVE = (BIAS, FALSE_POSITIVES, SELECTION)
"""Verdicts that say an effect is shown beyond the tolerance; such probes are shown open."""

VERDICTS = (
    (BIAS, "the change is shown (p < 0.05 after Holm’s correction) and its whole interval lies beyond the tolerance"),
    (FALSE_POSITIVES, "the whole interval of the share called a lens lies above the tolerance"),
    (SELECTION, "shown and beyond the tolerance, but natural: a loss to be counted, not an accusation"),
    (TOO_FEW, "the interval reaches across the tolerance, so neither acquitted nor accused"),
    (WITHIN, "the interval lies within the tolerance, and a change is shown"),
    (NONE, "the interval lies within the tolerance, and no change is shown"),
)
"""Verdict words, the gravest first, with their definitions."""

NATURES = (
    ("nuisance", "says nothing of the lens: no answer may change, neither to a loss nor to a gain"),
    ("population", "such lenses exist on the sky and must not be lost"),
    ("difficulty", "losing some is natural, and the survey must know how many"),
    ("contaminant", "the treated scene holds no lens: the share called one must stay low"),
)
"""Kinds of probes with what a fair finder would do."""

TRUTH = {
    "theta_e_arcsec": ("Einstein radius θ_E", "″"),
    "arc_snr": ("arc S/N", ""),
    "colour_source_VIS_H": ("source colour VIS − H", "mag"),
    "colour_lens_VIS_H": ("lens colour VIS − H", "mag"),
    "mag_source_VIS": ("source magnitude VIS", "mag"),
    "mag_lens_VIS": ("lens magnitude VIS", "mag"),
}
"""Truth columns of the doses → how an astronomer calls them, and the unit."""

POPULATIONS = {"arcs": "compound arcs", "rings": "double rings"}
"""Labels of populations that have a better name."""


def words_of(verdict: str) -> int:
    """Place of a verdict among all, the gravest 0."""
    return [word for word, _ in VERDICTS].index(verdict)
