"""What ``simulate`` and ``ingest`` show while they run, and of the set they made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A rich progress bar on standard error; yields the callback (done, all)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=None)

    def report(done: int, n: int) -> None:
        bar.start()  # not before the first report, so that a refused command shows its one line only
        bar.update(task, completed=done, total=n)

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()


def summary(lens_set: LensSet) -> dict[str, Any]:
    """JSON-able facts of a set: path, size, bands, labels, content hash, and what its source left out."""
    labels = lens_set.labels
    header = lens_set.header
    return {
        "path": str(lens_set.path),
        "n": len(lens_set),
        "instrument": lens_set.instrument,
        "population": header["population"],
        "seed": header["seed"],
        "bands": {
            band: {"shape": lens_set.shape[band], "pixel_scale_arcsec": lens_set.pixel_scale_arcsec[band]}
            for band in lens_set.bands
        },
        "lenses": int((labels == 1).sum()),
        "non_lenses": int((labels == 0).sum()),
        "unlabelled": int((labels == -1).sum()),
        "source": header["source"],
        "content_hash": lens_set.content_hash,
    }


def show(lens_set: LensSet, *, as_json: bool) -> None:
    """Print the facts of a set, for people or for machines."""
    facts = summary(lens_set)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    bands = ", ".join(
        f"{name} {b['shape'][0]}×{b['shape'][1]} at {b['pixel_scale_arcsec']:.4g}″"
        for name, b in facts["bands"].items()
    )
    typer.echo(f"{facts['path']}: {facts['n']} systems, {facts['instrument']}: {bands}")
    labels = (f"{facts['lenses']} lenses", f"{facts['non_lenses']} non-lenses", f"{facts['unlabelled']} unlabelled")
    typer.echo("  " + ", ".join(labels))
    for note in facts["source"].get("notes", []):
        typer.echo(f"  {note}")
    typer.echo(f"  content hash {facts['content_hash'][:16]}")
