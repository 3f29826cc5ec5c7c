"""What the numbers rest on, and what was not measured."""

from __future__ import annotations

from typing import Any

from lensaudit.report.options import MIN_BIN

_ALWAYS = (
    ("Calibration on real data", "p(lens) is the finder’s own scale: that 0.9 means nine in ten was not tested."),
    (
        "The sky’s share of lenses",
        "Precision here belongs to this set’s mix; on the sky lenses are one in thousands.",
    ),
    ("Other instruments and depths", "Nothing is said about images of another survey, depth or seeing."),
)

_NO_GRADIENT = (
    "This finder’s score has no gradient, so they do not apply; occlusion, kernels, probes and the selection need none."
)


def limits(audit: dict[str, Any]) -> list[str]:
    """Sentences about the data and the method, for this audit."""
    said = [
        _data(audit["set"]),
        "Intervals are 95 % and cover the chance of drawing this set, not errors of the simulation or of labels.",
    ]
    if _trained_on(audit["finder"]) == audit["set"]["content_hash"]:
        said.insert(0, "This is the set the finder was trained on: every number of this page is too good.")
    said += [f"{remark[0].upper()}{remark[1:]}." for remark in (audit.get("pixels") or {"remarks": []})["remarks"]]
    if audit["selection"] is not None:
        said.append(
            "Recall against one property mixes in others that go with it: small θ_E, faint arcs and faint sources are "
            "often the same lenses."
        )
        said.append(
            "The worst group is named after looking, so its gap is on average a little too large; bins below "
            f"{MIN_BIN} lenses enter no test."
        )
    if audit["gallery"] is not None:
        said.append(
            "An occlusion map shows where a black patch changes the score of one image. A black patch is not something "
            "the finder was trained on, and light hidden in two places at once is not shown."
        )
    if audit["maps"] is not None:
        said.append(
            "Maps of single images illustrate; they prove nothing about the finder. Their scores say how much falls on "
            "the lensed light, not whether the finder would have decided otherwise without it."
        )
    if audit["probes"] is not None and audit["probes"]["rows"]:
        said.append(
            "Probes change one thing of simulated scenes: an effect is one of that edit on those scenes, and a probe "
            "that shows none says nothing of edits it did not make."
        )
    if any(detail["published"] for detail in (audit["probes"] or {"details": []})["details"]):
        said.append("Published recalls beside a probe were measured on other people’s images and are no test of it.")
    return said


def not_measured(audit: dict[str, Any]) -> list[dict[str, str]]:
    """List of ``{"what", "why"}``: what this audit left out, first what its own data could not give."""
    missing = [*_without_labels(audit), *_without_truth(audit), *_unscored(audit)]
    if audit["gallery"] is None:
        missing.append(("What the finder looks at", "The occlusion gallery was switched off for this audit."))
    if not audit["finder"].get("differentiable", True):
        missing.append(("Gradients, Grad-CAM, DeepLIFT, class images and Deep Dreams", _NO_GRADIENT))
    missing += _unprobed(audit["probes"])
    return [{"what": what, "why": why} for what, why in (*missing, *_ALWAYS)]


def _unprobed(probes: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Probes that were not run, by their reason."""
    if probes is None:
        return [("Probes", "They were switched off for this audit, so nothing is said of what changes an answer.")]
    by_reason: dict[str, list[str]] = {}
    for one in probes["left_out"]:
        by_reason.setdefault(one["why"], []).append(one["title"].lower())
    missing = [(f"Probes: {', '.join(titles)}", f"{why[0].upper()}{why[1:]}.") for why, titles in by_reason.items()]
    if probes["not_applicable"]:
        titles = ", ".join(one["title"].lower() for one in probes["not_applicable"])
        missing.append((f"Probes: {titles}", "They do not apply to this finder; the chapter on probes says why."))
    return missing


def _trained_on(finder: dict[str, Any]) -> str | None:
    training = finder["training"] or {}
    return (training.get("data") or {}).get("set")


def _data(lens_set: dict[str, Any]) -> str:
    if lens_set["simulated"]:
        return (
            f"Every cutout is simulated (population “{lens_set['population']}”, instrument {lens_set['instrument']}): "
            "real lenses, real PSFs and real contaminants differ, and recall on the sky can be lower."
        )
    return (
        f"The cutouts were ingested ({lens_set['made_by']}); labels, where there are any, are those of their archive "
        "and its naming rule."
    )


def _without_labels(audit: dict[str, Any]) -> list[tuple[str, str]]:
    lens_set = audit["set"]
    if lens_set["n_lenses"] + lens_set["n_nonlenses"] == 0:
        return [("Recall, false positives, ROC curve", "No cutout of this set has a label.")]
    missing = []
    if lens_set["n_lenses"] == 0:
        missing.append(("Recall and ROC curve", "This set has no lenses."))
    if lens_set["n_nonlenses"] == 0:
        missing.append(("False positives, precision and ROC curve", "This set has no non-lenses."))
    return missing


def _without_truth(audit: dict[str, Any]) -> list[tuple[str, str]]:
    if audit["set"]["n_lenses"] == 0:
        return []
    if audit["selection"] is None:
        return [("Which lenses are found", "The catalogue holds neither properties of the lenses nor kinds of scenes.")]
    missing = [curve["label"] for curve in audit["selection"]["curves"] if not curve["bins"]]
    missing += audit["selection"]["absent"]
    if not missing:
        return []
    return [(f"Recall against: {', '.join(missing)}", "The catalogue of this set has no such values.")]


def _unscored(audit: dict[str, Any]) -> list[tuple[str, str]]:
    unscored = audit["performance"]["unscored"]
    if not unscored:
        return []
    examples = "; ".join(f"{one['id']}: {one['why']}" for one in unscored[:3])
    more = f" and {len(unscored) - 3} more" if len(unscored) > 3 else ""
    return [(f"{len(unscored)} cutouts without a score", f"They enter no number of this page. {examples}{more}.")]
