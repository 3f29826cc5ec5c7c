"""``lensaudit score`` into a folder: any number of images, in processes or on a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli.compiling import Scoring, compiled_if_asked
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.cli.groups import Group
from lensaudit.cli.options import processes
from lensaudit.display.numbers import decimal, significant

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.finders.compiling import Compiled
    from lensaudit.finders.score_parts import Summary
    from lensaudit.lensset import Cutouts
    from lensaudit.parts import PartedTable

ROWS = 100_000
"""Of `lensaudit.parts`; a test holds the two together."""


@dataclass(frozen=True)
class Parts:
    """How scores go into a folder; the help of each option says what it is."""

    part_rows: Annotated[
        int | None,
        typer.Option("--part-rows", metavar="N", min=1, help=f"Of a folder: rows of each part; {ROWS} unless given."),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Of a folder: processes, each with a thread or a GPU; one per processor or GPU unless given.",
        ),
    ] = None  # fmt: skip


PARTS: Any = Group(Parts)
"""Takes the place of the options of `Parts` in a command."""


@dataclass(frozen=True)
class FolderScores:
    """What one run of the command is asked for; see the options of ``lensaudit score``."""

    finder: str
    lens_set: Path
    out: Path
    top: int
    prior: float | None
    batch: int | None
    reading: Scoring
    parts: Parts
    force: bool
    as_json: bool


def refuse_folder_options(parts: Parts, out: Path) -> None:
    """Raise UsageError where an option of a folder is given and `out` is a file."""
    from lensaudit.errors import UsageError
    from lensaudit.spread import cluster

    given = {"--part-rows": parts.part_rows, "--workers": parts.workers, "--dask": cluster() or None}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{wrong[0]} is of a folder of scores; give --out a name without an ending, not {out.name}")


def score_folder(asked: FolderScores, opened: tuple[Finder, Cutouts], record: dict[str, Any]) -> None:
    """Score into the folder ``asked.out`` and say what came of it; `record` is what the index says of the scores."""
    from lensaudit.cli.running import progress_bar, warn
    from lensaudit.errors import DataError
    from lensaudit.finders import pixel_record, remarks_on
    from lensaudit.finders.score_parts import ScorePart, begin_parts, clipping_of, score_into, summary_of_parts
    from lensaudit.finders.scores_file import CLIPPING
    from lensaudit.provenance import provenance

    finder, whole = opened
    inputs = {"finder": finder.weights_hash, "set": whole.content_hash}
    rows = asked.parts.part_rows or ROWS
    made_of = {**record, "inputs": inputs, "batch": asked.batch, "refit": asked.reading.refit}
    compiled, quick = _compiled(asked, opened, made_of, rows)
    record |= {"compiled": True} if compiled else {}
    table = begin_parts(asked.out, len(whole), rows, _key(made_of, compiled), asked.force)
    task = ScorePart(
        named_absolutely(asked.finder), whole.path.absolute(), asked.reading, table, asked.batch, asked.prior,
        record.get("trained_share", 0.5), compiled,
    )  # fmt: skip
    with progress_bar(f"scoring with {finder.name}") as report:
        table = score_into(task, opened, _workers(asked.parts, finder), report, quick)
    clipping = clipping_of(table, finder)
    record = {**record, "pixels": pixel_record(finder, whole, clipping).to_json()}
    record |= {CLIPPING: {band: one.to_json() for band, one in clipping.items()}} if clipping else {}
    words = json.dumps({**record, "provenance": provenance(inputs=inputs)}, sort_keys=True, allow_nan=False)
    table = table.write_index(record=words)
    for remark in remarks_on(finder.name, clipping):
        warn(f"{whole.path}: {remark}")
    found = summary_of_parts(table, asked.top)
    if found.failed == found.n:
        name, why = found.first_failed
        raise DataError(
            f"{whole.path}: none of {found.n} images could be scored (first {name}: {why}); see {asked.out}"
        )
    if asked.as_json:
        summary = {"out": str(asked.out), "finder": finder.name, "n": found.n, "n_failed": found.failed}
        summary |= {"parts": table.index.parts, "pixels": record["pixels"]}
        also = ("prior", "trained_share", "calibration", "compiled")
        summary |= {name: record[name] for name in also if name in record}
        top = [{"id": one.id, "p_lens": one.p_lens, "logit": one.logit, **one.more} for one in found.top]
        say_json({**summary, "top": top})
        return
    _show(asked, opened, table, found)
    say_prior(record)


def _key(made_of: Mapping[str, Any], compiled: bool) -> str:
    """Of all that the parts rest on."""
    from lensaudit.kept import key_of

    return key_of({**made_of, "compiled": True} if compiled else made_of)


def _compiled(
    asked: FolderScores, opened: tuple[Finder, Cutouts], made_of: Mapping[str, Any], rows: int
) -> tuple[bool, Compiled | None]:
    """Whether parts are scored by compiled code, and that code where this run had to find out.

    What an earlier run decided for the folder stays, so that its parts are never a mixture.
    """
    from lensaudit.finders.compiling import AUTO, OFF, ON
    from lensaudit.finders.score_parts import first_of, rests_on, with_threads

    (finder, whole), mode = opened, asked.reading.compile
    for which in (True, False):
        if mode in (AUTO, ON if which else OFF) and rests_on(asked.out, len(whole), rows, _key(made_of, which)):
            return which, None
    with with_threads(asked.reading.threads or 1):
        quick = compiled_if_asked(finder, lambda: first_of(finder, whole, asked.batch), len(whole), mode)
    return quick is not None, quick


def say_prior(record: Mapping[str, Any]) -> None:
    """What the column p_lens_prior of scores is, where their record says that there is one."""
    if "prior" in record:
        say(
            f"  column p_lens_prior: lenses are {record['prior']:g} of the images instead of the "
            f"{record['trained_share']:g} the finder was trained to expect"
        )


def _show(asked: FolderScores, opened: tuple[Finder, Cutouts], table: PartedTable, found: Summary) -> None:
    from lensaudit.cli.running import bands_left_out

    if found.top:
        _show_top(found)
    say(
        f"{asked.out}: {found.n - found.failed} of {found.n} images scored with {opened[0].name}"
        f"{bands_left_out(*opened)}, in {table.index.parts} part{'' if table.index.parts == 1 else 's'}"
    )
    if found.failed:
        name, why = found.first_failed
        say(f"{found.failed} not scored (NaN, see column status), first {name}: {why}", err=True)


def _show_top(found: Summary) -> None:
    more = found.top[0].more
    say_table(
        ("rank", "id", "p(lens)", "log-odds", *more),
        [
            (
                str(rank), one.id, decimal(one.p_lens, 6), decimal(one.logit, 3, sign=True),
                *(decimal(v, 5) if name in ("ra", "dec") else significant(v, 4) for name, v in one.more.items()),
            )
            for rank, one in enumerate(found.top, 1)
        ],
    )  # fmt: skip


def _workers(parts: Parts, finder: Finder) -> int:
    """Processes: as asked for, or one per processor; on GPUs one for each of them."""
    if parts.workers is None and finder.device.type == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    return processes(parts.workers or 0)


def named_absolutely(finder: str) -> str:
    """The finder's name as another process understands it, whose working folder may be another."""
    return str(Path(finder).absolute()) if ":" not in finder and Path(finder).exists() else finder
