"""Which method to look at first on a kind of scene: what a judgement of this finder says, else what ours of many say.

``believed.json`` beside this file holds, finder by finder, which methods `lensaudit.explaining.judging.believing` found
believable; it is the one place of our recommendation, and ``benchmarks/explanation_scores.py`` writes it. A method is
recommended for a kind of scene where it is believable in so many of the finders judged that the lower end of the 95 %
interval of their fraction (Wilson) lies above one half: of another finder one would sooner believe it than not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lensaudit.display.numbers import decimal, plural
from lensaudit.documents import read_json
from lensaudit.errors import DataError
from lensaudit.explaining.judging.believing import BELIEVABLE, FEW, NO_BETTER, POOLS, UNDECIDED, Belief
from lensaudit.explaining.judging.judgement import Judgement
from lensaudit.records import Record
from lensaudit.scenes.scene import LENS_KINDS, NON_LENS_KINDS
from lensaudit.statistics import wilson_interval

FILE = Path(__file__).with_name("believed.json")
HALF = 0.5
ALL_LENSES, ALL_NON_LENSES = POOLS
OF_LABEL = {1: "lens", 0: "non-lens", -1: "unlabelled"}
BLIND = "maps that know no finder"
ELSEWHERE = "whose map is not among these"


@dataclass(frozen=True)
class Found(Record):
    """Methods by their verdict on one finder and kind of scene, the lowest infidelity first.

    Attributes
    ----------
    n
        Images.
    believable, no_better, undecided
        Names of methods.
    amount, order
        Those that beat all rivals in infidelity, and in insertion less deletion, whatever their verdict.
    """

    n: int
    believable: tuple[str, ...] = ()
    no_better: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    amount: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """All that were judged."""
        return (*self.believable, *self.no_better, *self.undecided)


@dataclass(frozen=True)
class JudgedFinder(Record):
    """What was found of one finder: its name, SHA-256 of its weights, and kind of scene → `Found`."""

    name: str
    hash: str
    kinds: dict[str, Found]


def found_of(beliefs: Sequence[Belief]) -> dict[str, Found]:
    """Kind → methods by verdict, of the kinds with images enough."""
    kinds = {}
    for kind in dict.fromkeys(one.kind for one in beliefs):
        here = [one for one in beliefs if one.kind == kind and one.verdict != FEW]
        here.sort(key=lambda one: one.infidelity)
        if here:
            kinds[kind] = Found(
                n=max(one.n for one in here),
                believable=tuple(one.method for one in here if one.verdict == BELIEVABLE),
                no_better=tuple(one.method for one in here if one.verdict == NO_BETTER),
                undecided=tuple(one.method for one in here if one.verdict == UNDECIDED),
                amount=tuple(one.method for one in here if one.amount.holds),
                order=tuple(one.method for one in here if one.order.holds),
            )
    return kinds


def kind_of(lens_set: Any, index: int) -> str:
    """Kind of scene of an image of a set, or what its label says where the set tells no kinds."""
    if "kind" in getattr(lens_set, "columns", ()):
        return str(lens_set.column("kind")[index])
    return OF_LABEL.get(int(lens_set.labels[index]), "unlabelled")


_FIX = "run lensaudit judge with deletion, insertion, infidelity and randomisation for it"


def found_in(folder: Path, finder: str, finder_hash: str) -> dict[str, Found]:
    """What ``lensaudit judge`` found of a finder, from the folder it wrote.

    Raises
    ------
    DataError
        There is no result, it is of another finder, or it says of no method whether it may be believed.
    """
    judged = Judgement.read(folder, _FIX)
    if judged.finder_hash != finder_hash:
        raise DataError(f"{folder}: is of another finder ({judged.finder}) than {finder} with these weights; {_FIX}")
    found = found_of(judged.beliefs)
    if not found:
        raise DataError(f"{folder}: says of no method whether it may be believed; {_FIX}")
    return found


@dataclass(frozen=True)
class Count:
    """In how many finders a method is believable for a kind of scene.

    Attributes
    ----------
    method
        Its name.
    believable, no_better, finders
        Finders in which it is, in which it is shown not to be, and all in which it was judged.
    amount, order
        Finders in which it beats the rivals in infidelity, and in insertion less deletion.
    low, high
        95 % Wilson interval of the fraction of finders.
    """

    method: str
    believable: int
    no_better: int
    finders: int
    amount: int
    order: int
    low: float
    high: float

    @property
    def words(self) -> str:
        """``believable in 3 of 5 finders (0.23–0.88)``."""
        interval = f"{decimal(self.low, 2)}–{decimal(self.high, 2)}"
        return f"believable in {self.believable} of {plural(self.finders, 'finder')} ({interval})"


@dataclass(frozen=True)
class Study(Record):
    """Finders judged by us, and when and by which version.

    Attributes
    ----------
    made
        Day, as ``2026-11-27``.
    version
        Of lensaudit.
    finders
        All of them.
    """

    made: str
    version: str
    finders: tuple[JudgedFinder, ...]

    def counts(self, kind: str) -> tuple[Count, ...]:
        """Every method that was judged on the kind, the one believable in most finders first."""
        found = [finder.kinds[kind] for finder in self.finders if kind in finder.kinds]
        methods = dict.fromkeys(name for one in found for name in one.methods)
        counts = [_count(name, [one for one in found if name in one.methods]) for name in methods]
        return tuple(sorted(counts, key=lambda one: (-one.believable / one.finders, -one.amount - one.order)))

    def recommended(self, kind: str, among: Collection[str] | None = None) -> Count | None:
        """The method, `among` these, to look at first; None where none is believable in enough finders."""
        counts = [one for one in self.counts(kind) if among is None or one.method in among]
        return counts[0] if counts and counts[0].low > HALF else None


def _count(method: str, found: Sequence[Found]) -> Count:
    believable = sum(method in one.believable for one in found)
    low, high = wilson_interval(believable, len(found))
    return Count(
        method=method,
        believable=believable,
        no_better=sum(method in one.no_better for one in found),
        finders=len(found),
        amount=sum(method in one.amount for one in found),
        order=sum(method in one.order for one in found),
        low=low,
        high=high,
    )


@cache
def our_study() -> Study:
    """What came with this version of lensaudit."""
    return Study.from_json(read_json(FILE, "install lensaudit again"), f"{FILE}", "install lensaudit again")


@dataclass(frozen=True)
class Advice(Record):
    """Which method to look at first on a kind of scene, and why.

    Attributes
    ----------
    kind
        Of scene.
    method
        Empty for none: then maps are pictures only.
    why
        One sentence with the numbers.
    doubts
        Method → why its maps of this kind are not to be believed.
    """

    kind: str
    method: str
    why: str
    doubts: dict[str, str] = field(default_factory=dict)

    def order(self, methods: Sequence[str]) -> tuple[str, ...]:
        """`methods` with the one to look at first in front."""
        return tuple(sorted(methods, key=lambda name: name != self.method))

    @property
    def sentence(self) -> str:
        """``single: look at occlusion first (believable in 5 of 5 finders …).``"""
        if self.method:
            return f"{self.kind}: look at {self.method} first ({self.why})."
        return f"{self.kind}: believe none, the maps are pictures only ({self.why})."


def advise(
    kind: str,
    finder_hash: str,
    own: Mapping[str, Found] | None = None,
    study: Study | None = None,
    among: Collection[str] | None = None,
) -> Advice:
    """Advice for one kind of scene: measured on this finder by the user, else by us, else on other finders by us.

    Parameters
    ----------
    kind
        Kind of scene, ``lens``, ``non-lens``, or anything else for an image of which nothing is known.
    finder_hash
        SHA-256 of the finder's weights.
    own
        Of a judgement of this finder, see `found_of`.
    study
        By default `our_study`.
    among
        Methods whose maps are there; by default all. No other is named to be looked at first.
    """
    study = study or our_study()
    ours = next((finder.kinds for finder in study.finders if finder.hash == finder_hash), {})
    wanted = _as_judged(kind)
    for measured, by in ((own or {}, "by your judgement of this finder"), (ours, "as we judged this finder")):
        if all(one in measured for one in wanted):
            return _of_finder(kind, [measured[one] for one in wanted], by, among)
    return _of_study(kind, wanted, study, among)


def _as_judged(kind: str) -> tuple[str, ...]:
    """Kinds in the tables that must agree."""
    if kind in (*LENS_KINDS, *NON_LENS_KINDS, *POOLS):
        return (kind,)
    return {"lens": (ALL_LENSES,), "non-lens": (ALL_NON_LENSES,)}.get(kind, (ALL_LENSES, ALL_NON_LENSES))


def _of_finder(kind: str, found: Sequence[Found], by: str, among: Collection[str] | None) -> Advice:
    agreed = [name for name in found[0].believable if all(name in one.believable for one in found)]
    images = f"{by} ({plural(min(one.n for one in found), 'image')})"
    doubts: dict[str, str] = {}
    for one in found:
        doubts |= dict.fromkeys(one.no_better, f"no better than {BLIND}, {images}")
        doubts |= dict.fromkeys(one.undecided, f"not shown to be better than {BLIND}, {images}")
    better = f"better than {BLIND} in amount and in order, {images}"
    if first := next((name for name in agreed if among is None or name in among), ""):
        return Advice(kind, first, better, doubts)
    if agreed:
        return Advice(kind, "", f"{agreed[0]}, {ELSEWHERE}, is {better}", doubts)
    return Advice(kind, "", f"no method is shown to be better than {BLIND}, {images}", doubts)


def _agreed(found: Iterable[Count | None]) -> Count | None:
    """The first, where all are of one method."""
    every = list(found)
    return every[0] if len({one and one.method for one in every}) == 1 else None


def _of_study(kind: str, wanted: Sequence[str], study: Study, among: Collection[str] | None) -> Advice:
    best = _agreed(study.recommended(one, among) for one in wanted)
    other = _agreed(study.recommended(one) for one in wanted)
    counts = study.counts(wanted[0])
    if best is not None:
        why = f"{best.words}, judged on {wanted[0]}"
    elif other is not None:
        why = f"{other.method}, {ELSEWHERE}, is {other.words}, judged on {wanted[0]}"
    elif counts and counts[0].believable:
        why = f"no method is believable in enough finders: {counts[0].method} comes first, {counts[0].words}"
    elif counts:
        why = f"no method is believable in any of {plural(counts[0].finders, 'finder')} judged on {wanted[0]}"
    else:
        why = "no finder was judged on this kind of scene"
    named = {one.method for one in (best, other) if one is not None}
    doubts = {one.method: one.words for one in counts if one.method not in named}
    return Advice(kind, "" if best is None else best.method, why, doubts)
