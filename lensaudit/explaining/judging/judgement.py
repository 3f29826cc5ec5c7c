"""All that is known after judging a finder's explanations: numbers first, pictures and pages are made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit import __version__
from lensaudit.display.numbers import with_interval
from lensaudit.documents import keep_json, read_json, refuse_broken_seal
from lensaudit.errors import DataError, LensauditError
from lensaudit.explaining.judging.attributor import JudgeSettings
from lensaudit.explaining.judging.compound_view import CompoundView, SourceShare
from lensaudit.explaining.judging.image_scores import ImageScore
from lensaudit.explaining.judging.randomisation import RandomisationResult, RandomisedStep
from lensaudit.explaining.judging.scores import SCORES
from lensaudit.explaining.judging.table import Row
from lensaudit.files import replacing
from lensaudit.kept import JsonForm, Piece, TableForm, key_of
from lensaudit.notebook import Cells, Facts, Shown
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


def scores_part(out: Path, explainer: str, kind: str, facts: Mapping[str, Any]) -> Piece[tuple[ImageScore, ...]]:
    """An explainer's scores on the images of one kind, which depend on `facts` and the version."""
    path = out / FOLDER / f"{file_stem(explainer)}--{file_stem(kind)}.parquet"
    return Piece(path, TableForm(_table_of_scores, _scores_of_table), key_of({**facts, "lensaudit": __version__}))


def check_part(out: Path, method: str, facts: Mapping[str, Any]) -> Piece[RandomisationResult]:
    """A method's randomisation check, which depends on `facts` and the version."""
    path = out / FOLDER / f"{file_stem(method)}--randomisation.json"
    form = JsonForm("result", encode=lambda result: without_nan(asdict(result)), decode=check_of)
    return Piece(path, form, key_of({**facts, "lensaudit": __version__}))


def _table_of_scores(scores: Sequence[ImageScore]) -> pa.Table:
    columns = {field.name: [getattr(one, field.name) for one in scores] for field in fields(ImageScore)}
    return pa.table(columns, schema=SCHEMA)


def _scores_of_table(table: pa.Table) -> tuple[ImageScore, ...]:
    return tuple(ImageScore(**row) for row in table.to_pylist())


def check_of(record: Mapping[str, Any]) -> RandomisationResult:
    """A randomisation check from its JSON; null becomes NaN."""
    words = {field.name: record[field.name] for field in fields(RandomisationResult)}
    steps = tuple(RandomisedStep(**with_nan(step)) for step in record["steps"])
    return RandomisationResult(**{**with_nan(words), "steps": steps})


def with_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with NaN for null, the way back of `without_nan`."""
    return {key: float("nan") if value is None else value for key, value in record.items()}


def without_nan(value: Any) -> Any:
    """`value` with NaN and infinities as None, and tuples as lists, as JSON wants it."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


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
class Judgement(Shown):
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
    """

    finder: str
    finder_hash: str
    settings: JudgeSettings
    sets: Mapping[str, str]
    images: Mapping[str, int]
    left_out: Mapping[str, str]
    rows: tuple[Row, ...]
    checks: tuple[RandomisationResult, ...]
    views: tuple[CompoundView, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    partial: Mapping[str, str] = field(default_factory=dict)

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

    def to_json(self) -> dict[str, Any]:
        """The content of ``explanation-scores.json``; numbers that do not exist are null."""
        record = {
            "format": FORMAT,
            "finder": self.finder,
            "finder_hash": self.finder_hash,
            "settings": self.settings.to_json(),
            "sets": dict(self.sets),
            "images": dict(self.images),
            "left_out": dict(self.left_out),
            "scores": {score.name: asdict(score) for score in SCORES.values()},
            "rows": [asdict(row) for row in self.rows],
            "randomisation": [check.to_json() for check in self.checks],
            "compound": [view.to_json() for view in self.views],
            "failed": dict(self.failed),
            "partial": dict(self.partial),
            "provenance": dict(self.provenance),
        }
        plain: dict[str, Any] = without_nan(record)
        return plain

    def write(self, out: Path) -> tuple[str, str]:
        """Write the table as Parquet and everything as JSON, the JSON last; their names."""
        self._write_table(out / TABLE_FILE)
        keep_json(out / JSON_FILE, self.to_json())
        return TABLE_FILE, JSON_FILE

    def _write_table(self, path: Path) -> None:
        columns = {column.name: [getattr(row, column.name) for row in self.rows] for column in fields(Row)}
        words = ("finder", "method", "kind", "score", "status", "check")
        types = {"n": pa.int64(), **dict.fromkeys(words, pa.string())}
        schema = pa.schema(
            [
                pa.field(name, types.get(name, pa.float64()), metadata={"description": _COLUMNS.get(name, name)})
                for name in columns
            ],
            metadata={"lensaudit": json.dumps(dict(self.provenance), sort_keys=True)},
        )
        with replacing(path) as partial:
            pq.write_table(pa.table(columns, schema=schema), partial)


def read_judgement(folder: Path) -> Judgement:
    """The judgement that ``lensaudit judge`` wrote into `folder`.

    Raises
    ------
    DataError
        There is none, or the file is torn.
    """
    path = Path(folder) / JSON_FILE
    record = read_json(path, "write it with lensaudit judge")
    refuse_broken_seal(record, f"{path}", "write it with lensaudit judge")
    try:
        if record["format"] != FORMAT:
            raise DataError(f"{path}: format '{record['format']}', {FORMAT} is needed; run lensaudit judge again")
        return _judgement(record)
    except LensauditError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as broken:
        raise DataError(f"{path}: no judgement ({printable(broken, 100)}); write it with lensaudit judge") from broken


def _judgement(record: Mapping[str, Any]) -> Judgement:
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record["settings"].items()
    }
    return Judgement(
        finder=record["finder"],
        finder_hash=record["finder_hash"],
        settings=JudgeSettings(**settings),
        sets=record["sets"],
        images=record["images"],
        left_out=record["left_out"],
        rows=tuple(Row(**with_nan(row)) for row in record["rows"]),
        checks=tuple(check_of(check) for check in record["randomisation"]),
        views=tuple(_view(view) for view in record["compound"]),
        failed=record["failed"],
        provenance=record["provenance"],
        partial=record.get("partial", {}),  # which earlier versions did not say
    )


def _view(record: Mapping[str, Any]) -> CompoundView:
    shares = tuple(SourceShare(**with_nan(share)) for share in record["shares"])
    return CompoundView(**{**record, "shares": shares})
