"""Advice about the field of view is never refused in turn, whatever the shape of the cutouts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.finders.units import refuse_other_field

WANTED = 20.0


@dataclass(frozen=True)
class Cutouts:
    """What is asked of a set."""

    height: int
    width: int
    scale: float
    bands: tuple[str, ...] = ("VIS",)
    instrument: str = "made up"

    @property
    def shape(self) -> dict[str, tuple[int, int]]:
        return {"VIS": (self.height, self.width)}

    @property
    def pixel_scale_arcsec(self) -> dict[str, float]:
        return {"VIS": self.scale}

    def cropped(self, arcsec: float) -> Cutouts:
        """As ``lensaudit ingest --size-arcsec`` does it: the central square."""
        side = max(1, round(arcsec / self.scale))
        assert side <= min(self.height, self.width), "ingest cannot crop to more than there is"
        return Cutouts(side, side, self.scale)


def refused(cutouts: Cutouts, wanted: float) -> str:
    """What is said of the cutouts; empty where they are taken."""
    try:
        refuse_other_field("f", "VIS", wanted, cutouts)
    except DataError as error:
        return str(error)
    return ""


def test_the_reported_circle_is_cut():
    """200×180 pixels were told to give 18, and then to give 20."""
    said = refused(Cutouts(200, 180, 0.1), WANTED)
    assert "= 20 × 18″" in said
    assert "crop to 180 pixels with lensaudit ingest --size-arcsec 18, then" in said
    assert said.endswith("--field-of-view 18")
    assert refused(Cutouts(180, 180, 0.1), 18.0) == ""


@pytest.mark.parametrize("seed", range(4))
def test_what_is_advised_is_taken(seed):
    rng = np.random.default_rng(seed)
    refusals = 0
    for _ in range(500):
        cutouts = Cutouts(*(int(n) for n in rng.integers(3, 400, 2)), float(rng.choice([0.05, 0.1, 0.101, 0.262, 0.3])))
        if rng.random() < 0.5:
            cutouts = Cutouts(cutouts.height, cutouts.height + int(rng.integers(-1, 2)), cutouts.scale)
        if not (said := refused(cutouts, WANTED)):
            continue
        refusals += 1
        advice = said.split("; ", 1)[1]
        steps = [part for part in advice.split(", or ") if part]
        for step in steps:  # alternatives; within one, crop and field of view go together
            crop = re.search(r"--size-arcsec ([\d.]+)", step)
            field = re.search(r"--field-of-view ([\d.]+)", step)
            assert crop or field, said
            tried = cutouts.cropped(float(crop[1])) if crop else cutouts
            assert refused(tried, float(field[1]) if field else WANTED) == "", said
    assert refusals > 300
