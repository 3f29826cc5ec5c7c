"""``lensaudit grades``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit grades ou66 runs/candidates --grades grades.csv --out runs/graded",
            "lensaudit grades ou66 runs/candidates --column grade --out runs/graded",
        )
    )(grades)


def grades(
    finder: opt.Finder,
    lens_set: Annotated[Path, typer.Argument(metavar="SET", help="Lens set with the candidates.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for grades.json, grades.md and grades.png.")
    ],
    file: Annotated[
        Path | None,
        typer.Option("--grades", metavar="FILE", help="CSV, FITS, VOTable or Parquet with id and grade."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", metavar="NAME", help="Instead: column of the set's catalogue that holds the grade."),
    ] = None,
    scores: opt.Scores = None,
    force: opt.Force = False,
    seed: opt.Seed = 1,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Say how a finder scores candidates that people graded: mean and standard deviation per grade."""
    from lensaudit.cli.opening import open_both
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.grades import (
        HEADS,
        by_grade,
        grade_rows,
        grades_of_column,
        grades_table,
        read_grades,
        rows_of,
    )
    from lensaudit.evaluation.grades_plot import plot_grades
    from lensaudit.files import writable_folder, write_json, write_text
    from lensaudit.provenance import provenance, refuse_other

    if (file is None) == (column is None):
        raise UsageError("give the grades with either --grades FILE or --column NAME")
    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    if file is not None:
        graded, what = read_grades(file, opened.ids), str(file)
    else:
        assert column is not None
        graded, what = grades_of_column(opened.ids, opened.column(column), column), f"column {column}"
    rows = rows_of(graded, opened.ids, what)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash, **_hash_of(file)}
    if not force:
        refuse_other(out / "grades.json", inputs, "comparison", "or --force to replace it")
    writable_folder(out)
    p_lens = _scores(loaded, opened, rows, scores, batch)
    named = [graded[opened.ids[row]] for row in rows]
    found = by_grade(named, p_lens, seed)
    title = f"{loaded.name} on {len(rows)} graded candidates of {lens_set}"
    result = {
        "finder": loaded.name,
        "set": str(lens_set),
        "column": column,
        "grades": [one.as_json() for one in found],
        "provenance": provenance(seed=seed, inputs=inputs),
    }
    write_text(out / "grades.md", grades_table(found, title))
    plot_grades(out / "grades.png", found, named, p_lens, title)
    write_json(out / "grades.json", result)
    if as_json:
        say_json(result)
        return
    say(title)
    say_table(HEADS, grade_rows(found))
    say(f"{out}: grades.json, grades.md, grades.png")


def _scores(
    finder: Finder, lens_set: LensSet, rows: NDArray[Any], path: Path | None, batch: int | None
) -> NDArray[Any]:
    """p(lens) of the graded systems: no others are scored."""
    from lensaudit.cli.opening import scores_of
    from lensaudit.lensset.part import Part

    if path is not None:
        return scores_of(finder, lens_set, path).p_lens[rows]
    return scores_of(finder, Part(lens_set, rows), None, batch).p_lens


def _hash_of(file: Path | None) -> dict[str, str]:
    from lensaudit.files import sha256

    return {} if file is None else {"grades": sha256(file)}
