"""The table of probes, and everything the page shows of one."""

from __future__ import annotations

import re
from typing import Any

from lensaudit.display.numbers import count, percent, significant
from lensaudit.report.facts import POPULATIONS, TRUTH
from lensaudit.verdicts import INCONCLUSIVE, TENTATIVE, in_sentence, state_of


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
    names = (("k", "found"), ("n", "n"), ("value", "value"), ("low", "low"), ("high", "high"))
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
    if state_of(verdict["word"]) in (TENTATIVE, INCONCLUSIVE):
        return "It lies too near the tolerance for more pairs to settle it."
    return ""


ALL_PAIRS = "all pairs"


def detail_of(one: dict[str, Any], record: dict[str, Any], architecture: str) -> dict[str, Any]:
    """One probe in full.

    Parameters
    ----------
    one
        A :class:`lensaudit.probes.Ranked` as JSON.
    record
        ``probe.json`` of the probe, its findings corrected over the whole audit.
    architecture
        Of the finder, so that its published recall is found.

    Returns
    -------
    dict
        ``groups``: a row per population, subset and dose; ``responses``: where the loss leaves the tolerance and what
        doses mean; ``how``: sentences on what and how it was measured; ``published``; ``pairs`` is left empty.
    """
    first = record["findings"][0]
    return {
        "probe": record["probe"],
        "title": record["title"],
        "nature": record["nature"],
        "question": record["question"],
        "about": record["meaning"],
        "verdict": one["verdict"]["word"],
        "open": state_of(one["verdict"]["word"]).beyond,
        "meaning": typeset(one["meaning"]),
        "sentence": typeset(one["verdict"]["sentence"]),
        "tolerance": record["settings"]["tolerance"],
        "threshold": record["finder"]["threshold"],
        "change_method": first["recall_change"]["method"],
        "logit_method": first["logit_change"]["method"],
        "doses": record["doses"],
        "groups": [_effect_group(finding, record, architecture) for finding in record["findings"]],
        "responses": [_response(response, record) for response in record["responses"]],
        "how": _how(record),
        "published": _published(record["published"], architecture),
        "pairs_note": _pairs_note(record),
        "pairs": [],
    }


def _effect_group(finding: dict[str, Any], record: dict[str, Any], architecture: str) -> dict[str, Any]:
    everything = finding["subset"] == ALL_PAIRS
    name = called(finding["population"])
    return {
        "title": name if everything else f"{name} that fulfil the lens rule",
        "population": finding["population"],
        "everything": everything,
        "dose": finding["dose"],
        "control": rate_of(finding["control"]),
        "treated": rate_of(finding["treated"]),
        "recall_change": finding["recall_change"],
        "effect": finding["logit_change"],
        "mcnemar": {
            ours: finding[theirs]
            for ours, theirs in (("lost", "lost"), ("gained", "gained"), ("p", "p_value"), ("p_holm", "p_holm"))
        },
        "test": finding["test"],
        "verdict": finding["verdict"]["word"],
        "sentence": typeset(finding["verdict"]["sentence"]),
        "published": _beside(record["published"], finding["population"], architecture) if everything else [],
    }


def _response(response: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for column in sorted(response["truth"], key=_place):
        values = response["truth"][column]
        known = [value for value in values if value is not None]
        if known:
            label, unit = TRUTH.get(column, (column, ""))
            changes = max(known) - min(known) > 1e-9 + 0.001 * max(abs(value) for value in known)
            rows.append({"label": label, "unit": unit, "values": values, "changes": changes})
    return {
        "population": response["population"],
        **{name: response[name] for name in ("crossing", "low", "high", "crossed")},
        "sentence": _crossing(response, record),
        "truth": sorted(rows, key=lambda row: not row["changes"]),
    }


def _place(column: str) -> int:
    """Order of the rows; a column this page has no name for comes last."""
    return list(TRUTH).index(column) if column in TRUTH else len(TRUTH)


def _crossing(response: dict[str, Any], record: dict[str, Any]) -> str:
    tolerance = record["settings"]["tolerance"]
    if response["crossing"] is None:
        return f"At no strength is the measured loss of recall above the tolerated {tolerance:g}."
    ends = [
        "beyond the last strength" if response[end] is None else significant(response[end]) for end in ("low", "high")
    ]
    share = response["crossed"]
    return (
        f"Walking away from the control by straight lines, the loss of recall first exceeds the tolerated "
        f"{tolerance:g} at {significant(response['crossing'])} on this axis (95 % bootstrap interval {ends[0]} to "
        f"{ends[1]}; {percent(share)} of the resamples get there)."
    )


def _how(record: dict[str, Any]) -> str:
    settings, finder, rule = record["settings"], record["finder"], record["lens_rule"]
    definition = record["definition"]
    populations = definition["modes"][settings["mode"]]["populations"]
    drawn = " and ".join(f"{settings['n']} scenes “{name}”" for name in populations.values())
    control, treated = (_steps(definition["edits"][arm]) for arm in ("control", "treated"))
    doses = record["doses"]
    strengths = f" at {', '.join(typeset(f'{value:g}') for value in doses['values'])}" if doses else ""
    seen = ", ".join(f"{k} of {settings['n']} {called(label)}" for label, k in record["visible_edits"].items())
    condition = f" A pair fulfils the lens rule where both arms have {rule['condition']}." if rule else ""
    return (
        f"{drawn} ({definition['instrument']}, seed {settings['seed']}, mode “{settings['mode']}”), each rendered with "
        f"the same noise as control ({control}) and treated ({treated}{strengths}). {record['mode_note'].strip()}"
        f"{condition} In the first band the edit changes more than 20 pixels by more than half the noise in {seen}"
        f"{' at the last strength' if doses else ''}; in the others no finder of that band alone can react. Found "
        f"means p ≥ {significant(finder['threshold'])}, stretch {finder['stretch']}."
    )


def _steps(steps: list[dict[str, Any]]) -> str:
    told = [
        step["edit"].replace("identity", "as drawn").replace("-", " ")
        + ("" if step["strength"] is None else f" {decimal_short(step['strength'])}")
        for step in steps
    ]
    return ", then ".join(told)


def decimal_short(value: float) -> str:
    """A strength as short as it goes, with a true minus."""
    return typeset(f"{value:g}")


def _pairs_note(record: dict[str, Any]) -> str:
    doses = record["doses"]
    last = f"; treated at the last strength, {decimal_short(doses['values'][-1])}" if doses else ""
    return f"Chosen by the change of logit{last}."


def _beside(published: dict[str, Any] | None, population: str, architecture: str) -> list[dict[str, Any]]:
    """Published recalls drawn beside ours: those of the same architecture, else of all finders there are."""
    if published is None:
        return []
    names = [name for name in published["recall"] if _same(name, architecture)] or sorted(published["recall"])
    recalls = {name: published["recall"][name].get(population) for name in names}
    return [{"name": name, "recall": recall} for name, recall in recalls.items() if recall is not None]


def _published(published: dict[str, Any] | None, architecture: str) -> dict[str, Any] | None:
    if published is None:
        return None
    populations = sorted({p for recalls in published["recall"].values() for p in recalls})
    rows = [
        {"name": name, "recall": [recalls.get(p) for p in populations], "same": _same(name, architecture)}
        for name, recalls in sorted(published["recall"].items())
    ]
    return {
        "caption": published["caption"].rstrip(".") + ".",
        "source": published["source"],
        "threshold": published["threshold"],
        "columns": [called(p) for p in populations],
        "rows": rows,
    }


def _same(published: str, architecture: str) -> bool:
    return published.casefold().replace("-", "") == architecture.casefold().replace("-", "")
