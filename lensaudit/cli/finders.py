"""``lensaudit models``, ``score`` and ``threshold``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.compact import EXAMPLES, compact
from lensaudit.cli.compiling import SCORING, Scoring, compiled_if_asked
from lensaudit.cli.console import say, say_json, say_table, say_text
from lensaudit.cli.model_card import model_card
from lensaudit.cli.score_parts import PARTS, FolderScores, Parts, refuse_folder_options, say_prior, score_folder
from lensaudit.display.numbers import decimal, significant

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.finders.load import FinderDescription


def register_models(app: typer.Typer) -> None:
    """Add the commands to the application."""
    models = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="List and show finders, import weights or make them smaller, write model cards.",
    )
    models.command("list", epilog=opt.examples("lensaudit models list", "lensaudit models list --json"))(list_models)
    models.command("show", epilog=opt.examples("lensaudit models show ou66"))(show_model)
    models.command(
        "import",
        epilog=opt.examples("lensaudit models import OU_200_Weights.pt --as ou200 --out runs/ou200-published"),
    )(import_model)
    models.command(
        "card",
        epilog=opt.examples(
            "lensaudit models card ou66 --audit runs/report --out README.md",
            "lensaudit models card runs/new --audit runs/report --license mit --out runs/new/README.md",
        ),
    )(model_card)
    models.command("compact", epilog=opt.examples(*EXAMPLES))(compact)
    app.add_typer(models, name="models")


def list_models(as_json: opt.Json = False) -> None:
    """List the built-in finders, and which of them have weights."""
    from lensaudit.finders.load import builtin_finders

    finders = builtin_finders()
    if as_json:
        say_json(finders)
        return
    say_table(
        ("name", "weights", "size", "stretch", "bands"),
        [
            (
                row.name,
                "yes" if row.has_weights else "no",
                str(row.size),
                row.stretch,
                " ".join(row.bands),
            )
            for row in finders
        ],
    )


def show_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FINDER",
            help="Built-in name, a finder's folder, or the YAML of a network's file.",
            autocompletion=opt.recipe_names,
        ),
    ],
    as_json: opt.Json = False,
) -> None:
    """Show what a finder takes as input, and its model card."""
    from lensaudit.finders.load import describe

    facts = describe(name)
    if as_json:
        say_json(facts.to_json())
    else:
        say_text(_as_text(facts))


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="State dict written by torch.save.")],
    recipe_name: Annotated[
        str,
        typer.Option(
            "--as", metavar="RECIPE", help="Built-in recipe it belongs to, such as ou200.",
            autocompletion=opt.recipe_names,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new finder.")],
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Read published weights safely (nothing in the file is run) and write them as a finder."""
    from lensaudit.errors import UsageError
    from lensaudit.files import sha256
    from lensaudit.finders import STRETCHES, load_recipe, read_published, save_finder
    from lensaudit.finders.store import FINDER_FILE
    from lensaudit.provenance import Provenance

    recipe = load_recipe(recipe_name)
    if (out / FINDER_FILE).exists() and not force:
        raise UsageError(f"{out}: holds a finder already; choose another --out, or add --force to replace it")
    finder = read_published(file, recipe)
    source = Provenance.here(inputs={file.name: sha256(file)})
    record = save_finder(finder, out, origin=finder.origin, provenance=source)
    if as_json:
        say_json({"out": str(out), "finder": recipe.name, **record.model_dump(mode="json", exclude={"recipe"})})
        return
    say(f"{out}: {recipe.name}, {record.parameters} parameters, bands {', '.join(recipe.bands)}")
    say(f"  {finder.origin}")
    needed = [name for name in STRETCHES[recipe.stretch].fitted if name not in finder.statistics]
    if needed:
        say(
            f"  the file has no {', '.join(needed)} for stretch {recipe.stretch}; use it as lensaudit score {out} SET "
            f"--refit"
        )


def _as_text(facts: FinderDescription) -> str:
    import yaml

    recipe = yaml.safe_dump(facts.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return f"{recipe}\n{facts.card or facts.note}".rstrip()


TOP = 10


def register_score(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit score ou66 runs/test --out runs/scores.parquet",
            "lensaudit score ou66 runs/q1 --top 50 --out runs/q1.csv",
            "lensaudit score deeplens runs/hsc --refit --resample --out runs/hsc.fits",
            "lensaudit score ou66 runs/survey --workers 16 --out runs/survey-scores",
        )
    )(score)


def score(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE",
            help="Scores: .parquet, .csv, .ecsv, .fits, .vot (VOTable); without an ending a folder of Parquet parts.",
        ),
    ] = Path("scores.parquet"),
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=0, help="Print the N highest scores; 0: none.")
    ] = TOP,
    prior: Annotated[
        float | None,
        typer.Option(
            "--prior", metavar="FRACTION",
            help="Fraction of lenses where the scores are used: adds p_lens_prior; ranks stay.",
        ),
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            "--detections", metavar="FILE",
            help="Of a calibrated finder: a FITS table as Euclid's of strong-lens detections, beside --out.",
        ),
    ] = None,
    force: opt.Force = False,
    batch: opt.Batch = None,
    parts: Parts = PARTS,
    reading: Scoring = SCORING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Score every image of a set with a finder: a file, and the most likely lenses on the terminal.

    Into a folder, memory does not grow with the set, processes share the work, and a stopped run goes on.
    """
    from lensaudit.cli.running import bands_left_out, open_both, progress_bar, warn_of_clipping
    from lensaudit.errors import DataError, UsageError
    from lensaudit.files import writable_folder
    from lensaudit.finders import (
        check_scores_path,
        fraction_expected_by,
        pixel_record,
        prior_shift,
        score_set,
        write_scores,
    )
    from lensaudit.finders.detections import detection_cards, expected, write_detections
    from lensaudit.finders.score import first_batch
    from lensaudit.finders.scores_file import calibrated_columns, format_of
    from lensaudit.lensset import sky_positions
    from lensaudit.provenance import provenance

    folder = out.suffix == ""
    if not folder:
        format_of(out)
        refuse_folder_options(parts, out)
    elif detections is not None:
        raise UsageError(f"--detections is written beside one file of scores; give --out an ending, not {out.name}")
    loaded, opened = open_both(finder, lens_set, reading)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    record: dict[str, Any] = {"finder": loaded.name, "recipe": loaded.recipe.model_dump(mode="json")}
    if reading.field_of_view is not None:
        record["field_of_view_arcsec"] = reading.field_of_view
    if prior is not None:
        prior_shift(prior)  # a wrong one is refused before anything is read
        record |= {"prior": prior, "trained_share": fraction_expected_by(finder, loaded)}
    if folder:
        record |= _calibration(loaded, prior, None)
        asked = FolderScores(finder, lens_set, out, top, prior, batch, reading, parts, force, as_json)
        score_folder(asked, (loaded, opened), record)
        return
    check_scores_path(out, opened.ids)
    record |= _calibration(loaded, prior, detections)
    if not force:
        _refuse_other(out, record, inputs)
    writable_folder(out.parent)
    compiled = compiled_if_asked(loaded, lambda: first_batch(loaded, opened, batch), len(opened), reading.compile)
    record |= {} if compiled is None else {"compiled": True}
    with progress_bar(f"scoring with {loaded.name}") as report:
        scores = score_set(loaded, opened, batch_size=batch, progress=report, compiled=compiled)
    if loaded.calibrator is not None:
        probabilities = loaded.calibrator.probabilities(scores.logit, prior)
        scores = replace(scores, calibrated=probabilities)
    record["pixels"] = pixel_record(loaded, opened, scores.clipping).to_json()
    more = _more(scores, record)
    if (sky := sky_positions(opened)) is not None:
        more |= {"ra": sky[0], "dec": sky[1]}
    write_scores(scores, out, {**record, "provenance": provenance(inputs=inputs)}, more)
    if detections is not None:
        facts = detection_cards(loaded.name, inputs, **record["calibration"])
        written = write_detections(detections, scores, facts, sky)
    more = calibrated_columns(scores.calibrated) | more

    warn_of_clipping(loaded, scores, opened.path)
    failed = scores.failed
    if len(failed) == len(opened):
        name, why = next(iter(failed.items()))
        raise DataError(f"{lens_set}: none of {len(opened)} images could be scored (first {name}: {why}); see {out}")
    first = _first(scores, top)
    if as_json:
        summary = {"out": str(out), "finder": loaded.name, "n": len(opened), "n_failed": len(failed)}
        summary["pixels"] = record["pixels"]
        summary |= {key: record[key] for key in ("prior", "trained_share", "calibration", "compiled") if key in record}
        ranked = [_ranked(scores, more, row) for row in first]
        say_json({**summary, "top": ranked, "failed": failed})
        return
    if first:
        _show(scores, more, first)
    say(
        f"{out}: {len(opened) - len(failed)} of {len(opened)} images scored with {loaded.name}"
        f"{bands_left_out(loaded, opened)}"
    )
    if loaded.calibrator is not None:
        say(
            f"  column p_calibrated: {loaded.calibrator.method}, for a fraction of lenses of "
            f"{record['calibration']['prevalence']:.3g}; all images together: {expected(scores)} lenses expected"
        )
    if detections is not None:
        say(f"{detections}: {written} detections")
    say_prior(record)
    if failed:
        name, why = next(iter(failed.items()))
        say(f"{len(failed)} not scored (NaN, see column status), first {name}: {why}", err=True)


def _refuse_other(out: Path, record: dict[str, Any], inputs: dict[str, str]) -> None:
    """Refuse to write over `out` unless it holds an earlier result of this run, which its record says."""
    from lensaudit.errors import DataError, UsageError
    from lensaudit.finders import read_scores
    from lensaudit.finders.facts import ScoresRecord

    if not out.exists():
        return
    try:
        known = read_scores(out)[1]
    except DataError:
        known = ScoresRecord()
    said = {"calibration": None, **known.to_json()}
    record = {"calibration": None, **record}
    if known.provenance.inputs != inputs or any(said.get(name) != value for name, value in record.items()):
        raise UsageError(
            f"{out}: exists, and nothing in it says that it is from this run; give another --out, or --force to "
            f"replace it"
        )


def _calibration(finder: Finder, prior: float | None, detections: Path | None) -> dict[str, Any]:
    """What the record says of calibrated probabilities; nothing of a finder that has none."""
    from lensaudit.errors import UsageError
    from lensaudit.finders.calibrated import calibration_facts
    from lensaudit.finders.detections import check_detections_path

    if detections is not None:
        check_detections_path(detections)
        if finder.calibrator is None:
            raise UsageError(
                f"--detections: {finder.name} is not calibrated, so it has no probabilities for a survey; calibrate it "
                f"with lensaudit calibrate"
            )
    return {"calibration": calibration_facts(finder.calibrator, prior).to_json()} if finder.calibrator else {}


def _more(scores: Scores, record: dict[str, Any]) -> dict[str, Any]:
    from lensaudit.finders import with_prior

    if "prior" not in record:
        return {}
    return {"p_lens_prior": with_prior(scores.p_lens, record["prior"], record["trained_share"])}


def _first(scores: Scores, top: int) -> list[int]:
    """Rows of the highest log-odds, the highest first; p itself may be 1 for many."""
    import numpy as np

    order = np.argsort(-scores.logit, kind="stable")
    return [int(row) for row in order[:top] if np.isfinite(scores.logit[row])]


def _ranked(scores: Scores, more: dict[str, Any], row: int) -> dict[str, Any]:
    from lensaudit.records import plain

    found: dict[str, Any] = {"id": scores.ids[row]}
    found |= {"p_lens": float(scores.p_lens[row]), "logit": float(scores.logit[row])}
    return found | {name: plain(values[row]) for name, values in more.items()}


def _show(scores: Scores, more: dict[str, Any], rows: list[int]) -> None:
    names = ("p_lens_prior", "p_calibrated", "p_calibrated_low", "p_calibrated_high")
    written = dict.fromkeys(names, partial(significant, digits=4)) | {"ra": partial(decimal, digits=5)}
    written["dec"] = partial(decimal, digits=5, sign=True)
    say_table(
        ("rank", "id", "p(lens)", "log-odds", *more),
        [
            (
                str(rank), scores.ids[row], decimal(scores.p_lens[row], 6), decimal(scores.logit[row], 3, sign=True),
                *(written[name](values[row]) for name, values in more.items()),
            )
            for rank, row in enumerate(rows, 1)
        ],
    )  # fmt: skip
