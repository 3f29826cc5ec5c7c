"""``lensaudit selection``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.evaluation.selection import SelectionFunction
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


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
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Measure a finder's selection function: completeness over two parameters, medians, what drives it."""
    from lensaudit.cli.opening import check_sets, read_by, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth, selection_function
    from lensaudit.evaluation.selection.page import selection_record, write_selection
    from lensaudit.files import writable_folder
    from lensaudit.lensset import LensSet
    from lensaudit.provenance import refuse_other

    if threshold is not None and fpr is not None:
        raise UsageError("--threshold and --fpr: give one of them; each fixes the other")
    opened = LensSet.open(lens_set)
    require_truth(opened)  # before minutes of scoring
    loaded = read_by(finder, opt.Reading(field_of_view, resample, refit, device, threads), [opened])
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
    _show(found, loaded.name, lens_set)
    say(f"{out}: {', '.join(written)}")


def _about(finder: Finder, lens_set: LensSet, seed: int) -> dict[str, Any]:
    from lensaudit.provenance import provenance

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {
        "finder": finder.name,
        "set": str(lens_set.path),
        "provenance": provenance(seed=seed, inputs=inputs),
    }


def _show(found: SelectionFunction, name: str, lens_set: Path) -> None:
    from lensaudit.display.numbers import proportion
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
