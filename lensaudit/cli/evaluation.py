"""``lensaudit evaluate``, ``selection``, ``false-positives`` and ``grades``: one finder on one set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.compiling import SCORING, Scoring
from lensaudit.cli.console import say, say_json, say_table, warn
from lensaudit.display.numbers import decimal, interval, proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lensaudit.evaluation import Evaluation
    from lensaudit.evaluation.disagreement import ErrorSignals
    from lensaudit.evaluation.selection import SelectionFunction
    from lensaudit.evaluation.visual_inspection import KindFrequency
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


def register_evaluate(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit evaluate ou66 runs/test",
            "lensaudit evaluate ou66 runs/test --scores runs/scores.parquet --out runs/eval",
        )
    )(evaluate)


def evaluate(
    finder: opt.Finder,
    lens_set: opt.LabelledSet,
    scores: opt.Scores = None,
    threshold: opt.Threshold = None,
    beta: Annotated[float, typer.Option("--beta", min=0, help="β of Fβ; 0.03 in Wilde et al. 2022.")] = 0.03,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for evaluation.json and evaluation.png.")
    ] = None,
    force: opt.Force = False,
    seed: opt.Seed = 1,
    batch: opt.Batch = None,
    reading: Scoring = SCORING,
    as_json: opt.Json = False,
) -> None:
    """Measure a finder on a labelled set: each number with its 95 % confidence interval."""
    from lensaudit.cli.running import bands_left_out, open_both, scores_of
    from lensaudit.evaluation import evaluate as measure
    from lensaudit.evaluation.metric import INVERTED, plot_evaluation
    from lensaudit.files import writable_folder, write_json
    from lensaudit.finders import pixel_record
    from lensaudit.provenance import provenance, refuse_other

    loaded, opened = open_both(finder, lens_set, reading)
    cut = loaded.recipe.threshold if threshold is None else threshold
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    if out is not None:
        writable_folder(out)
        if not force:
            refuse_other(out / "evaluation.json", inputs, "evaluation", "or --force to replace it")
    found = scores_of(loaded, opened, scores, batch, reading.compile)
    labels = opened.labels
    result = measure(labels, found.p_lens, found.logit, threshold=cut, beta=beta, seed=seed)
    record = {
        "finder": loaded.name,
        "recipe": loaded.recipe.model_dump(mode="json"),
        "set": str(opened.path),
        **result.to_json(),
        "provenance": provenance(seed=seed, inputs=inputs),
        "pixels": pixel_record(loaded, opened, found.clipping).to_json(),
    }
    signals = _error_signals(labels, found, cut)
    record |= {} if signals is None else {"errors": signals.to_json()}
    record |= {"compiled": True} if found.compiled else {}
    if result.inverted:
        warn(f"{loaded.name} {INVERTED}")
    if out is not None:
        title = f"{loaded.name} on {record['set']}: {result.n_lenses} lenses, {result.n_non_lenses} non-lenses"
        plot_evaluation(out / "evaluation.png", result, labels, found.p_lens, title)
        write_json(out / "evaluation.json", record)
    if as_json:
        return say_json(record)
    _show(result, loaded.name, f"{lens_set}{bands_left_out(loaded, opened)}")
    say(*([] if signals is None else [signals.sentence]))
    if out is not None:
        say(f"{out}: evaluation.json, evaluation.png")


def _error_signals(labels: NDArray[Any], found: Scores, cut: float) -> ErrorSignals | None:
    """What tells the errors of a committee; None of any other finder."""
    if found.members is None:
        return None
    from scipy.special import logit

    from lensaudit.evaluation.disagreement import error_signals

    return error_signals(labels, found.logit, float(logit(cut)), found.members.columns())


def _show(result: Evaluation, name: str, where: str) -> None:
    counted = f"{result.n_lenses} lenses, {result.n_non_lenses} non-lenses"
    left_out = {"unlabelled": result.n_unlabelled, "not scored": result.n_unscored}
    counted += "".join(f", {count} {why} left out" for why, count in left_out.items() if count)
    say(f"{name} on {where}: {counted}")
    rows = [
        (
            result.label(one.name),
            decimal(one.value, 4),
            interval(one.low, one.high, 4),
            str(one.n),
            one.status or one.method,
        )
        for one in result.metrics
    ]
    say_table(("metric", "value", "95 % interval", "n", "interval by"), rows)


KIND_COLUMN = "kind"
TOP = 24


def register_false_positives(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "false-positives",
        epilog=opt.examples("lensaudit false-positives ou66 runs/test --top 40 --out runs/false-positives"),
    )(false_positives)


def false_positives(
    finder: opt.Finder,
    lens_set: opt.LabelledSet,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for picture and table.")] = Path(
        "false-positives"
    ),
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many of the highest scores.")] = TOP,
    old_top: opt.OldTop = None,
    scores: opt.Scores = None,
    band: Annotated[
        str, typer.Option("--band", metavar="BAND", help="Of the picture; by default the deepest (VIS, i, r, …).")
    ] = "",
    force: opt.Force = False,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Show the false positives with the highest scores, and which kinds are over-represented among them."""
    import numpy as np

    from lensaudit.cli.running import open_both, scores_of
    from lensaudit.display.images import main_band
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.visual_inspection import frequencies_by_kind, plot_gallery, worst_rows
    from lensaudit.files import writable_folder, write_json
    from lensaudit.provenance import provenance, refuse_other

    loaded, opened = open_both(finder, lens_set, reading)
    shown = band or main_band(loaded.recipe.bands)
    if shown not in opened.bands:
        raise UsageError(f"--band {shown}: the set has {', '.join(opened.bands)}; name one of them")
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    count = top if old_top is None else old_top
    if not force:
        refuse_other(out / "false-positives.json", inputs, "gallery", "or --force to replace it")
    found = scores_of(loaded, opened, scores, batch)
    rows = worst_rows(opened.labels, found.logit, count)
    others = np.flatnonzero((opened.labels == 0) & np.isfinite(found.logit))
    kinds = [str(kind) for kind in opened.column(KIND_COLUMN)] if KIND_COLUMN in opened.columns else None
    frequencies = frequencies_by_kind(kinds, others, rows) if kinds is not None else []
    writable_folder(out)
    captions = [f"{kinds[row] + ', ' if kinds else ''}p = {found.p_lens[row]:.3g}" for row in rows]
    title = f"{loaded.name}: worst {len(rows)} of {len(others)} non-lenses, {shown}"
    width = opened.shape[shown][1] * opened.pixel_scale_arcsec[shown]
    images = [opened.images(shown, int(row))[0] for row in rows]
    plot_gallery(out / "false-positives.png", images, captions, width, title)
    record = {
        "finder": loaded.name,
        "top": count,
        "band": shown,
        "n_non_lenses": len(others),
        "threshold": loaded.recipe.threshold,
        "worst": [
            {"id": opened.ids[row], "p_lens": float(found.p_lens[row]), "logit": float(found.logit[row])}
            | ({"kind": kinds[row]} if kinds else {})
            for row in rows
        ],
        "kinds": [one.to_json() for one in frequencies],
        "provenance": provenance(inputs=inputs),
    }
    write_json(out / "false-positives.json", record)
    if as_json:
        say_json(record)
        return
    called = int((found.p_lens[others] >= loaded.recipe.threshold).sum())
    say(f"{title}; {called} are called lenses at p ≥ {loaded.recipe.threshold:.4g}")
    _show_false_positives(frequencies)
    say(f"{out}: false-positives.png, false-positives.json")


def _show_false_positives(frequencies: list[KindFrequency]) -> None:
    if not frequencies:
        say("the set does not say of which kind its non-lenses are")
        return
    say_table(
        ("kind", "among the worst", "fraction", "95 % interval", "of all non-lenses", "more than its fraction"),
        [
            (
                one.kind, f"{one.among_worst.k} of {one.among_worst.n}", decimal(one.among_worst.value, 2),
                interval(*one.among_worst.interval, 2),
                f"{decimal(one.among_all.value, 2)} ({one.among_all.k} of {one.among_all.n})",
                "yes" if one.overrepresented else "",
            )
            for one in frequencies
        ],
    )  # fmt: skip


def register_grades(app: typer.Typer) -> None:
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
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Compare a finder's scores with visual grades of candidates: mean and standard deviation per grade."""
    from lensaudit.cli.running import open_both
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.visual_inspection import (
        HEADS,
        by_grade,
        grade_rows,
        grades_of_column,
        grades_table,
        plot_grades,
        read_grades,
        rows_of,
    )
    from lensaudit.files import sha256, writable_folder, write_json, write_text
    from lensaudit.provenance import provenance, refuse_other

    if (file is None) == (column is None):
        raise UsageError("give the grades with either --grades FILE or --column NAME")
    loaded, opened = open_both(finder, lens_set, reading)
    if file is not None:
        graded, what = read_grades(file, opened.ids), str(file)
    else:
        assert column is not None
        graded, what = grades_of_column(opened.ids, opened.column(column), column), f"column {column}"
    rows = rows_of(graded, opened.ids, what)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    inputs |= {} if file is None else {"grades": sha256(file)}
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
        "grades": [one.to_json() for one in found],
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
    from lensaudit.cli.running import scores_of
    from lensaudit.lensset.part import Part

    if path is not None:
        return scores_of(finder, lens_set, path).p_lens[rows]
    return scores_of(finder, Part(lens_set, rows), None, batch).p_lens


def register_selection(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit selection ou66 runs/test --fpr 0.01 --out runs/selection"))(selection)


def selection(
    finder: opt.Finder,
    lens_set: Annotated[
        Path, typer.Argument(metavar="SET", help="Simulated lens set; the selection function needs its truth.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for numbers, tables, page and figures.")],
    threshold: opt.Threshold = None,
    fpr: Annotated[
        float | None,
        typer.Option(
            "--fpr", metavar="RATE", min=0, max=1,
            help="Instead of --threshold: highest false-positive rate among the set's non-lenses.",
        ),
    ] = None,
    scores: opt.Scores = None,
    force: opt.Force = False,
    seed: opt.Seed = 1,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Measure a finder's selection function: completeness over two parameters, medians, what drives it."""
    from lensaudit.cli.running import check_sets, read_by, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth, selection_function
    from lensaudit.evaluation.selection.page import selection_record, write_selection
    from lensaudit.files import writable_folder
    from lensaudit.lensset import open_cutouts
    from lensaudit.provenance import refuse_other

    if threshold is not None and fpr is not None:
        raise UsageError("--threshold and --fpr: give one of them; each fixes the other")
    opened = open_cutouts(lens_set)
    require_truth(opened)  # before minutes of scoring
    loaded = read_by(finder, reading, [opened])
    check_sets(loaded, [opened])
    asked = Threshold(loaded.recipe.threshold if threshold is None else threshold)
    if fpr is not None:
        asked = Threshold(fpr, "fpr")
    about = _about(loaded, opened, seed)
    if not force:
        inputs = about["provenance"]["inputs"]
        refuse_other(out / "selection.json", inputs, "selection function", "or --force to replace it")
    writable_folder(out)
    found = selection_function(scores_of(loaded, opened, scores, batch), opened, (asked, *LADDER), seed=seed)
    written = write_selection(found, about, f"{loaded.name} on {lens_set}", out)
    if as_json:
        say_json(selection_record(found, about))
        return
    _show_selection(found, loaded.name, lens_set)
    say(f"{out}: {', '.join(written)}")


def _about(finder: Finder, lens_set: LensSet, seed: int) -> dict[str, Any]:
    from lensaudit.provenance import provenance

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {
        "finder": finder.name,
        "set": str(lens_set.path),
        "provenance": provenance(seed=seed, inputs=inputs),
    }


def _show_selection(found: SelectionFunction, name: str, lens_set: Path) -> None:
    from lensaudit.evaluation.selection.page import left_out

    say(f"{name} on {lens_set}: {found.n_lenses} lenses, {found.n_non_lenses} non-lenses")
    say_table(
        ("threshold", "recall", "false positives"),
        [(cut.words, proportion(cut.recall), proportion(cut.false_positives)) for cut in found.cuts],
    )
    for one in found.maps:
        few = f"{int(one.few.sum())} of {one.n.size} cells have fewer than 100 lenses"
        outside = f"{one.n_outside} lenses outside the edges, {one.n_missing} without a value"
        say(f"{one.x.parameter.words} × {one.y.parameter.words}: {few}; {outside}")
    say(*found.drivers.sentences, *left_out(found))
