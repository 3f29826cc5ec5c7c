"""``lensaudit calibrate`` and ``threshold``: what scores mean, and where a lens is called."""

from __future__ import annotations

from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.display.numbers import measured, significant

if TYPE_CHECKING:
    from lensaudit.evaluation import Metric
    from lensaudit.evaluation.calibrating import Calibrated
    from lensaudit.finders import Finder


def register_calibrate(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit calibrate ou66 runs/graded --prevalence 0.001 --out runs/ou66-calibrated",
            "lensaudit calibrate ou66 runs/graded --method beta --weights weight --survey 1000000 --out runs/beta",
        )
    )(calibrate)


def calibrate(
    finder: opt.Finder,
    lens_set: Annotated[
        Path, typer.Argument(metavar="SET", help="Lens set with labels, which did not train the finder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Becomes the calibrated finder's folder.")],
    method: Annotated[
        Literal["isotonic", "beta", "venn-abers"],
        typer.Option("--method", help="venn-abers gives an interval, and takes no --weights."),
    ] = "isotonic",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="COLUMN",
            help="Column of the catalogue: the inverse of the chance with which an image entered the set.",
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence", metavar="FRACTION",
            help="Fraction of lenses where the probabilities are used; by default the set's own.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", metavar="N", help="Parts of cross-fitting: each is measured by a fit without it.")
    ] = 5,
    holdout: Annotated[
        float | None,
        typer.Option("--holdout", metavar="FRACTION", help="Instead of --folds: only measure on this part of the set."),
    ] = None,
    inspect: Annotated[
        list[int],
        typer.Option(
            "--inspect", metavar="N", help="Purity and completeness among the N highest scores; repeat it for more."
        ),
    ] = [],
    survey: Annotated[
        int | None,
        typer.Option(
            "--survey", metavar="N", help="Images that the highest scores are of; by default those the set stands for."
        ),
    ] = None,
    fpr: Annotated[
        float, typer.Option("--fpr", metavar="RATE", help="False-positive rate to bound with 95 % confidence.")
    ] = 0.01,
    scores: opt.Scores = None,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Turn a finder's scores into probabilities that hold where lenses are rare, and measure how well they do."""
    from lensaudit.evaluation.calibrating import CalibrationSettings

    settings = CalibrationSettings(method, prevalence, folds, holdout, fpr, tuple(inspect), survey, seed)

    from lensaudit.cli.running import open_both, scores_of
    from lensaudit.evaluation.calibrated_finder import (
        calibrate_finder,
        refuse_unfit,
        write_calibrated,
    )
    from lensaudit.files import writable_folder

    loaded, opened = open_both(finder, lens_set, reading)
    refuse_unfit(loaded, opened, weights)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    _refuse_folder(finder, loaded, out, inputs, force)
    writable_folder(out)
    found = scores_of(loaded, opened, scores, batch)
    made = calibrate_finder(loaded, opened, found, settings, weights)
    written, record = write_calibrated(made, opened, out), made[1]
    if as_json:
        say_json({"out": str(out), **record.to_json()})
        return
    _show(record, loaded.name, lens_set)
    say(f"{out}: the calibrated finder, {', '.join(written)}")


def _refuse_folder(name: str, finder: Finder, out: Path, inputs: dict[str, str], force: bool) -> None:
    """Refuse the user's own code, the finder's own folder, and another finder's."""
    from lensaudit.errors import UsageError
    from lensaudit.finders.load import stored_in
    from lensaudit.finders.recipe import CUSTOM
    from lensaudit.finders.store import refuse_other_finder

    if finder.recipe.architecture == CUSTOM:
        raise UsageError(f"finder {name}: your own network is not stored; calibrate it in Python with la.calibrate")
    folder = stored_in(finder)
    if folder is not None and out.resolve() == folder.resolve():
        raise UsageError(f"{out}: is the folder of the finder that is calibrated; choose another --out")
    if not force:
        refuse_other_finder(out, inputs, {}, "or --force to replace it")


def _show(record: Calibrated, name: str, lens_set: Path) -> None:
    from lensaudit.evaluation.calibrated_finder import (
        RELIABILITY_HEAD,
        TOP_HEAD,
        bound_sentence,
        few_remark,
        reliability_rows,
        top_rows,
    )

    say(f"{name} on {lens_set}: {record.n_lenses} lenses, {record.n_non_lenses} non-lenses; {record.measured_on}")
    say_table(RELIABILITY_HEAD, reliability_rows(record))
    survey = record.top[0].images
    say(f"among {survey} images at a prevalence of {record.calibrator.prevalence:.3g}{few_remark(record.top)}")
    say_table(TOP_HEAD, top_rows(record))
    say(bound_sentence(record))


def register_threshold(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit threshold ou66 runs/test --fpr 0.01 --out runs/ou66-at-1-percent"))(
        threshold
    )


def threshold(
    finder: opt.Finder,
    lens_set: Annotated[
        Path, typer.Argument(metavar="SET", help="Lens set with non-lenses, none of which trained the finder.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the same finder with the new threshold.")
    ],
    fpr: Annotated[
        float,
        typer.Option(
            "--fpr", metavar="RATE",
            help="Fraction of the non-lenses that may be called lenses (Lanusse et al.: 0.01).",
        ),
    ] = 0.01,
    scores: opt.Scores = None,
    force: opt.Force = False,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Set the threshold of a finder at a false-positive rate, and keep it with the finder."""
    from lensaudit.cli.running import open_both, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation import evaluate
    from lensaudit.finders import calling_at, read_record, save_finder
    from lensaudit.finders.facts import FinderMetrics
    from lensaudit.finders.recipe import builtin_finder_folder
    from lensaudit.finders.store import refuse_other_finder
    from lensaudit.provenance import Provenance

    if not 0 < fpr < 1:
        raise UsageError(f"--fpr {fpr:g} is not a rate; give a number between 0 and 1")
    if ":" in finder and not Path(finder).is_dir():
        raise UsageError(f"finder {finder}: your own code keeps its threshold in its declaration; set it there")
    loaded, opened = open_both(finder, lens_set, reading)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    folder = Path(finder) if Path(finder).is_dir() else builtin_finder_folder(finder)
    if not force and out.resolve() != folder.resolve():
        refuse_other_finder(out, inputs, {}, "or --force to replace it")
    found = scores_of(loaded, opened, scores, batch)
    placed = calling_at(loaded, opened.labels, found.logit, fpr)
    result = evaluate(opened.labels, found.p_lens, found.logit, threshold=placed.recipe.threshold)
    before = read_record(folder)
    recall = next(metric for metric in result.metrics if metric.name == "recall")
    n = result.n_non_lenses
    facts = {"set": opened.content_hash, "fpr": fpr, "threshold": placed.recipe.threshold, "n_non_lenses": n}
    save_finder(
        placed,
        out,
        origin=f"{before.origin}; threshold set at a false-positive rate of {fpr:g} on {n} non-lenses",
        training_data=before.training_data,
        metrics=FinderMetrics.model_validate({**before.metrics.to_json(), "threshold_set_on": facts}),
        provenance=Provenance.here(inputs=inputs),
        card=_card(folder, facts, recall),
    )
    if as_json:
        say_json({"out": str(out), **facts, "recall": recall.to_json()})
        return
    say(
        f"{out}: {placed.name} calls a lens from p = {significant(placed.recipe.threshold, 6)}, which {fpr:g} of {n} "
        f"non-lenses reach at most; recall there {measured(recall)}, "
        f"{result.n_lenses} lenses"
    )


def _card(folder: Path, facts: dict[str, Any], recall: Metric) -> str | None:
    """The finder's card with what was done to it; None where it has none."""
    from lensaudit.documents import read_text
    from lensaudit.finders.store import CARD_FILE

    card = folder / CARD_FILE
    if not lexists(card):
        return None
    return read_text(card, "write it again in UTF-8, or remove it") + (
        f"\n## Threshold\n\nSet afterwards to p = {facts['threshold']:.6g}: at most {facts['fpr']:g} of the "
        f"{facts['n_non_lenses']} non-lenses of set `{facts['set'][:16]}` reach it; recall there "
        f"{measured(recall, 3)}, n = {recall.n}. Calls above are at the earlier one.\n"
    )
