"""The words of the page, each in a line or two."""

from __future__ import annotations

_ENTRIES = (
    ("Recall", "Share of lenses that score at or above the threshold. Also: completeness, true-positive rate (TPR)."),
    ("False-positive rate", "Share of non-lenses that score at or above the threshold."),
    ("AUROC", "Area under the ROC curve: chance that a lens scores above a non-lens. 0.5 is guessing."),
    ("TPR0, TPR10", "Highest recall with no false positive, and with fewer than ten, in this set."),
    ("Fβ", "Weighted mean of precision and recall; a small β makes precision count."),
    ("Logit", "ln p/(1 − p): the score on a scale without ends, on which changes can be averaged."),
    ("Arc S/N", "Flux of the noiseless arc over σ√N, N its pixels above 0.5 σ (Lanusse et al. 2018)."),
    ("θ_E", "Einstein radius in arcseconds; for lenses at two distances, that of the main lens."),
    ("Wilson interval", "Interval of a share that stays honest for few objects and near 0 and 1."),
    ("McNemar, Holm", "Exact test on pairs that changed sides; correction for making several tests."),
    ("Compound lens", "One source behind two lens galaxies at different distances: compound arcs, double rings."),
)

GLOSSARY = tuple({"term": term, "meaning": meaning} for term, meaning in _ENTRIES)
