"""Finders against a baseline: the groups of every set, one correction over all of them, and the probes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lensaudit.comparing.comparison import ComparedProbes, ProbeVerdict, SetComparison
from lensaudit.comparing.entrants import CompareOptions, Entrant
from lensaudit.comparing.measuring import FirstImages
from lensaudit.comparing.pairs import Told
from lensaudit.comparing.regression import Baseline, Check, ProbeChange, checks_of, concluded
from lensaudit.comparing.subgroups import subgroups_of
from lensaudit.display.numbers import decimal, interval
from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Scores
from lensaudit.lensset import LensSet
from lensaudit.verdicts import BIAS, FALSE_POSITIVES, REGRESSION, TENTATIVE, present_word, state_of


def check_baseline(labels: Sequence[str], sets: Sequence[LensSet], options: CompareOptions) -> None:
    """Raise UsageError where the baseline is not among the finders, or stands there alone, or a column is missing."""
    baseline = options.baseline
    if options.by and not baseline:
        raise UsageError("--by: divides what is compared with a baseline; name one with --baseline, or leave it out")
    if baseline and baseline not in labels:
        raise UsageError(f"--baseline {baseline}: is none of the finders {', '.join(labels)}; name one")
    if baseline and len(labels) < 2:
        raise UsageError(f"--baseline {baseline}: there is no other finder to compare with it; name one")
    for lens_set in sets if options.by else ():
        subgroups_of(lens_set, lens_set.labels >= 0, options.by)


def refuse_never_together(taking: Sequence[Sequence[Entrant]], labels: Sequence[str], baseline: str) -> None:
    """Raise DataError where a finder takes no set that the baseline takes: nothing would be said of it."""
    together = {one.label for able in taking for one in able if baseline in [other.label for other in able]}
    alone = [label for label in labels if baseline and label not in together]
    if alone:
        raise DataError(
            f"finder {alone[0]}: no set is one that it and the baseline {baseline} both take as input; give such a set"
        )


def checks_on(
    able: Sequence[Entrant], images: FirstImages, scores: Sequence[Scores], options: CompareOptions
) -> tuple[Check, ...]:
    """Every finder against the baseline on a set, not yet corrected; nothing where the baseline does not take it."""
    found = {
        entrant.label: (one, Told(entrant.label, one.p_lens, one.logit, entrant.finder.recipe.threshold))
        for entrant, one in zip(able, scores, strict=True)
    }
    if not options.baseline or options.baseline not in found:
        return ()
    old_scores, old = found.pop(options.baseline)
    labels, checks = images.labels, []
    for new_scores, new in found.values():
        kept = ((labels == 0) | (labels == 1)) & np.isfinite(old_scores.p_lens) & np.isfinite(new_scores.p_lens)
        groups = subgroups_of(images, kept, options.by)
        groups = [replace(group, rows=group.rows[kept]) for group in groups]
        told = tuple(replace(one, p_lens=one.p_lens[kept], logit=one.logit[kept]) for one in (old, new))
        checks += checks_of(labels[kept], (told[0], told[1]), groups, options.limits, options.seed)
    return tuple(checks)


def with_verdicts(blocks: Sequence[SetComparison], options: CompareOptions) -> list[SetComparison]:
    """The blocks with their checks corrected over those of all sets and finders, and judged."""
    judged = iter(concluded([check for block in blocks for check in block.checks], options.limits))
    return [replace(block, checks=tuple(next(judged) for _ in block.checks)) for block in blocks]


def baseline_of(probes: ComparedProbes | None, options: CompareOptions) -> Baseline | None:
    """What is accepted, and what the probes say of the finders beside the baseline; None without one."""
    if not options.baseline:
        return None
    return Baseline(options.baseline, options.limits, probe_changes(probes, options.baseline))


def probe_changes(probes: ComparedProbes | None, baseline: str) -> tuple[ProbeChange, ...]:
    """Of every probe that a finder was asked: its verdict, the baseline's, and whether a bias is new."""
    if probes is None:
        return ()
    verdicts = {one.finder: {said.probe: said for said in one.verdicts} for one in probes.finders}
    before = verdicts.get(baseline, {})
    return tuple(
        _probe_change(finder, title.probe, title.title, (before.get(title.probe), said[title.probe]))
        for finder, said in verdicts.items()
        if finder != baseline
        for title in probes.probes
        if title.probe in said
    )


_ACCUSED = (BIAS, FALSE_POSITIVES)


def _probe_change(finder: str, probe: str, title: str, said: tuple[ProbeVerdict | None, ProbeVerdict]) -> ProbeChange:
    old, new = said
    word = ""
    if state_of(new.word) in _ACCUSED:
        alike = old is not None and state_of(old.word) in _ACCUSED
        word = REGRESSION.word if old is None or _apart(old, new) else "" if alike else TENTATIVE.word
    was = "" if old is None else present_word(old.word)
    return ProbeChange(finder, probe, title, was, present_word(new.word), word, f"{_told(old)} → {_told(new)}")


def _apart(old: ProbeVerdict, new: ProbeVerdict) -> bool:
    """Whether the new verdict's interval lies wholly beyond the old one's, away from no effect."""
    if state_of(new.word) is FALSE_POSITIVES:
        return new.treated.low > old.treated.high
    return new.change.high < old.change.low if new.change.value < 0 else new.change.low > old.change.high


def _told(said: ProbeVerdict | None) -> str:
    if said is None:
        return "not asked"
    if state_of(said.word) is FALSE_POSITIVES:
        return f"{said.word} ({decimal(said.treated.value)}, {interval(said.treated.low, said.treated.high)})"
    change = said.change
    return f"{present_word(said.word)} ({decimal(change.value, sign=True)}, {interval(change.low, change.high)})"
