"""One small export, made once, and what a stranger would do with it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from torch import nn

from lensaudit.finders import declare_finder
from lensaudit.probes.outside import export_cutouts, plan_export

PROBES = ("compound", "red-source", "band-swap", "false-positive")
N = 6
SEED = 3


class Flux(nn.Module):
    """Answers a slope times the mean scaled pixel beyond a middle."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 60.0 * (x.double().mean((1, 2, 3)) - 0.07)


def flux_finder():
    return declare_finder(Flux(), bands=("VIS", "H"), size=66, name="flux")


def manifest(cutouts: Path) -> list[dict[str, str]]:
    with open(cutouts / "manifest.csv", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_scores(path: Path, scores: dict[str, object]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["id", "p"])
        lines.writerows(scores.items())
    return path


def flux_scores(cutouts: Path) -> dict[str, object]:
    """What the toy says of the FITS files, one by one, by their manifest."""
    finder, said = flux_finder(), {}
    for row in manifest(cutouts):
        images = {band: fits.getdata(cutouts / row["file"], band).astype(np.float32)[None] for band in ("VIS", "H")}
        logit = finder.logit(finder.preprocess(images))
        said[row["id"]] = repr(float(torch.sigmoid(logit.double())[0]))
    return said


@pytest.fixture(scope="session")
def plan():
    return plan_export(N, SEED, PROBES)


@pytest.fixture(scope="session")
def exported(plan, tmp_path_factory):
    return export_cutouts(plan, tmp_path_factory.mktemp("export") / "flux")


@pytest.fixture(scope="session")
def scored(exported, tmp_path_factory):
    """Scores of the toy as a CSV file."""
    return write_scores(tmp_path_factory.mktemp("scores") / "scores.csv", flux_scores(exported.cutouts))
