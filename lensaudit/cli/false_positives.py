"""``lensaudit false-positives``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.evaluation.false_positives import KindShare

KIND_COLUMN = "kind"
TOP = 24


def register(app: typer.Typer) -> None:
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
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many of the worst.")] = TOP,
    old_top: Annotated[int | None, typer.Option("--n", min=1, hidden=True)] = None,
    scores: opt.Scores = None,
    band: Annotated[
        str, typer.Option("--band", metavar="BAND", help="Of the picture; by default VIS, or else the finder's last.")
    ] = "",
    force: opt.Force = False,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Show the non-lenses a finder takes for lenses most surely, and which kinds are too many among them."""
    import numpy as np

    from lensaudit.cli.opening import open_both, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.false_positive_picture import plot_gallery
    from lensaudit.evaluation.false_positives import shares_by_kind, worst_rows
    from lensaudit.files import writable_folder, write_json
    from lensaudit.provenance import provenance, refuse_other

    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    shown = band or ("VIS" if "VIS" in loaded.recipe.bands else loaded.recipe.bands[-1])
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
    shares = shares_by_kind(kinds, others, rows) if kinds is not None else []
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
        "kinds": [share.as_json() for share in shares],
        "provenance": provenance(inputs=inputs),
    }
    write_json(out / "false-positives.json", record)
    if as_json:
        say_json(record)
        return
    called = int((found.p_lens[others] >= loaded.recipe.threshold).sum())
    say(f"{title}; {called} are called lenses at p ≥ {loaded.recipe.threshold:.4g}")
    _show(shares)
    say(f"{out}: false-positives.png, false-positives.json")


def _show(shares: list[KindShare]) -> None:
    if not shares:
        say("the set does not say of which kind its non-lenses are")
        return
    say_table(
        ("kind", "among the worst", "fraction", "95 % interval", "of all non-lenses", "more than its fraction"),
        [
            (
                one.kind, f"{one.n_worst} of {one.worst}", f"{one.share_worst:.2f}",
                "[{:.2f}, {:.2f}]".format(*one.interval), f"{one.share_all:.2f} ({one.n_all} of {one.others})",
                "yes" if one.overrepresented else "",
            )
            for one in shares
        ],
    )  # fmt: skip
