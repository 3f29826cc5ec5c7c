"""``compare.json``: the comparison as records; and ``speed.json``, which another run writes otherwise.

A number that is not defined is ``null`` and has a ``status`` beside it that says why. The digest of a file is over all
else in it: what was changed by hand is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os.path import lexists
from pathlib import Path

from lensaudit.comparing.entrants import ComparedFinder, CompareOptions
from lensaudit.comparing.pairs import Pair, Place
from lensaudit.comparing.regression import Baseline, Check
from lensaudit.documents import read_json, refuse_broken_seal, sealed
from lensaudit.errors import DataError, NoSuchFile
from lensaudit.evaluation import Calibration, Metric, RocBand
from lensaudit.files import write_json
from lensaudit.probes.finding import Change, Recall
from lensaudit.probes.result import HostsUsed
from lensaudit.provenance import Pixels, Provenance
from lensaudit.records import Json, Number, Record
from lensaudit.report.schema import AuditedSet
from lensaudit.statistics import Confusion
from lensaudit.untrusted import printable

SCHEMA = 1
COMPARISON_NAME = "compare.json"
SPEED_NAME = "speed.json"
PAGE_NAME = "compare.html"
FIX = "run lensaudit compare again"


@dataclass(frozen=True)
class ComparedSet(AuditedSet):
    """The set, without the command that made it, which may hold paths of the machine it was made on."""

    def to_json(self) -> Json:
        """As `AuditedSet`, less ``made_by``."""
        words = super().to_json()
        del words["made_by"]
        return words


@dataclass(frozen=True, eq=False)
class FinderOnSet(Record):
    """What was measured of one finder on one set.

    Attributes
    ----------
    finder
        Its label.
    n, n_lenses, n_non_lenses, n_unlabelled, n_unscored
        Images it is measured on, and those left out.
    threshold, counts
        Its own threshold on p, and the calls there.
    roc
        None with one class only.
    metrics
        Name → number with interval, as `lensaudit.evaluation.evaluate` names them.
    calibration
        Whether its p means what it says.
    seen
        ``training`` or ``validation`` where the finder learnt from this very set; empty else.
    unused_bands
        Of the set, that the finder does not look at.
    other_pixels
        In which band the set's pixels are not those of its training; empty for none.
    pixels
        Units and fractions clipped; None in comparisons of earlier versions.
    """

    finder: str
    n: int
    n_lenses: int
    n_non_lenses: int
    n_unlabelled: int
    n_unscored: int
    threshold: float
    counts: Confusion
    roc: RocBand | None
    metrics: dict[str, Metric]
    calibration: Calibration
    seen: str
    unused_bands: tuple[str, ...]
    other_pixels: str
    pixels: Pixels | None = None


@dataclass(frozen=True)
class Refused(Record):
    """A finder that cannot take the set as input, and why."""

    finder: str
    why: str


@dataclass(frozen=True)
class ArcFraction(Record):
    """Fraction of the positive attribution on the lensed light of one kind of lens; `gain` is value − `chance`."""

    method: str
    kind: str
    value: Number
    low: Number
    high: Number
    chance: Number
    n: int
    status: str
    gain_low: Number
    gain_high: Number
    title: str


@dataclass(frozen=True)
class LeftOut(Record):
    """A method that could not explain the finder."""

    method: str
    why: str


@dataclass(frozen=True)
class Explained(Record):
    """Scores of one finder's explanations by method and kind; `why` says why there is none."""

    finder: str
    rows: tuple[ArcFraction, ...]
    left_out: tuple[LeftOut, ...]
    why: str


@dataclass(frozen=True)
class SetComparison(Record):
    """Finders beside each other on one set.

    Attributes
    ----------
    set, n
        What it is, and how many of its images are compared on.
    rows, refused
        What was measured of the finders that can take the set as input, and why the others cannot.
    n_compared
        Labelled images that every finder could score: those of `pairs` and `ranking`.
    explanations
        Empty where none was asked for.
    main_kind
        The kind of lens the set has most of; None without any.
    checks
        Finders against the baseline, group by group; empty without one, as in comparisons of earlier versions.
    """

    set: ComparedSet
    n: int
    rows: tuple[FinderOnSet, ...]
    refused: tuple[Refused, ...]
    n_compared: int
    pairs: tuple[Pair, ...]
    ranking: tuple[Place, ...]
    explanations: tuple[Explained, ...]
    main_kind: str | None
    checks: tuple[Check, ...] = ()

    def to_json(self) -> Json:
        """The fields; without ``checks`` where there are none, as ever."""
        words = super().to_json()
        if not self.checks:
            del words["checks"]
        return words

    @property
    def ranked(self) -> tuple[FinderOnSet, ...]:
        """The rows in the order of the ranking."""
        rows = {row.finder: row for row in self.rows}
        return tuple(rows[one.finder] for one in self.ranking)


@dataclass(frozen=True)
class ProbeTitle(Record):
    """A probe that was asked for."""

    probe: str
    title: str
    nature: str


@dataclass(frozen=True)
class ProbeVerdict(Record):
    """Leading finding of a probe, corrected over all findings of this finder.

    Attributes
    ----------
    word, sentence, meaning, needed
        The verdict, why, what it means for a survey, and the pairs that would settle it, if any would.
    dose
        Strength of the treated arm; None where there is one such arm only.
    change, treated
        Change of recall, and the fraction of the treated arm called a lens.
    """

    probe: str
    word: str
    sentence: str
    meaning: str
    dose: float | None
    population: str
    n: int
    change: Change
    treated: Recall
    p_holm: Number
    instrument: str
    needed: int | None = None


@dataclass(frozen=True)
class NotApplicable(Record):
    """A probe that the finder cannot be asked."""

    probe: str
    why: str


@dataclass(frozen=True)
class ProbeAnswers(Record):
    """What probing showed of one finder."""

    verdicts: tuple[ProbeVerdict, ...]
    not_applicable: tuple[NotApplicable, ...]


@dataclass(frozen=True)
class FinderProbes(ProbeAnswers):
    """The same with the finder's label."""

    finder: str = field(kw_only=True)


@dataclass(frozen=True)
class ComparedProbes(Record):
    """The same probes of every finder: `n` pairs of each population, drawn from `seed`, or on `hosts`."""

    n: int
    seed: int
    probes: tuple[ProbeTitle, ...]
    finders: tuple[FinderProbes, ...]
    hosts: HostsUsed | None = None


@dataclass(frozen=True)
class Speed(Record):
    """Images per second of preparing and scoring cutouts that lie in memory: median and range over the repeats."""

    finder: str
    images_per_s: float
    lowest: float
    highest: float
    repeats: int
    images: int
    batch: int
    device: str
    threads: int


@dataclass(frozen=True)
class _Speeds(Record):
    schema: int
    finders: tuple[Speed, ...]


@dataclass(frozen=True)
class Comparison(Record):
    """Finders compared on sets; all of ``compare.json`` but its digest, and what ``speed.json`` says.

    Attributes
    ----------
    schema
        Version of the layout.
    finders, sets, probes
        What each finder is, what was measured on each set, and verdicts of probes; None where none was asked for.
    options, provenance
        What the numbers depend on: settings; versions, command line, seed, hashes of finders and sets.
    speed
        Empty where it was not measured; of one run, and so in a file of its own.
    baseline
        What the others are compared with, group by group; None where nothing is, as in comparisons of earlier versions.
    """

    schema: int
    finders: tuple[ComparedFinder, ...]
    sets: tuple[SetComparison, ...]
    probes: ComparedProbes | None
    options: CompareOptions
    provenance: Provenance
    speed: tuple[Speed, ...] = ()
    baseline: Baseline | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """Those of all sets."""
        return tuple(check for block in self.sets for check in block.checks)

    def to_json(self) -> Json:
        """What ``compare.json`` holds: without speed, so that the same command writes the same bytes."""
        words = super().to_json()
        del words["speed"]
        if self.baseline is None:
            del words["baseline"]
        return words

    def write(self, folder: Path) -> Path:
        """Write ``compare.json``, and ``speed.json`` where speed was measured, into `folder`; returns the former."""
        path = Path(folder) / SPEED_NAME
        path.unlink(missing_ok=True)  # of another run, perhaps of other finders
        if self.speed:
            write_json(path, sealed(_Speeds(SCHEMA, self.speed).to_json()))
        write_json(Path(folder) / COMPARISON_NAME, sealed(self.to_json()))
        return Path(folder) / COMPARISON_NAME

    @classmethod
    def read(cls, folder: Path, fix: str = FIX) -> Comparison:
        """The comparison in `folder`.

        Raises
        ------
        UsageError
            The folder holds no ``compare.json``.
        DataError
            A file is not JSON, has another schema, was changed, or a field is missing or wrong.
        """
        path, speed = Path(folder) / COMPARISON_NAME, Path(folder) / SPEED_NAME
        if not path.is_file():
            raise NoSuchFile(f"{folder}: holds no {COMPARISON_NAME}; name a folder that lensaudit compare wrote")
        comparison = cls.from_json(_words(path, fix), f"{path}", fix)
        if not lexists(speed):
            return comparison
        return replace(comparison, speed=_Speeds.from_json(_words(speed, fix), f"{speed}", fix).finders)


def _words(path: Path, fix: str) -> Json:
    record = read_json(path, fix)
    found = record.get("schema") if isinstance(record, dict) else None
    if found != SCHEMA:
        raise DataError(f"{path}: schema is {printable(found, 60)}, this version reads {SCHEMA}; {fix}")
    refuse_broken_seal(record, f"{path}", fix)
    return record
