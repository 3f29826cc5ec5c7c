"""``lensaudit false-positives``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels

if TYPE_CHECKING:
    from lensaudit.evaluation.false_positives import KindShare

KIND_COLUMN = "kind"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("false-positives")(false_positives)


def false_positives(
    finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
    lens_set: Path = typer.Argument(metavar="SET", help="Lens set with labels."),
    out: Path = typer.Option(Path("false-positives"), "--out", metavar="DIR", help="Folder for picture and table."),
    count: int = typer.Option(24, "--n", min=1, help="How many of the worst."),
    scores: Path | None = typer.Option(None, metavar="FILE", help="Scores from lensaudit score, to save scoring."),
    band: str = typer.Option("", help="Band of the picture; by default VIS, or else the finder's last."),
    field_of_view: float | None = typer.Option(
        None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
    resample: bool = RESAMPLE,
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Show the non-lenses a finder takes for lenses most surely, and which kinds are too many among them."""
    import numpy as np

    from lensaudit.cli.set_scores import scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.false_positive_picture import plot_gallery
    from lensaudit.evaluation.false_positives import shares_by_kind, worst_rows
    from lensaudit.files import writable_folder, write_json
    from lensaudit.finders import load_finder
    from lensaudit.lensset import LensSet
    from lensaudit.provenance import provenance, refuse_other

    opened = LensSet.open(lens_set)
    loaded = load_finder(finder, device).for_field(field_of_view, resample)
    loaded.check(opened)
    warn_of_pixels(loaded, opened)
    shown = band or ("VIS" if "VIS" in loaded.recipe.bands else loaded.recipe.bands[-1])
    if shown not in opened.bands:
        raise UsageError(f"--band {shown}: the set has {', '.join(opened.bands)}; name one of them")
    found = scores_of(loaded, opened, scores)
    rows = worst_rows(opened.labels, found.logit, count)
    others = np.flatnonzero((opened.labels == 0) & np.isfinite(found.logit))
    kinds = [str(kind) for kind in opened.column(KIND_COLUMN)] if KIND_COLUMN in opened.columns else None
    shares = shares_by_kind(kinds, others, rows) if kinds is not None else []
    writable_folder(out)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    refuse_other(out / "false-positives.json", inputs, "gallery")
    captions = [f"{kinds[row] + ', ' if kinds else ''}p = {found.p_lens[row]:.3g}" for row in rows]
    title = f"{loaded.name}: worst {len(rows)} of {len(others)} non-lenses, {shown}"
    width = opened.shape[shown][1] * opened.pixel_scale_arcsec[shown]
    images = [opened.images(shown, int(row))[0] for row in rows]
    plot_gallery(out / "false-positives.png", images, captions, width, title)
    record = {
        "finder": loaded.name,
        "n_non_lenses": len(others),
        "threshold": loaded.recipe.threshold,
        "worst": [
            {"id": opened.ids[row], "p_lens": float(found.p_lens[row]), "logit": float(found.logit[row])}
            | ({"kind": kinds[row]} if kinds else {})
            for row in rows
        ],
        "kinds": [share.as_json() for share in shares],
        "provenance": provenance(inputs={"finder": loaded.weights_hash, "set": opened.content_hash}),
    }
    write_json(out / "false-positives.json", record)
    if as_json:
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    called = int((found.p_lens[others] >= loaded.recipe.threshold).sum())
    typer.echo(f"{title}; {called} are called lenses at p ≥ {loaded.recipe.threshold:.4g}")
    _show(shares)
    typer.echo(f"{out}: false-positives.png, false-positives.json")


def _show(shares: list[KindShare]) -> None:
    if not shares:
        typer.echo("the set does not say of which kind its non-lenses are")
    for share in shares:
        low, high = share.interval
        mark = "  more than its share" if share.overrepresented else ""
        typer.echo(
            f"  {share.kind:16s} {share.n_worst:3d} of {share.worst}: {share.share_worst:.2f} [{low:.2f}, {high:.2f}]; "
            f"of all non-lenses {share.share_all:.2f} ({share.n_all} of {share.others}){mark}"
        )
