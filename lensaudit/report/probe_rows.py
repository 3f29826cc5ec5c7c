"""The table of probes: each by its leading finding."""

from __future__ import annotations

import re
from typing import Any

from lensaudit.report.numbers import count
from lensaudit.report.probe_words import POPULATIONS
from lensaudit.verdicts import TENTATIVE, UNDECIDED, in_sentence, state_of


def row_of(one: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """One row of the table.

    Parameters
    ----------
    one
        A :class:`lensaudit.probes.Ranked` as JSON.
    record
        ``probe.json`` of the probe.

    Returns
    -------
    dict
        ``probe, title, nature, verdict, sentence, meaning``; ``effect`` (value, low, high) and ``effect_of`` (what it
        is); ``control`` and ``treated`` rates; ``population, subset, dose, n, p_holm, test, tolerance``; ``group`` (how
        a headline calls such lenses); ``needed``: pairs that would settle it, None where it is settled or no number
        would do, and ``advice`` in words.
    """
    finding, nature, verdict = one["finding"], one["nature"], one["verdict"]
    contaminant = nature == "contaminant"
    effect = finding["treated"] if contaminant else finding["recall_change"]
    tolerance = record["settings"]["tolerance"]
    return {
        "probe": one["probe"],
        "title": one["title"],
        "nature": nature,
        "verdict": verdict["word"],
        "sentence": typeset(verdict["sentence"]),
        "meaning": typeset(one["meaning"]),
        "effect": {name: effect[name] for name in ("value", "low", "high")},
        "effect_of": "fraction called a lens" if contaminant else "change of recall",
        "control": rate_of(finding["control"]),
        "treated": rate_of(finding["treated"]),
        **{name: finding[name] for name in ("population", "subset", "dose", "n", "p_holm", "test")},
        "tolerance": tolerance,
        "group": _group(one, record),
        "needed": verdict["needed"],
        "advice": _advice(verdict),
    }


def rate_of(recall: dict[str, Any]) -> dict[str, Any]:
    """A recall of ``probe.json`` as the page writes rates."""
    names = (("k", "found"), ("n", "n"), ("rate", "value"), ("low", "low"), ("high", "high"))
    return {ours: recall[theirs] for ours, theirs in names}


def typeset(text: str) -> str:
    """A sentence of a probe as the page writes it: true minus signs, per cents, apostrophes, names of populations."""
    text = re.sub(r"(?<!\w)-(?=\d)", "−", text).replace("'", "’")
    text = re.sub(r"(\d)%", "\\1\u202f%", text).replace(" (lenses, all pairs)", "")
    return re.sub(r"\((\w+), all pairs\)", lambda found: f"({called(found[1])})", text)


def called(population: str) -> str:
    """How the page calls a population."""
    return POPULATIONS.get(population, population)


def _group(one: dict[str, Any], record: dict[str, Any]) -> str:
    if one["group"] is not None:
        return f"lenses {typeset(one['group'])}"
    if one["nature"] == "contaminant":
        return f"scenes without a lens ({in_sentence(record['title'])})"
    population = one["finding"]["population"]
    return called(population) if population in POPULATIONS else f"lenses in the probe “{record['title']}”"


def _advice(verdict: dict[str, Any]) -> str:
    if verdict["needed"] is not None:
        return f"About {count(verdict['needed'])} pairs would settle it."
    if state_of(verdict["word"]) in (TENTATIVE, UNDECIDED):
        return "It lies too near the tolerance for more pairs to settle it."
    return ""
