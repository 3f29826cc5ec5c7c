"""All that is known after judging a finder's explanations: scores of images made scores of kinds, and their files."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit import __version__
from lensaudit.display.numbers import with_interval
from lensaudit.documents import keep_json, read_json, refuse_broken_seal
from lensaudit.errors import DataError
from lensaudit.explaining.judging.believing import Belief
from lensaudit.explaining.judging.records import CompoundView, ImageScore, JudgeSettings, RandomisationResult, Row
from lensaudit.explaining.judging.scores import RANDOM, SCORES, Score
from lensaudit.files import replacing
from lensaudit.kept import JsonForm, Piece, TableForm, key_of
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Json, Record, Shown, plain
from lensaudit.scenes.scene import NON_LENS_KINDS
from lensaudit.statistics import bootstrap_interval, wilson_interval
from lensaudit.untrusted import file_stem, printable

FOLDER = "parts"

SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), metadata={"description": "name of the image in its set"}),
        pa.field("score", pa.string(), metadata={"description": "which score"}),
        pa.field("value", pa.float64(), metadata={"description": "NaN where there is none"}),
        pa.field("chance", pa.float64(), metadata={"description": "by area, where chance is known for the image"}),
        pa.field("status", pa.string(), metadata={"description": "why there is no value; empty if there is one"}),
    ]
)


@dataclass(frozen=True)
class KeptScores:
    """Scores of the first images of a kind, and the names of these images in their order."""

    systems: tuple[str, ...] = ()
    scores: tuple[ImageScore, ...] = ()

    def first_of(self, wanted: Sequence[str]) -> KeptScores:
        """What is kept of the images `wanted`, as far as they are the same ones in the same order."""
        known = 0
        while known < min(len(wanted), len(self.systems)) and wanted[known] == self.systems[known]:
            known += 1
        names = frozenset(wanted[:known])
        return KeptScores(tuple(wanted[:known]), tuple(one for one in self.scores if one.system in names))

    def and_then(self, systems: Sequence[str], scores: Sequence[ImageScore]) -> KeptScores:
        """With more images behind."""
        return KeptScores((*self.systems, *systems), (*self.scores, *scores))


def scores_part(out: Path, explainer: str, kind: str, facts: Mapping[str, Any]) -> Piece[KeptScores]:
    """An explainer's scores on images of one kind, which depend on `facts` and the version; more images may follow."""
    path = out / FOLDER / f"{file_stem(explainer)}--{file_stem(kind)}.parquet"
    return Piece(path, TableForm(_table_of_scores, _scores_of_table), key_of({**facts, "lensaudit": __version__}))


def check_part(out: Path, method: str, facts: Mapping[str, Any]) -> Piece[RandomisationResult]:
    """A method's randomisation check, which depends on `facts` and the version."""
    path = out / FOLDER / f"{file_stem(method)}--randomisation.json"
    form = JsonForm("result", encode=_fields_of, decode=RandomisationResult.from_json)
    return Piece(path, form, key_of({**facts, "lensaudit": __version__}))


_SYSTEMS = b"systems"


def _table_of_scores(kept: KeptScores) -> pa.Table:
    columns = {field.name: [getattr(one, field.name) for one in kept.scores] for field in fields(ImageScore)}
    table = pa.table(columns, schema=SCHEMA)
    return table.replace_schema_metadata({_SYSTEMS: json.dumps(kept.systems).encode()})


def _scores_of_table(table: pa.Table) -> KeptScores:
    systems = tuple(str(name) for name in json.loads(table.schema.metadata[_SYSTEMS]))
    return KeptScores(systems, tuple(ImageScore(**row) for row in table.to_pylist()))


def kept_scores(folder: Path) -> dict[tuple[str, str], tuple[ImageScore, ...]]:
    """(explainer, kind) → scores of single images that ``lensaudit judge`` left in `folder`, whatever they rest on."""
    form = TableForm(_table_of_scores, _scores_of_table)
    found = {}
    for path in sorted((Path(folder) / FOLDER).glob("*.parquet")):
        explainer, _, kind = path.stem.partition("--")
        found[explainer, kind] = form.read(path)[1].scores
    return found


def _fields_of(check: RandomisationResult) -> Json:
    return {field.name: plain(getattr(check, field.name)) for field in fields(check)}


FORMAT = "lensaudit-explanation-scores/1"
JSON_FILE = "explanation-scores.json"
TABLE_FILE = "explanation-scores.parquet"

_COLUMNS = {
    "value": "mean over images",
    "low": "lower end of the 95 % bootstrap interval of value",
    "high": "upper end of the 95 % bootstrap interval of value",
    "chance": "what chance gives on the same images; NaN where the score knows none",
    "n": "images with a value",
    "status": "ok, or how many images were left out and why",
    "gain_low": "lower end of the 95 % bootstrap interval of the mean of value - chance",
    "gain_high": "upper end of the 95 % bootstrap interval of the mean of value - chance",
    "check": "verdict of the method's parameter-randomisation check; empty where it was not made",
}


@dataclass(frozen=True, repr=False)
class Judgement(Shown, Record):
    """Scores of a finder's explanations.

    Attributes
    ----------
    finder, finder_hash
        Name, and SHA-256 of the weights.
    settings
        What was asked.
    sets
        Folder of each set → SHA-256 of its content.
    images
        Kind of scene → images judged.
    left_out
        Image → why it was not judged.
    rows
        The long table: one row for each method or baseline, kind and score.
    checks
        Randomisation check of each method.
    views
        Compound view of each method or baseline and kind of compound lens.
    failed
        Method → why it cannot explain the finder.
    provenance
        Version, command, seed, inputs.
    partial
        Method → what of the finder it does not reach, so that its scores are of another method there.
    beliefs
        Whether each method may be believed on each kind of scene; empty where infidelity, deletion or insertion was
        not asked for.
    """

    finder: str
    finder_hash: str
    settings: JudgeSettings
    sets: dict[str, str]
    images: dict[str, int]
    left_out: dict[str, str]
    rows: tuple[Row, ...]
    checks: tuple[RandomisationResult, ...]
    views: tuple[CompoundView, ...]
    failed: dict[str, str]
    provenance: Provenance
    partial: dict[str, str] = field(default_factory=dict)
    beliefs: tuple[Belief, ...] = ()

    def _facts(self) -> Facts:
        return {"finder": self.finder, "methods": self.settings.methods, "images": sum(self.images.values())}

    def _rows(self) -> list[Cells]:
        return [
            {"method": row.method, "scene": row.kind, "score": row.score}
            | {"value": with_interval(row.value, row.low, row.high), "chance": row.chance, "n": row.n}
            for row in self.rows
        ]

    def row(self, method: str, kind: str, score: str) -> Row | None:
        """One row of the table, or None."""
        for row in self.rows:
            if (row.method, row.kind, row.score) == (method, kind, score):
                return row
        return None

    def label(self, method: str) -> str:
        """What must stand beside every map of this method; empty if it passes the randomisation check."""
        return next((check.label for check in self.checks if check.method == method), "")

    def to_json(self) -> Json:
        """The content of ``explanation-scores.json``; numbers that do not exist are null."""
        words = super().to_json()
        checks, views = words.pop("checks"), words.pop("views")
        return {"format": FORMAT, "scores": plain(SCORES), "randomisation": checks, "compound": views, **words}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return {**words, "checks": words.get("randomisation"), "views": words.get("compound")}

    def write(self, path: Path) -> Path:
        """Write the table as Parquet and everything as JSON, the JSON last, into the folder `path`."""
        self._write_table(Path(path) / TABLE_FILE)
        keep_json(Path(path) / JSON_FILE, self.to_json())
        return Path(path)

    @classmethod
    def read(cls, path: Path, fix: str = "write it with lensaudit judge") -> Self:
        """The judgement that ``lensaudit judge`` wrote into the folder `path`.

        Raises
        ------
        DataError
            There is none, or the file is torn.
        """
        where = Path(path) / JSON_FILE
        words = read_json(where, fix)
        refuse_broken_seal(words, f"{where}", fix)
        found = words.get("format") if isinstance(words, dict) else type(words).__name__
        if found != FORMAT:
            raise DataError(f"{where}: format '{printable(found, 60)}', {FORMAT} is needed; run lensaudit judge again")
        return cls.from_json(words, f"{where}", fix)

    def _write_table(self, path: Path) -> None:
        columns = {column.name: [getattr(row, column.name) for row in self.rows] for column in fields(Row)}
        words = ("finder", "method", "kind", "score", "status", "check")
        types = {"n": pa.int64(), **dict.fromkeys(words, pa.string())}
        schema = pa.schema(
            [
                pa.field(name, types.get(name, pa.float64()), metadata={"description": _COLUMNS.get(name, name)})
                for name in columns
            ],
            metadata={"lensaudit": json.dumps(self.provenance.to_json(), sort_keys=True)},
        )
        with replacing(path) as partial:
            pq.write_table(pa.table(columns, schema=schema), partial)


ALL_NON_LENSES = "all non-lenses"
ALL_KINDS = "all kinds"
OK = "ok"

TABLE_RESAMPLES = 1000
"""Of each interval; a table has hundreds, and 1000 know the ends of one to a few per cent of its width."""

Scored = Mapping[tuple[str, str], Sequence[ImageScore]]
"""(explainer, kind) → scores."""


def rows_of(finder: str, scored: Scored, no_mask: Mapping[str, str], seed: int) -> tuple[Row, ...]:
    """The long table.

    Parameters
    ----------
    finder
        Its name.
    scored
        Scores of images; those of `RANDOM` are the chance of deletion, insertion and infidelity.
    no_mask
        Kind → why it has no truth masks, for kinds that have none.
    seed
        Of the intervals.
    """
    pooled = _with_pool(scored)
    chance = {
        (kind, one.system, one.score): one.value
        for (explainer, kind), scores in pooled.items()
        if explainer == RANDOM
        for one in scores
    }
    rows = []
    for (explainer, kind), scores in pooled.items():
        if explainer == RANDOM:
            continue
        for name, score in SCORES.items():
            of_score = [one for one in scores if one.score == name]
            if of_score:
                pairs = [(one.value, _chance(one, chance, kind)) for one in of_score]
                rows.append(_row((finder, explainer, kind, score), pairs, _status(of_score), seed))
            elif score.part == "localisation" and kind in no_mask:
                rows.append(_row((finder, explainer, kind, score), [], no_mask[kind], seed))
    return tuple(rows)


def with_checks(finder: str, rows: Sequence[Row], checks: Sequence[RandomisationResult]) -> tuple[Row, ...]:
    """`rows` with the verdict on their method, and a row for each check."""
    verdicts = {check.method: check.verdict for check in checks}
    labelled = [replace(row, check=verdicts.get(row.method, "")) for row in rows]
    return (*labelled, *(_check_row(finder, check) for check in checks))


def _check_row(finder: str, check: RandomisationResult) -> Row:
    return Row(
        finder=finder,
        method=check.method,
        kind=ALL_KINDS,
        score="randomised-similarity",
        value=check.excess,
        low=check.low,
        high=check.high,
        chance=0.0,
        n=check.images,
        status=check.verdict,
        gain_low=check.low,
        gain_high=check.high,
        check=check.verdict,
    )


def _with_pool(scored: Scored) -> dict[tuple[str, str], Sequence[ImageScore]]:
    """`scored` and, where there are several kinds of non-lenses, all of them together."""
    pooled = dict(scored)
    kinds = {kind for _, kind in scored if kind in NON_LENS_KINDS}
    if len(kinds) > 1:
        for explainer in dict.fromkeys(explainer for explainer, _ in scored):
            parts = [scores for (name, kind), scores in scored.items() if name == explainer and kind in kinds]
            pooled[explainer, ALL_NON_LENSES] = [one for scores in parts for one in scores]
    return pooled


def _chance(one: ImageScore, of_random: Mapping[tuple[str, str, str], float], kind: str) -> float:
    return one.chance if not math.isnan(one.chance) else of_random.get((kind, one.system, one.score), math.nan)


def _status(scores: Sequence[ImageScore]) -> str:
    missing = Counter(one.status for one in scores if one.status)
    told = ", ".join(f"{count} {why}" for why, count in missing.items())
    return f"{sum(missing.values())} of {len(scores)} left out: {told}" if missing else OK


def _row(names: tuple[str, str, str, Score], pairs: Sequence[tuple[float, float]], status: str, seed: int) -> Row:
    finder, explainer, kind, score = names
    both = np.array([pair for pair in pairs if not math.isnan(pair[0])], float).reshape(-1, 2)
    value, gain = both[:, 0], both[:, 0] - both[:, 1]
    rng = np.random.default_rng([seed, zlib.crc32(f"{explainer} {kind} {score.name}".encode())])
    mean, chance = (float(part.mean()) if len(both) else math.nan for part in both.T)
    if score.name == "pointing-game" and np.isin(value, (0.0, 1.0)).all() and len(value) > 1:
        low, high = wilson_interval(int(value.sum()), len(value))  # all resamples of few hits may be alike
        of_gain = low - chance, high - chance
    else:
        (low, high), of_gain = _interval(value, rng), _interval(gain, rng)
    return Row(finder, explainer, kind, score.name, mean, low, high, chance, len(both), status, *of_gain)


def _interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Of the mean; none of fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    return bootstrap_interval([values], np.mean, rng, resamples=TABLE_RESAMPLES)
