"""What the explanations of a report are judged on: compound lenses as the finder's own probe draws them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from lensaudit.finders import declare_finder
from lensaudit.imaging import INSTRUMENTS
from lensaudit.probes import load_definition
from lensaudit.probes.elsewhere import seen_by
from lensaudit.report import judged
from lensaudit.report.options import AuditOptions
from lensaudit.report.probes import COMPOUND


class Mean(nn.Module):
    def forward(self, images):
        return images.mean((1, 2, 3))


def finder(bands: str, size: int, field: float):
    return declare_finder(Mean(), bands.split(), size, name="any", field_of_view_arcsec=field)


@pytest.mark.parametrize(
    ("taker", "named", "instrument", "prefix"),
    [
        (finder("VIS Y J H", 100, 20.0), None, "euclid", ""),
        (finder("VIS", 101, 10.1), None, "vis101", "vis101-"),
        (finder("u g r i z y", 64, 12.8), None, "lsst-ugrizy", "lsst-ugrizy-"),
        (finder("g r i", 64, 10.752), "hsc", "hsc", "hsc-"),
    ],
    ids=["euclid", "vis101", "lsst", "named"],
)
def test_compounds_are_drawn_on_the_instrument_of_the_compound_probe(
    monkeypatch, tmp_path, taker, named, instrument, prefix
):
    drawn = []
    monkeypatch.setattr("lensaudit.lensset.simulate", lambda *words: drawn.append(words))
    options = AuditOptions(judge_n=2, seed=5, instrument=None if named is None else INSTRUMENTS[named])
    judged._compound_sets(taker, tmp_path, options)
    probe = seen_by(load_definition(COMPOUND), taker, options.instrument)
    assert probe.seen_by.name == instrument
    assert [words[:4] for words in drawn] == [
        (probe.seen_by, population, 8, 5) for population in ("compound-arcs", "compound-rings")
    ]
    folders = [Path(words[4]) for words in drawn]
    assert [folder.name for folder in folders] == [f"{prefix}compound-{kind}-n8-seed5" for kind in ("arcs", "rings")]
    assert judged.judged_folders(taker, tmp_path, options) == []
    for folder in folders:
        folder.mkdir(parents=True)
    assert judged.judged_folders(taker, tmp_path, options) == folders  # that a second run finds
