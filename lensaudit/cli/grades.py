"""``lensaudit grades``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(grades)


def grades(
    finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
    lens_set: Path = typer.Argument(metavar="SET", help="Lens set with the candidates."),
    file: Path | None = typer.Option(
        None, "--grades", metavar="FILE", help="Table with the columns id and grade: CSV, FITS, VOTable or Parquet."
    ),
    column: str | None = typer.Option(None, help="Instead: column of the set's catalogue that holds the grade."),
    out: Path = typer.Option(..., metavar="DIR", help="Folder for grades.json, grades.md and grades.png."),
    scores: Path | None = typer.Option(None, metavar="FILE", help="Scores from lensaudit score, to save scoring."),
    seed: int = typer.Option(1, min=0, help="Of the bootstrap."),
    field_of_view: float | None = typer.Option(
        None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the numbers as JSON."),
) -> None:
    """Say how a finder scores candidates that people graded: mean and standard deviation per grade."""
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.grades import by_grade, grades_of_column, grades_table, read_grades, rows_of
    from lensaudit.evaluation.grades_plot import plot_grades
    from lensaudit.files import writable_folder, write_json, write_text
    from lensaudit.finders import load_finder
    from lensaudit.lensset import LensSet
    from lensaudit.provenance import provenance, refuse_other

    if (file is None) == (column is None):
        raise UsageError("give the grades with either --grades FILE or --column NAME")
    opened = LensSet.open(lens_set)
    if file is not None:
        graded, what = read_grades(file, opened.ids), str(file)
    else:
        assert column is not None
        graded, what = grades_of_column(opened.ids, opened.column(column), column), f"column {column}"
    rows = rows_of(graded, opened.ids, what)
    loaded = load_finder(finder, device).for_field(field_of_view)
    loaded.check(opened)
    writable_folder(out)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    refuse_other(out / "grades.json", inputs, "comparison")
    p_lens = _scores(loaded, opened, rows, scores)
    named = [graded[opened.ids[row]] for row in rows]
    found = by_grade(named, p_lens, seed)
    title = f"{loaded.name} on {len(rows)} graded candidates of {lens_set}"
    result = {
        "finder": loaded.name,
        "set": str(lens_set),
        "grades": [one.as_json() for one in found],
        "provenance": provenance(
            seed=seed, inputs={"finder": loaded.weights_hash, "set": opened.content_hash, **_hash_of(file)}
        ),
    }
    write_text(out / "grades.md", grades_table(found, title))
    plot_grades(out / "grades.png", found, named, p_lens, title)
    write_json(out / "grades.json", result)
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
        return
    typer.echo(grades_table(found, title).rstrip())
    typer.echo(f"{out}: grades.json, grades.md, grades.png")


def _scores(finder: Finder, lens_set: LensSet, rows: NDArray[Any], path: Path | None) -> NDArray[Any]:
    """p(lens) of the graded systems: no others are scored."""
    from lensaudit.cli.set_scores import scores_of
    from lensaudit.lensset.part import Part

    if path is not None:
        return scores_of(finder, lens_set, path).p_lens[rows]
    return scores_of(finder, Part(lens_set, rows), None).p_lens


def _hash_of(file: Path | None) -> dict[str, str]:
    from lensaudit.files import sha256

    return {} if file is None else {"grades": sha256(file)}
