"""How fine a grid an ensemble's map needs, and what the map itself costs, on images that made neither.

The two tables of docs/ou-tsne.md, from the members' scores alone. What is measured on the test set is to examine: the
grid is chosen by the map's own images, each left out of its cell.

    python benchmarks/ensemble_map.py ou-tsne SET --out runs/ensemble-map
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from lensaudit.ensembles.map_files import member_scores
from lensaudit.ensembles.map_picture import brier_scores, counted, lens_fraction
from lensaudit.ensembles.stack import regression
from lensaudit.finders import load_finder
from lensaudit.finders.ou_tsne import DECIMALS, LensMap, OuTsne, cells_of
from lensaudit.lensset import LensSet
from lensaudit.statistics import auroc

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS = 25


def nearest(points: Floats, reference: Floats, labels: Labels) -> Floats:
    """Fraction of lenses among the nearest reference points of each point."""
    from sklearn.neighbors import NearestNeighbors

    _, found = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(reference).kneighbors(points)
    return np.asarray(labels[found].mean(axis=1))


def ranked(score: Floats, labels: Labels) -> float:
    """AUROC of a score."""
    return auroc(score[labels == 1], score[labels == 0])


def grids(on_map: LensMap, known: Labels, places: Floats, labels: Labels) -> list[str]:
    """Each grid: its error on the map's images, each left out, and on the test images; its AUROC there."""
    lines = ["| cells | error, each image of the map left out | error on the test images | AUROC on the test images |"]
    lines += ["| --- | --- | --- | --- |"]
    for side, error in sorted(brier_scores(on_map.positions, known).items(), reverse=True):
        column, row = cells_of(places, on_map.positions, side)
        fraction = lens_fraction(*counted(on_map.positions, known, side))[row, column]
        missed = float(np.mean((fraction - labels) ** 2))
        name = f"**{side}×{side}, taken**" if side == len(on_map.fraction) else f"{side}×{side}"
        lines.append(f"| {name} | {error:.4f} | {missed:.4f} | {ranked(fraction, labels):.3f} |")
    return lines


def costs(on_map: LensMap, known: Labels, vectors: Floats, places: Floats, labels: Labels) -> list[str]:
    """AUROC of the cell, of the neighbours on the map and among the scores, and of two combinations without a map."""
    least = 10.0**-DECIMALS
    sure, own = (logit(np.clip(p, least, 1 - least)) for p in (vectors, on_map.vectors))
    weights, bias = regression(own, known)
    cells, members = len(on_map.fraction), vectors.shape[1]
    scores = {
        f"lens fraction of its cell, {cells}×{cells} cells": on_map.p_lens(places),
        f"fraction of lenses among its {NEIGHBOURS} nearest on the map": nearest(places, on_map.positions, known),
        f"the same among the {members} scores, without a map": nearest(vectors, on_map.vectors, known),
        f"logistic regression on the {members} log-odds": sure @ weights + bias,
        f"mean of the {members} log-odds": sure.mean(axis=1),
    }
    lines = ["| score of an image | AUROC |", "| --- | --- |"]
    return lines + [f"| {name} | {ranked(score, labels):.3f} |" for name, score in scores.items()]


def main() -> None:
    """Score the set with every member, kept below ``--out``, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ensemble", help="an ensemble on a map: ou-tsne, or the folder that `lensaudit ensemble` wrote")
    parser.add_argument("set", type=Path, help="labelled cutouts that no member and no map was made of")
    parser.add_argument("--out", type=Path, required=True, help="folder of the members' scores")
    asked = parser.parse_args()
    finder, lens_set = load_finder(asked.ensemble), LensSet.open(asked.set)
    if not isinstance(finder.module, OuTsne):
        parser.error(f"{asked.ensemble} is no ensemble on a map")
    module = cast(OuTsne, finder.module)
    scored = member_scores(finder, lens_set, None, asked.out, lambda done, n: print(f"\r{done} of {n}", end=""))
    print()
    told = scored.known & (lens_set.labels[scored.rows] >= 0)
    labels = lens_set.labels[scored.rows][told].astype(np.int64)
    known = module.state_dict()["labels"].numpy()
    vectors = scored.vectors[told]
    places = module.map.place(vectors)
    print(f"{len(known)} images on the map, {labels.sum()} lenses and {(1 - labels).sum()} non-lenses measure it\n")
    tables = [*grids(module.map, known, places, labels), "", *costs(module.map, known, vectors, places, labels)]
    print("\n".join(tables))


if __name__ == "__main__":
    main()
