"""Scores on disk: ``id``, ``p_lens``, ``logit``, ``status`` and more, with the provenance in the metadata."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from scipy.special import expit, logit

from lensaudit.documents import json_of, validated
from lensaudit.errors import DataError, LensauditError, NoSuchData, UsageError
from lensaudit.files import replacing
from lensaudit.finders.committee import Disagreement
from lensaudit.finders.facts import ScoresRecord
from lensaudit.finders.score import OK, Scores
from lensaudit.parts import PartedTable
from lensaudit.provenance import Clipping
from lensaudit.records import Json
from lensaudit.statistics import Probabilities
from lensaudit.tables import Table, read_table
from lensaudit.untrusted import in_header, kind_of, printable

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable


KEY = b"lensaudit"
"""Of the record in the metadata of a Parquet file."""

NAME = "LENSAUDI"
"""Of the record elsewhere: a keyword of FITS has eight characters."""

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    "": "parquet",
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".vot": "votable",
    ".xml": "votable",
}
"""Ending of the name → format, as astropy calls it; a CSV has no place for the record."""


def format_of(path: Path) -> str:
    """Format that the ending of `path` asks for.

    Raises
    ------
    UsageError
        It asks for none that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path}: scores are written as {', '.join(filter(None, FORMATS))}; choose one of these endings"
        )
    return FORMATS[suffix]


def check_scores_path(path: Path, ids: Sequence[str]) -> None:
    """Make sure that a file of scores of these images can be written to `path`, before they are scored.

    Raises
    ------
    UsageError
        The ending is not known, or the format cannot hold one of the names.
    """
    kind = format_of(path)
    able: dict[str, Callable[[str], bool]] = {
        "fits": lambda name: name.isascii() and printable(name) == name,
        "votable": lambda name: printable(name) == name,
    }
    wrong = next((name for name in ids if kind in able and not able[kind](name)), None)
    if wrong is not None:
        raise UsageError(f"{path}: this format cannot hold the id '{printable(wrong, 60)}'; write .ecsv or .parquet")


def write_table(table: pa.Table, record: str, path: Path, kind: str) -> None:
    """Write `table` with the JSON `record` to `path` in the format `kind` of `FORMATS`."""
    if kind == "parquet":
        pq.write_table(table.replace_schema_metadata({KEY: record.encode()}), path)
        return
    found = _as_astropy(table)
    if kind == "votable":
        _write_votable(found, record, path)
        return
    found.meta = {} if kind == "ascii.csv" else {NAME: record}
    found.write(path, format=kind, overwrite=True)


def record_text(path: Path) -> bytes | None:
    """JSON of the record that `write_table` put into the file; None where it has none.

    Raises
    ------
    DataError, OSError, ValueError, pyarrow.ArrowException
        The file is torn.
    """
    kind = kind_of(path).key
    if kind == "parquet":
        return (pq.read_schema(path).metadata or {}).get(KEY)
    words = {"fits": _of_fits, "votable": _of_votable}.get(kind, _of_text)(path)
    return None if words is None else words.encode()


def _of_text(path: Path) -> str | None:
    with path.open("rb") as file:
        ecsv = file.read(10).removeprefix(codecs.BOM_UTF8).startswith(b"# %ECSV")
    return _of_ecsv(path) if ecsv else None


def _of_fits(path: Path) -> str | None:
    from lensaudit.fits_input import open_fits

    with open_fits(path) as file:
        return next((str(part.header[NAME]) for part in file if NAME in part.header), None)


def _of_votable(path: Path) -> str | None:
    from astropy.io.votable import parse

    resources = parse(str(path), verify="ignore").resources
    return next((str(info.value) for part in resources for info in part.infos if info.name == NAME), None)


def _of_ecsv(path: Path) -> str | None:
    from astropy.table import Table as AstropyTable

    words = AstropyTable.read(path.read_text(encoding="utf-8-sig"), format="ascii.ecsv").meta.get(NAME)
    return None if words is None else str(words)


def _as_astropy(table: pa.Table) -> AstropyTable:
    from astropy.table import Column
    from astropy.table import Table as AstropyTable

    columns = []
    for field in table.schema:
        about = {name.decode(): value.decode() for name, value in (field.metadata or {}).items()}
        values = table.column(field.name)
        filled = values.to_pylist() if field.type == pa.string() else values.to_numpy()
        columns.append(Column(filled, name=field.name, unit=about.get("unit"), description=about.get("description")))
    return AstropyTable(columns)


def _write_votable(table: AstropyTable, record: str, path: Path) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info

    document = from_table(table)
    document.resources[0].infos.append(Info(name=NAME, value=record))
    document.to_xml(str(path))


_CONTENT, CLIPPING = "content", "clipping"

AGREE = 1e-4
"""Largest difference of p and the sigmoid of its log-odds; files written with four digits keep to it."""
LARGEST_LOG_ODDS = 37.0
"""Of p = 0 and 1: double precision tells no p from 1 beyond it."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"description": "name of the image in its set"}),
        pa.field("p_lens", pa.float64(), metadata={"description": "probability of lens; NaN if not scored"}),
        pa.field("logit", pa.float64(), metadata={"description": "log-odds of lens; p_lens = sigmoid(logit)"}),
        pa.field("status", pa.string(), metadata={"description": "ok, or why the image was not scored"}),
    ]
)


def _column(name: str, description: str, **more: str) -> pa.Field:
    return pa.field(name, pa.float64(), metadata={"description": description, **more})


_BESIDE = (
    _column("p_lens_prior", "p_lens with the fraction `prior` of the record"),
    _column("p_calibrated", "calibrated probability of lens, see the record"),
    _column("p_calibrated_low", "lower end of Venn-Abers' probability"),
    _column("p_calibrated_high", "upper end of Venn-Abers' probability"),
    _column("disagreement", "standard deviation of the members' log-odds"),
    _column("votes", "fraction of the members that call it a lens, each at its own threshold"),
    _column("information", "mutual information of label and member (BALD), in nats"),
    _column("ra", "right ascension (ICRS)", unit="deg"),
    _column("dec", "declination (ICRS)", unit="deg"),
)
MORE = {one.name: one for one in _BESIDE}
"""Columns that a file may have beside those of `SCHEMA`."""


def calibrated_columns(found: Probabilities | None) -> dict[str, NDArray[np.float64]]:
    """Calibrated probabilities as columns; ends where the method has them, none without probabilities."""
    if found is None:
        return {}
    ends = {"p_calibrated_low": found.low, "p_calibrated_high": found.high}
    return {"p_calibrated": found.p} | (ends if np.isfinite(found.low).any() else {})


def member_columns(found: Disagreement | None) -> dict[str, NDArray[np.float64]]:
    """How far the members of a committee are apart, as columns; none of any other finder."""
    return {} if found is None else found.columns()


def write_scores(
    scores: Scores, path: Path, record: Mapping[str, Any], more: Mapping[str, NDArray[np.float64]] | None = None
) -> None:
    """Write `scores` to `path`, whole or not at all, with `record` (finder, set, provenance) in the metadata.

    What the stretch clipped goes into the record too, and calibrated probabilities into columns.

    The ending of the name says the format: Parquet, CSV, ECSV, FITS or VOTable. A CSV has no place for the record.
    Each status is written as one printable line, in FITS of ASCII.

    Parameters
    ----------
    more
        Of `MORE`: name → values (n,), as further columns.

    Raises
    ------
    UsageError
        The ending of the name is not one of `lensaudit.finders.scores_file.FORMATS`.
    """
    kind = format_of(path)
    shown = in_header if kind == "fits" else printable  # one line each, before the digest: so they are read back
    scores = replace(scores, status=tuple(shown(word).strip() for word in scores.status))
    clipping = {band: one.to_json() for band, one in scores.clipping.items()}
    record = {**record, _CONTENT: _content_of(scores), **({CLIPPING: clipping} if clipping else {})}
    words = json.dumps(record, sort_keys=True, allow_nan=False)
    columns = {"id": scores.ids, "p_lens": scores.p_lens, "logit": scores.logit, "status": scores.status}
    beside = calibrated_columns(scores.calibrated) | member_columns(scores.members) | dict(more or {})
    fields = [*SCHEMA, *(MORE[name] for name in beside)]
    table = pa.table([pa.array((columns | beside)[f.name]).cast(f.type) for f in fields], pa.schema(fields))
    with replacing(Path(path)) as partial:
        write_table(table, words, partial, kind)


def read_scores(path: Path, ids: Iterable[str] = ()) -> tuple[Scores, ScoresRecord]:
    """Scores of a file or folder of `score` with its record, or of a table with ``id`` and ``p`` (or ``p_lens``).

    Parameters
    ----------
    ids
        Ids of the images, whose spelling those of the file take where they mean the same (see
        `lensaudit.tables.same_id`).

    Returns
    -------
    scores, record
        The record says nothing where the file has none. Where it has no log-odds, they are those of p, with 0 and 1 as
        far out as double precision tells them from their neighbours.

    Raises
    ------
    DataError
        There is no such file, it is torn, an id comes twice, or p and log-odds are no such numbers.
    """
    path = Path(path)
    parted = PartedTable.open(path) if path.is_dir() else None
    if parted is None and not path.is_file():
        raise NoSuchData(f"{path}: no such file; write it with lensaudit score")
    table = read_table(path, "a file of scores") if parted is None else parted.whole()
    names = tuple(table.ids(table.need("id"), ids))
    p = table.numbers(probability := table.need("p_lens", "p", "p(lens)"))
    column = table.find("status")
    status = tuple(OK if np.isfinite(value) else "no score" for value in p) if column is None else tuple(column.text)
    refuse_other_than_probabilities(table, probability.name, p, status)
    logits = table.find("logit")
    log_odds = _log_odds(p) if logits is None else table.numbers(logits)
    scores = Scores(names, p, log_odds, status, calibrated=_calibrated(table), members=_members(table))
    if logits is not None:
        _refuse_other_log_odds(table, scores)
    record = _record(path, None if parted is None else parted.index.record)
    if record.pop(_CONTENT, content := _content_of(scores)) != content:
        raise DataError(f"{path}: was changed after it was written; write it again with lensaudit score")
    scores = replace(scores, clipping=_clipping_of(record.pop(CLIPPING, {}), path))
    return scores, validated(record, ScoresRecord, f"{path}: its record", "write it with lensaudit score")


def _clipping_of(words: Any, path: Path) -> dict[str, Clipping]:
    try:
        return TypeAdapter(dict[str, Clipping]).validate_python(words)
    except ValidationError as wrong:
        raise DataError(f"{path}: its record of clipped pixels is not ours; write it with lensaudit score") from wrong


def _calibrated(table: Table) -> Probabilities | None:
    """Columns that `calibrated_columns` made."""
    if (column := table.find("p_calibrated")) is None:
        return None
    ends = [table.find(f"p_calibrated_{end}") for end in ("low", "high")]
    p = table.numbers(column)
    return Probabilities(p, *(np.full(len(p), np.nan) if one is None else table.numbers(one) for one in ends))


def _members(table: Table) -> Disagreement | None:
    """Columns that `member_columns` made."""
    found = [table.find(name) for name in ("disagreement", "votes", "information")]
    if any(column is None for column in found):
        return None
    return Disagreement(*(table.numbers(column) for column in found if column is not None))


def _content_of(scores: Scores) -> str:
    """SHA-256 of ids, p, log-odds, status, calibrated probabilities and what a committee's members say."""
    digest = hashlib.sha256("".join(f"{cell}\0" for cell in (*scores.ids, *scores.status)).encode())
    beside = calibrated_columns(scores.calibrated) | member_columns(scores.members)
    for numbers in (scores.p_lens, scores.logit, *beside.values()):
        digest.update(np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes())
    return digest.hexdigest()


def refuse_other_than_probabilities(table: Table, name: str, p: NDArray[np.float64], status: Sequence[str]) -> None:
    """Raise DataError for the first p outside [0, 1], and for an image that has none although its status is fine."""
    outside = np.flatnonzero((p < 0) | (p > 1))
    if len(outside):
        row = int(outside[0])
        many = " (log-odds? then p = 1 / (1 + exp(-log-odds)))" if len(outside) > len(p) / 10 else ""
        raise DataError(
            f"{table.where(row)}: column {name} is {p[row]:g}, {len(outside)} of {len(p)} lie outside [0, 1]; p is a "
            f"probability{many}"
        )
    lacking = [row for row in np.flatnonzero(np.isnan(p)).tolist() if status[row] in ("", OK)]
    if lacking:
        raise DataError(f"{table.where(lacking[0])}: column {name} is empty or NaN, and no status says why; score it")


def _refuse_other_log_odds(table: Table, scores: Scores) -> None:
    scored = np.isfinite(scores.p_lens)
    off = np.abs(expit(scores.logit) - scores.p_lens) > AGREE
    wrong = np.flatnonzero(scored & (off | np.isnan(scores.logit)) | ~scored & ~np.isnan(scores.logit))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{table.where(row)}: logit {scores.logit[row]:g} is not that of p = {scores.p_lens[row]:g} "
            f"({len(wrong)} of {len(scored)} rows); leave the column logit out, or write it with lensaudit score"
        )


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        found: NDArray[np.float64] = logit(p)
    return np.clip(found, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def _record(path: Path, said: str | None) -> Json:
    """What `write_scores` put into the metadata, or a folder says; empty where another program wrote the file."""
    try:
        words = record_text(path) if said is None else said.encode()
    except LensauditError:
        raise
    except (pa.ArrowException, OSError, ValueError, IndexError) as broken:
        raise DataError(f"{path}: is torn; write it with lensaudit score") from broken
    if words is None:
        return {}
    record = json_of(words, f"{path}: record", "write it with lensaudit score")
    if not isinstance(record, dict):
        raise DataError(f"{path}: its record is not ours; write it with lensaudit score")
    return record


@dataclass(frozen=True)
class ScoresForm:
    """Scores as pieces that a later run takes up (`lensaudit.kept`); the key stands in their record.

    Attributes
    ----------
    record
        What is written beside the scores, the key among it.
    key_of
        The key that a record holds.
    whole
        Whether scores say all that is asked of them; those of an earlier version may not.
    """

    record: Mapping[str, Any]
    key_of: Callable[[ScoresRecord], Any] = lambda record: record.key
    whole: Callable[[Scores], bool] = lambda _: True

    def read(self, path: Path) -> tuple[Any, Scores]:
        """(key, scores); see `lensaudit.kept.Form`."""
        scores, record = read_scores(path)
        return self.key_of(record) if self.whole(scores) else None, scores

    def write(self, path: Path, key: Any, value: Scores) -> None:
        """Write; see `lensaudit.kept.Form`."""
        write_scores(value, path, self.record)
