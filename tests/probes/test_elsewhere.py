"""Probes for finders that do not take Euclid's four-band cutouts: same edits, another instrument."""

import torch
from torch import nn

from lensaudit.finders import declare_finder
from lensaudit.probes import load_definition, run_probe, why_not_applicable
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.definition import seen_by, why_no_scene


class Total(nn.Module):
    """Log-odds by the middle's brightness: something that every edit of light moves."""

    def forward(self, images):
        middle = images.shape[-1] // 2
        return 10 * images[:, :, middle - 8 : middle + 8, middle - 8 : middle + 8].mean((1, 2, 3)) - 2


def finder(bands, size, field):
    return declare_finder(Total(), bands, size, name="total", field_of_view_arcsec=field)


LSST = finder(("g",), 45, 8.1)
VIS101 = finder(("VIS",), 101, 10.1)
EUCLID = finder(("VIS", "Y", "J", "H"), 100, 20.0)


def test_a_probe_goes_where_the_finders_cutouts_are():
    definition = load_definition("einstein-radius")
    assert seen_by(definition, EUCLID) == definition
    for one, instrument, population in ((VIS101, "vis101", "single-centred"), (LSST, "lsst", "lsst-best-lens")):
        moved = seen_by(definition, one)
        assert moved.instrument == instrument
        assert moved.modes["physical"].populations == {"lenses": population}
        assert (moved.edits, moved.doses, moved.tolerance) == (definition.edits, definition.doses, definition.tolerance)
        assert why_not_applicable(moved, one) is None


def test_what_others_published_on_their_images_stays_there():
    assert load_definition("compound").published is not None
    moved = seen_by(load_definition("compound"), VIS101)
    assert moved.published is None
    assert set(moved.modes) == {"physical"}, "the faithful mode draws for four bands"


def test_a_finder_of_no_known_cutout_keeps_the_probe_and_gets_its_reason():
    nowhere = finder(("K",), 20, 5.0)
    definition = load_definition("einstein-radius")
    assert seen_by(definition, nowhere) == definition
    assert "needs band K" in why_not_applicable(definition, nowhere)


def test_edits_that_do_not_fit_say_why():
    moved = seen_by(load_definition("psf-rotation"), LSST)
    assert "round Gaussian, which no turn changes" in why_no_scene(moved)
    assert why_no_scene(seen_by(load_definition("psf-width"), LSST)) is None
    assert why_no_scene(load_definition("psf-rotation")) is None


def test_every_probe_is_either_asked_or_explained():
    for one in (LSST, VIS101):
        asked = [d.name for d in audited_probes() if not (
            why_not_applicable(seen_by(d, one), one) or why_no_scene(seen_by(d, one)))]  # fmt: skip
        assert {"einstein-radius", "arc-snr", "psf-width", "false-positive", "sub-pixel-shift"} <= set(asked)


def test_a_probe_of_an_lsst_finder_runs_and_says_on_what(tmp_path):
    with torch.inference_mode():
        result = run_probe("arc-snr", LSST, 6, 1, tmp_path)
    assert result.definition.instrument == "lsst"
    assert result.findings[0].population == "lenses"
    assert (tmp_path / "probe.md").is_file()
