"""What is measured of each finder of a comparison: scores, probes, explanations; kept under its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.comparing.comparison import (
    ArcFraction,
    ComparedProbes,
    Explained,
    FinderProbes,
    LeftOut,
    NotApplicable,
    ProbeAnswers,
    ProbeTitle,
    ProbeVerdict,
)
from lensaudit.comparing.entrants import CompareOptions, Entrant
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import METHODS, JudgeSettings, Watcher, judge
from lensaudit.explaining.judging.judge import tasks_left
from lensaudit.explaining.judging.sample import kinds_of
from lensaudit.finders import Finder, Scores, score_set
from lensaudit.kept import JsonForm, Piece
from lensaudit.lensset import LensSet
from lensaudit.probes import OnHosts, ProbeAudit, ProbeDefinition, ProbeOptions, Ranked, run_audit, why_not_applicable
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.definition import refuse_idle
from lensaudit.probes.elsewhere import reading_drawn, seen_by, why_no_scene
from lensaudit.probes.on_hosts import on_hosts
from lensaudit.report.options import key_of, scores_piece, short_name
from lensaudit.scenes.scene import LENS_KINDS
from lensaudit.spread import StageProgress
from lensaudit.verdicts import STATES

SCORES_FOLDER = "scores"


@dataclass(frozen=True)
class FirstImages:
    """The first `n` images of a set, as scoring reads them; all where there are no more."""

    lens_set: LensSet
    n: int | None = None

    def __len__(self) -> int:
        return len(self.lens_set) if self.n is None else min(self.n, len(self.lens_set))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lens_set, name)

    @property
    def content_hash(self) -> str:
        """Of the whole set."""
        return self.lens_set.content_hash

    @property
    def ids(self) -> list[str]:
        """Names of the images."""
        return self.lens_set.ids[: len(self)]

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (n,)."""
        return self.lens_set.labels[: len(self)]

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (n,)."""
        found: NDArray[Any] = self.lens_set.column(name)[: len(self)]
        return found


def scored(
    entrant: Entrant, images: FirstImages, out: Path, options: CompareOptions, progress: StageProgress
) -> Scores:
    """Scores of the images, from an earlier run where weights, recipe, set and version are the same."""
    told = partial(progress, f"{entrant.label} on {images.lens_set.path.name}")
    return scores_of(entrant, images, out).or_made(
        lambda: score_set(entrant.finder, images, batch_size=options.batch, progress=told)
    )


def scores_of(entrant: Entrant, images: FirstImages, out: Path) -> Piece[Scores]:
    """The scores of the images by a finder, as they lie in `out`."""
    key = key_of(entrant.finder, images.lens_set, n=len(images))
    return scores_piece(entrant.finder, images, Path(out) / SCORES_FOLDER / f"{key[:32]}.parquet", key)


PROBES_FOLDER = "probes"
KEPT = "verdicts.json"


def compared_probes(
    entrants: Sequence[Entrant], out: Path, options: CompareOptions, progress: StageProgress
) -> ComparedProbes | None:
    """Ask each finder about the probes that apply to it; None where none was asked for."""
    if not options.probes:
        return None
    definitions = audited_probes(options.probes, options.sources)
    hosts = None if options.hosts is None else options.hosts.chosen(options.probe_n, options.seed, options.workers)
    return ComparedProbes(
        n=options.probe_n if hosts is None else hosts.n,
        seed=options.seed,
        probes=tuple(ProbeTitle(one.name, one.title, one.nature) for one in definitions),
        finders=tuple(_asked(entrant, hosts, Path(out), options, progress) for entrant in entrants),
        hosts=None if hosts is None else hosts.used,
    )


def check_probes(options: CompareOptions) -> None:
    """Raise what is wrong with the probes and hosts that are asked for, before the work starts."""
    if options.probes:
        asked = audited_probes(options.probes, options.sources)
        refuse_idle(asked, options.sources, hosts=options.hosts is not None)
    if options.hosts is not None:
        if not options.probes:
            raise UsageError("--hosts: probes are asked on them, and none are asked for; leave it out")
        options.hosts.check()


def probe_folder(out: Path, entrant: Entrant) -> Path:
    """Where what a finder said to the probes lies in the folder of the comparison."""
    return out / PROBES_FOLDER / short_name(f"{entrant.label} {entrant.finder.weights_hash}")


def _asked(
    entrant: Entrant, hosts: OnHosts | None, out: Path, options: CompareOptions, progress: StageProgress
) -> FinderProbes:
    finder = _prober(entrant, hosts, options)
    definitions = [
        seen_by(one, finder, options.seen_by) if hosts is None else on_hosts(one, hosts)
        for one in audited_probes(options.probes, options.sources)
    ]
    on: dict[str, Any] = {} if hosts is None else {"hosts": [repr(hosts), hosts.inputs]}
    on |= {"resample": True} if hosts is None and finder.resamples else {}  # without, other probes apply
    key = key_of(
        finder,
        probes=[one.model_dump(mode="json") for one in definitions],
        inputs=[[dict(arm.inputs) for arm in one.arms()] for one in definitions],
        n=options.probe_n,
        seed=options.seed,
        states=[state.word for state in STATES],
        **on,
    )
    place = probe_folder(out, entrant)
    form = JsonForm("said", encode=ProbeAnswers.to_json, decode=ProbeAnswers.from_json)
    piece: Piece[ProbeAnswers] = Piece(place / KEPT, form, key)
    said = piece.or_made(lambda: _audited(entrant, hosts, definitions, place, (options, progress)))
    return FinderProbes(said.verdicts, said.not_applicable, finder=entrant.label)


def _prober(entrant: Entrant, hosts: OnHosts | None, options: CompareOptions) -> Finder:
    """The finder as probes ask it: scenes are drawn in the field that it was trained on, hosts are as they are."""
    return reading_drawn(entrant.finder, options.seen_by) if hosts is None else entrant.finder


def _audited(
    entrant: Entrant,
    hosts: OnHosts | None,
    definitions: Sequence[ProbeDefinition],
    place: Path,
    how: tuple[CompareOptions, StageProgress],
) -> ProbeAnswers:
    options, progress = how
    finder = _prober(entrant, hosts, options)
    if hosts is None:
        reasons = {one.name: why_not_applicable(one, finder) or why_no_scene(one) for one in definitions}
    else:
        reasons = {
            one.name: why_not_applicable(one, finder, hosts.fields) or _not_there(hosts, one) for one in definitions
        }
    refused = {name: why for name, why in reasons.items() if why}
    asked = [word for word, one in zip(options.probes, definitions, strict=True) if one.name not in refused]
    if not asked:
        return ProbeAnswers((), _listed(refused))
    told = partial(_told, progress, entrant.label)
    settings = ProbeOptions(
        workers=options.workers,
        batch=options.batch,
        hosts=hosts,
        instrument=None if hosts is not None else options.seen_by,
        sources=options.sources if any(one.textured and one.name not in refused for one in definitions) else None,
    )
    audit: ProbeAudit = run_audit(finder, options.probe_n, options.seed, place, asked, settings, told)
    instruments = {one.name: one.instrument if hosts is None else f"hosts of {hosts.name}" for one in definitions}
    verdicts = tuple(_verdict(one, instruments[one.probe]) for one in audit.ranked)
    return ProbeAnswers(verdicts, _listed(refused | audit.not_applicable))


def _not_there(hosts: OnHosts, definition: ProbeDefinition) -> str | None:
    reason = hosts.why_not(definition)
    return None if reason is None else f"not on hosts: it {reason}"


def _verdict(one: Ranked, instrument: str) -> ProbeVerdict:
    """What the page says of one probe."""
    finding = one.finding
    return ProbeVerdict(
        probe=one.probe,
        word=one.verdict.word,
        sentence=one.verdict.sentence,
        meaning=one.meaning,
        dose=finding.dose,
        population=finding.population,
        n=finding.n,
        change=finding.recall_change,
        treated=finding.treated,
        p_holm=finding.p_holm,
        instrument=instrument,
        needed=one.verdict.needed,
    )


def _listed(refused: dict[str, str]) -> tuple[NotApplicable, ...]:
    return tuple(NotApplicable(name, why) for name, why in refused.items())


def _told(progress: StageProgress, label: str, what: str, done: int, total: int) -> None:
    progress(f"{label}, {what.split(':')[0]}", done, total)


EXPLANATIONS_FOLDER = "explanations"
POSITIVE_FRACTION = "positive-share"
WITHOUT_GRADIENT = ("occlusion",)
"""Methods that only ask the finder for scores."""


def methods_for(finder: Finder, methods: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `methods` that can explain the finder: all, or those without gradients where it has none."""
    return methods if finder.differentiable else tuple(name for name in methods if name in WITHOUT_GRADIENT)


def judged(
    entrant: Entrant, lens_set: LensSet, out: Path, options: CompareOptions, progress: StageProgress
) -> Explained:
    """Fraction of the positive attribution on the lensed light, by method and kind of lens, or why there is none."""
    methods = methods_for(entrant.finder, options.methods)
    why = _why_not(lens_set, methods)
    if why:
        return Explained(entrant.label, (), (), why)
    settings, place = _settings(lens_set, methods, options), _place(entrant, lens_set, out)
    told = f"{entrant.label} explained on {lens_set.path.name}"
    try:
        found = judge(
            entrant.finder,
            [lens_set],
            place,
            settings,
            Watcher(progress=lambda done, of: progress(told, 100 * done // max(of, 1), 100)),
        )
    except DataError as error:
        return Explained(entrant.label, (), (), str(error))
    rows = tuple(
        ArcFraction(
            method=row.method,
            kind=row.kind,
            value=row.value,
            low=row.low,
            high=row.high,
            chance=row.chance,
            n=row.n,
            status=row.status,
            gain_low=row.gain_low,
            gain_high=row.gain_high,
            title=METHODS[row.method].title,
        )
        for row in found.rows
        if row.score == POSITIVE_FRACTION and row.method in methods
    )
    return Explained(entrant.label, rows, tuple(LeftOut(name, why) for name, why in found.failed.items()), "")


def fraction_left(entrant: Entrant, lens_set: LensSet, out: Path, options: CompareOptions) -> float:
    """Of the explanations of a finder on a set, the fraction that no earlier run into `out` has finished."""
    methods, place = methods_for(entrant.finder, options.methods), _place(entrant, lens_set, out)
    if _why_not(lens_set, methods):
        return 0.0
    if not place.is_dir():
        return 1.0
    try:
        left, of = tasks_left(entrant.finder, [lens_set], place, _settings(lens_set, methods, options))
    except DataError:  # the comparison itself says why
        return 0.0
    return left / max(1, of)


def _settings(lens_set: LensSet, methods: tuple[str, ...], options: CompareOptions) -> JudgeSettings:
    kinds = tuple(kind for kind, _ in _lens_kinds(lens_set))
    return JudgeSettings(
        methods=methods, parts=("localisation",), per_kind=options.explanations, seed=options.seed, kinds=kinds
    )


def _place(entrant: Entrant, lens_set: LensSet, out: Path) -> Path:
    return (
        Path(out)
        / EXPLANATIONS_FOLDER
        / short_name(f"{entrant.label} {entrant.finder.weights_hash} {lens_set.content_hash}")
    )


def main_kind(lens_set: LensSet) -> str | None:
    """The kind of lens the set has most of; None without any."""
    kinds = _lens_kinds(lens_set)
    return max(kinds, key=lambda kind: kind[1])[0] if kinds else None


def _lens_kinds(lens_set: LensSet) -> list[tuple[str, int]]:
    """Kinds of lenses in the set with their numbers, in the order of the house."""
    counted = Counter(kinds_of(lens_set))
    return [(kind, counted[kind]) for kind in (*LENS_KINDS, "lens") if counted[kind]]


def _why_not(lens_set: LensSet, methods: tuple[str, ...]) -> str:
    if not lens_set.has_truth:
        return "the set has no truth to score explanations by: it was ingested, not simulated"
    if not _lens_kinds(lens_set):
        return "the set has no lens"
    if not methods:
        return f"it has no gradient, and only {', '.join(WITHOUT_GRADIENT)} explains without one; add it with --method"
    return ""
