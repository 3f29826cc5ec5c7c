"""Everything the page shows of one probe, from ``probe.json``."""

from __future__ import annotations

from typing import Any

from lensaudit.report.numbers import percent, significant
from lensaudit.report.probe_rows import called, rate_of, typeset
from lensaudit.report.probe_words import TRUTH
from lensaudit.verdicts import state_of

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
        "groups": [_group(finding, record, architecture) for finding in record["findings"]],
        "responses": [_response(response, record) for response in record["responses"]],
        "how": _how(record),
        "published": _published(record["published"], architecture),
        "pairs_note": _pairs_note(record),
        "pairs": [],
    }


def _group(finding: dict[str, Any], record: dict[str, Any], architecture: str) -> dict[str, Any]:
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
