"""The table of probes: each by its leading finding."""

from __future__ import annotations

import math
import re
from typing import Any

from lensaudit.report.numbers import count
from lensaudit.report.probe_words import POPULATIONS, TOO_FEW

MOST_PAIRS = 100_000


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
        is); ``control`` and ``treated`` rates; ``population, subset, dose, n, p_holm, tolerance``; ``group`` (how a
        headline calls such lenses); ``needed``: pairs that would tell, None where that is not the question, and
        ``advice`` in words.
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
        "effect_of": "share called a lens" if contaminant else "change of recall",
        "control": rate_of(finding["control"]),
        "treated": rate_of(finding["treated"]),
        **{name: finding[name] for name in ("population", "subset", "dose", "n", "p_holm")},
        "tolerance": tolerance,
        "group": _group(finding, record),
        **_advice(finding, verdict, tolerance, contaminant),
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


def _group(finding: dict[str, Any], record: dict[str, Any]) -> str:
    doses = record["doses"]
    if doses is not None and finding["dose"] is not None:
        return f"lenses {doses['phrase'].replace('{dose}', typeset(format(finding['dose'], 'g')))}"
    if finding["population"] in POPULATIONS:
        return called(finding["population"])
    return f"lenses in the probe “{record['title']}”"


def _advice(
    finding: dict[str, Any], verdict: dict[str, Any], tolerance: float, contaminant: bool
) -> dict[str, int | str | None]:
    if verdict["word"] != TOO_FEW:
        return {"needed": None, "advice": ""}
    needed = _needed(finding, verdict, tolerance, contaminant)
    if needed is not None:
        return {"needed": needed, "advice": f"About {count(needed)} pairs would tell."}
    if contaminant:
        return {"needed": None, "advice": "The share lies too near the tolerance to be told from it."}
    told = verdict["sentence"].rpartition("; ")[2]
    return {"needed": None, "advice": typeset(told[:1].upper() + told[1:])}


def _needed(finding: dict[str, Any], verdict: dict[str, Any], tolerance: float, contaminant: bool) -> int | None:
    """The forecast of the verdict; of a contaminant, pairs at which its interval would leave the tolerance."""
    if contaminant:
        return _pairs_for_a_share(finding["treated"]["value"], tolerance, finding["n"])
    told = re.search(r"about (\d+) pairs would tell", verdict["sentence"])
    return int(told.group(1)) if told else None


def _pairs_for_a_share(share: float | None, tolerance: float, n: int) -> int | None:
    """Pairs at which Wilson's interval of the same share excludes the tolerance, two figures."""
    from lensaudit.statistics import wilson_interval

    if share is None or n == 0:
        return None
    size = float(n)
    while (size := 1.1 * size) <= MOST_PAIRS:
        low, high = wilson_interval(round(share * size), round(size), 0.95)
        if low > tolerance or high < tolerance:
            step = 10 ** max(math.floor(math.log10(size)) - 1, 0)
            return math.ceil(size / step) * step
    return None
