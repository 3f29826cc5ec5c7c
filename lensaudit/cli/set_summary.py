"""What ``simulate`` and ``ingest`` show of the set they made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lensaudit.cli.console import say, say_json

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


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
        say_json(facts)
        return
    bands = ", ".join(
        f"{name} {b['shape'][0]}×{b['shape'][1]} at {b['pixel_scale_arcsec']:.4g}″"
        for name, b in facts["bands"].items()
    )
    say(f"{facts['path']}: {facts['n']} systems, {facts['instrument']}: {bands}")
    labels = (f"{facts['lenses']} lenses", f"{facts['non_lenses']} non-lenses", f"{facts['unlabelled']} unlabelled")
    say("  " + ", ".join(labels), *(f"  {note}" for note in facts["source"].get("notes", [])))
    say(f"  content hash {facts['content_hash'][:16]}")
