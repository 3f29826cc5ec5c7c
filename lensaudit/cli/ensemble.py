"""``lensaudit ensemble``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lensaudit.errors import UsageError

if TYPE_CHECKING:
    from lensaudit.ensembles import Fitted


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(ensemble)


def ensemble(
    members: list[str] | None = typer.Argument(
        None, metavar="MEMBER...", help="Two finders or more, names or folders; by default the paper's seven."
    ),
    data: Path = typer.Option(..., "--data", metavar="SET", help="Lens set whose scores make the map."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Becomes the finder's folder; a stopped run goes on."),
    test: Path | None = typer.Option(None, metavar="SET", help="Set measured once at the end, for the model card."),
    images: int | None = typer.Option(None, min=1, help="So many of --data's images, evenly spread; default all."),
    name: str = typer.Option("ou-tsne", help="Of the finder."),
    perplexity: float = typer.Option(30.0, help="Of t-SNE; the paper gives none."),
    cells: str = typer.Option(
        "100", metavar="N|auto", help="Of the map's grid along each side (the paper: 100); auto: as fits its images."
    ),
    seed: int = typer.Option(1, min=0, max=2**32 - 1, help="Of t-SNE."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Combine finders by a t-SNE map of their scores (OU-T-SNE); the result is a finder like any other."""
    from functools import partial

    from lensaudit.cli.stages import stage_bars
    from lensaudit.ensembles import SEVEN, EnsemblePlan, fit_ensemble, open_members
    from lensaudit.ensembles.fit import Sets
    from lensaudit.lensset import LensSet

    plan = EnsemblePlan(name, images, perplexity, _cells(cells), seed)
    finders = open_members(members or list(SEVEN), device)
    sets = Sets(LensSet.open(data), None if test is None else LensSet.open(test))
    with stage_bars() as advance:
        watch = {"training": partial(advance, "scoring for the map"), "test": partial(advance, "measuring")}
        fitted = fit_ensemble(finders, sets, out, plan, watch)
    _show(fitted, out, as_json=as_json)


def _cells(word: str) -> int | None:
    if word == "auto":
        return None
    if not word.isdecimal():
        raise UsageError(f"--cells {word}: give a number, or auto")
    return int(word)


def _show(fitted: Fitted, out: Path, *, as_json: bool) -> None:
    record = fitted.record
    if as_json:
        words = record.model_dump(mode="json")
        facts = {"out": str(out), **{part: words[part] for part in ("weights_hash", "training_data", "metrics")}}
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    found = record.metrics["map"]
    typer.echo(
        f"{out}: {fitted.finder.name}, {len(fitted.finder.recipe.members)} members, map of "
        f"{record.training_data['n_training']} images in {found['cells_with_images']} of {found['cells']}² cells"
    )
    if "test" in record.metrics:
        for name, part in {fitted.finder.name: record.metrics["test"], **record.metrics["members"]}.items():
            shown = ", ".join(f"{word} {_interval(part[word])}" for word in ("auroc", "precision", "recall"))
            typer.echo(f"  {name} on {part['n']} test images: {shown}")
    typer.echo(f"  use it as: lensaudit evaluate {out} SET; see it with lensaudit ensemble-map {out} SET --out DIR")


def _interval(metric: dict[str, Any]) -> str:
    if metric["value"] is None:
        return f"not measured ({metric['status']})"
    return f"{metric['value']:.4f}" + ("" if metric["low"] is None else f" ({metric['low']:.4f}–{metric['high']:.4f})")
