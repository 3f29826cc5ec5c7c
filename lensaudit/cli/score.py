"""``lensaudit score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.finders import Scores

TOP = 10


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit score ou66 runs/test --out runs/scores.parquet",
            "lensaudit score ou66 runs/q1 --top 50 --out runs/q1.csv",
            "lensaudit score deeplens runs/hsc --refit --resample --out runs/hsc.fits",
        )
    )(score)


def score(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Scores: .parquet, .csv, .ecsv, .fits, or .vot (VOTable)."),
    ] = Path("scores.parquet"),
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=0, help="Print the N that are lenses most surely; 0: none.")
    ] = TOP,
    prior: Annotated[
        float | None,
        typer.Option(
            "--prior", metavar="FRACTION",
            help="Fraction of lenses where the scores are used: adds p_lens_prior; ranks stay.",
        ),
    ] = None,
    force: opt.Force = False,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Score every image of a set with a finder: a file, and the most likely lenses on the terminal."""
    from lensaudit.cli.opening import bands_left_out, open_both, warn_of_clipping
    from lensaudit.cli.progress import progress_bar
    from lensaudit.errors import DataError
    from lensaudit.files import writable_folder
    from lensaudit.finders import (
        check_scores_path,
        pixel_record,
        prior_shift,
        score_set,
        share_expected_by,
        write_scores,
    )
    from lensaudit.finders.scores_formats import format_of
    from lensaudit.lensset import sky_positions
    from lensaudit.provenance import provenance

    format_of(out)
    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    record: dict[str, Any] = {"finder": loaded.name, "recipe": loaded.recipe.model_dump(mode="json")}
    if field_of_view is not None:
        record["field_of_view_arcsec"] = field_of_view
    if prior is not None:
        prior_shift(prior)  # a wrong one is refused before anything is read
        record |= {"prior": prior, "trained_share": share_expected_by(finder, loaded)}
    check_scores_path(out, opened.ids)
    if not force:
        _refuse_other(out, record, inputs)
    writable_folder(out.parent)
    with progress_bar(f"scoring with {loaded.name}") as report:
        scores = score_set(loaded, opened, batch_size=batch, progress=report)
    record["pixels"] = pixel_record(loaded, opened, scores.clipping)
    more = _more(scores, record)
    if (sky := sky_positions(opened)) is not None:
        more |= {"ra": sky[0], "dec": sky[1]}
    write_scores(scores, out, {**record, "provenance": provenance(inputs=inputs)}, more)

    warn_of_clipping(loaded, scores, opened.path)
    failed = scores.failed
    if len(failed) == len(opened):
        name, why = next(iter(failed.items()))
        raise DataError(f"{lens_set}: none of {len(opened)} images could be scored (first {name}: {why}); see {out}")
    first = _first(scores, top)
    if as_json:
        summary = {"out": str(out), "finder": loaded.name, "n": len(opened), "n_failed": len(failed)}
        summary["pixels"] = record["pixels"]
        summary |= {key: record[key] for key in ("prior", "trained_share") if key in record}
        ranked = [_ranked(scores, more, row) for row in first]
        say_json({**summary, "top": ranked, "failed": failed})
        return
    if first:
        _show(scores, more, first)
    say(
        f"{out}: {len(opened) - len(failed)} of {len(opened)} images scored with {loaded.name}"
        f"{bands_left_out(loaded, opened)}"
    )
    if prior is not None:
        say(
            f"  column p_lens_prior: lenses are {prior:g} of the images instead of the {record['trained_share']:g} "
            f"the finder was trained to expect"
        )
    if failed:
        name, why = next(iter(failed.items()))
        say(f"{len(failed)} not scored (NaN, see column status), first {name}: {why}", err=True)


def _refuse_other(out: Path, record: dict[str, Any], inputs: dict[str, str]) -> None:
    """Refuse to write over `out` unless it holds an earlier result of this run, which its record says."""
    from lensaudit.errors import DataError, UsageError
    from lensaudit.finders import read_scores

    if not out.exists():
        return
    try:
        known = read_scores(out)[1]
    except DataError:
        known = {}
    same = known.get("provenance", {}).get("inputs") == inputs
    if not same or any(known.get(name) != value for name, value in record.items()):
        raise UsageError(
            f"{out}: exists, and nothing in it says that it is from this run; give another --out, or --force to "
            f"replace it"
        )


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
    import math

    found: dict[str, Any] = {"id": scores.ids[row]}
    found |= {"p_lens": float(scores.p_lens[row]), "logit": float(scores.logit[row])}
    values = {name: float(values[row]) for name, values in more.items()}
    return found | {name: value if math.isfinite(value) else None for name, value in values.items()}


def _show(scores: Scores, more: dict[str, Any], rows: list[int]) -> None:
    digits = {"p_lens_prior": ".4g", "ra": ".5f", "dec": "+.5f"}
    say_table(
        ("rank", "id", "p(lens)", "log-odds", *more),
        [
            (
                str(rank), scores.ids[row], f"{scores.p_lens[row]:.6f}", f"{scores.logit[row]:+.3f}",
                *(format(values[row], digits[name]) for name, values in more.items()),
            )
            for rank, row in enumerate(rows, 1)
        ],
    )  # fmt: skip
