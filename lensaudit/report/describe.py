"""What was audited: the finder and the lens set as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.report.training_history import read_history


def finder_block(finder: Any) -> dict[str, Any]:
    """Name, origin, hash of the weights, recipe and, where it is stored with the weights, the training history."""
    recipe = finder.recipe
    return {
        "name": finder.name,
        "origin": str(finder.origin),
        "weights_hash": finder.weights_hash,
        "architecture": recipe.architecture,
        "parameters": int(finder.parameters),
        "bands": list(recipe.bands),
        "size": recipe.size,
        "stretch": recipe.stretch,
        "field_of_view_arcsec": recipe.field_of_view_arcsec,
        "given_field_arcsec": finder.given_field_arcsec,
        "threshold": recipe.threshold,
        "recipe": recipe.model_dump(mode="json"),
        "training": training_of(finder),
        **({} if finder.differentiable else {"differentiable": False}),
    }


def set_block(lens_set: Any) -> dict[str, Any]:
    """Name, content hash, numbers per label, bands, seed, and whether it was simulated."""
    header, labels = lens_set.header, lens_set.labels
    return {
        "name": Path(lens_set.path).name,
        "content_hash": lens_set.content_hash,
        "instrument": lens_set.instrument,
        "n": len(lens_set),
        "n_lenses": int(np.sum(labels == 1)),
        "n_nonlenses": int(np.sum(labels == 0)),
        "n_unlabelled": int(np.sum(labels < 0)),
        "bands": [_band(lens_set, band) for band in lens_set.bands],
        "population": header.get("population"),
        "seed": header.get("seed"),
        "simulated": header.get("population") is not None,
        "has_truth": bool(lens_set.has_truth),
        "made_by": str((header.get("provenance") or {}).get("command", "unknown")),
    }


def training_of(finder: Any) -> dict[str, Any] | None:
    """History, data (hash, numbers of images) and origin of the weights; ``None`` where the folder records none."""
    from lensaudit.finders import read_record
    from lensaudit.finders.recipe import CUSTOM, builtin_finder_folder
    from lensaudit.finders.store import FINDER_FILE

    if finder.recipe.architecture == CUSTOM:
        return None
    folder = builtin_finder_folder(finder.name) if finder.origin == "built-in" else Path(str(finder.origin))
    if not (folder / FINDER_FILE).is_file():  # made in memory, or read straight from published weights
        return None
    record = read_record(folder)
    history = read_history(folder)
    data = record.training_data
    if not data and not history:
        return None
    return {"history": history, "data": data, "origin": record.origin}


def _band(lens_set: Any, band: str) -> str:
    h, w = lens_set.shape[band]
    return f"{band} {h}×{w} at {lens_set.pixel_scale_arcsec[band]:g}″"
