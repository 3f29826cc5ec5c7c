"""How much of the lens/non-lens label a photometric shortcut can guess: the realism rule of the training set.

A gradient-boosted tree sees only numbers that a finder should not need: total flux per band, colours, central
surface brightness per band and background noise per band, measured on the noisy images. Its cross-validated AUROC
must stay at 0.65 or below.

    python benchmarks/realism.py [--n 4000] [--seed 11] [--set DIR]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from lensaudit.lensset import LensSet, simulate
from lensaudit.statistics import auroc, auroc_interval

LIMIT = 0.65


def shortcut_features(lens_set: LensSet, batch: int = 200) -> np.ndarray:
    """Photometric numbers of each system (n, features)."""
    rows = []
    for start in range(0, len(lens_set), batch):
        cutouts = lens_set.cutouts(slice(start, min(start + batch, len(lens_set))))
        columns = []
        for images in cutouts.values():
            total = images.sum(axis=(1, 2), dtype=np.float64)
            middle = images.shape[1] // 2
            near = images[:, middle - 3 : middle + 3, middle - 3 : middle + 3].mean(axis=(1, 2))
            peak = images.max(axis=(1, 2))
            edge = np.concatenate([images[:, :4].reshape(len(images), -1), images[:, -4:].reshape(len(images), -1)], 1)
            noise = 1.4826 * np.median(np.abs(edge - np.median(edge, axis=1, keepdims=True)), axis=1)
            columns += [total, near, peak, noise]
        fluxes = np.stack(columns[::4], axis=1)
        colours = -2.5 * np.log10(np.maximum(fluxes[:, :-1], 1e-3) / np.maximum(fluxes[:, 1:], 1e-3))
        rows.append(np.column_stack([*columns, colours]))
    return np.concatenate(rows)


def main() -> None:
    """Simulate (or read) a set, fit the tree in five folds and print its AUROC."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--set", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.set
        if path is None:
            path = Path(folder) / "set"
            simulate("euclid", "euclid", n=options.n, seed=options.seed, out=path, workers=2)
        lens_set = LensSet.open(path)
        features, labels, kinds = shortcut_features(lens_set), lens_set.labels, lens_set.column("kind")
    tree = HistGradientBoostingClassifier(random_state=0, max_iter=150, learning_rate=0.06)
    guess = cross_val_predict(tree, features, labels, cv=5, method="predict_proba")[:, 1]

    lenses = guess[labels == 1]
    value, (low, high) = auroc(lenses, guess[labels == 0]), auroc_interval(lenses, guess[labels == 0])
    print(f"photometric shortcut: AUROC {value:.3f} [{low:.3f}, {high:.3f}] (95 %, DeLong), n = {len(labels)}")
    print(f"rule: at most {LIMIT}: {'kept' if value <= LIMIT else 'BROKEN'}")
    for kind in sorted(set(kinds)):
        if kind != "single":
            print(f"  single against {kind}: AUROC {auroc(lenses, guess[kinds == kind]):.3f}")


if __name__ == "__main__":
    main()
