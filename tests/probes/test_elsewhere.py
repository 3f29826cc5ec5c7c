"""Probes for finders that do not take Euclid's four-band cutouts: same edits, another instrument."""

from dataclasses import replace

import torch
from torch import nn

import lensaudit as la
from lensaudit.documents import digest_of
from lensaudit.finders import declare_finder
from lensaudit.imaging import INSTRUMENTS
from lensaudit.probes import ProbeOptions, load_definition, run_probe, why_not_applicable
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.elsewhere import seen_by, why_no_scene


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


SIX = tuple("ugrizy")


class Bluer(nn.Module):
    """Log-odds by how much bluer than its galaxy the middle's surroundings are: g − z of a six-band cutout."""

    def forward(self, images):
        middle = images.shape[-1] // 2
        box = images[:, :, middle - 12 : middle + 12, middle - 12 : middle + 12].mean((2, 3))
        return 40 * (box[:, 1] - 0.2 * box[:, 4])


RUBIN = declare_finder(Bluer(), SIX, 64, name="bluer", field_of_view_arcsec=12.8)


def test_a_finder_of_six_bands_gets_the_probes_of_colour():
    asked = [seen_by(one, RUBIN) for one in audited_probes()]
    assert {one.instrument for one in asked} == {"lsst-ugrizy"}
    refused = {one.name for one in asked if why_not_applicable(one, RUBIN) or why_no_scene(one)}
    assert refused == {"psf-rotation"}, "its PSF is round"
    red = next(one for one in asked if one.name == "red-source")
    assert red.doses.physical.column == "colour_source_g_z"
    assert red.doses.physical.above == "whose source is redder than g − z = {value}"
    assert red.modes == load_definition("red-source").modes, "the same populations"


def test_red_sources_of_a_six_band_finder_from_end_to_end(tmp_path):
    with torch.inference_mode():
        result = run_probe("red-source", RUBIN, 4, 1, tmp_path)
    response = result.responses[0]
    g_z = response.truth["colour_source_g_z"]
    assert list(g_z) == sorted(g_z), "redder with the dose"
    assert result.findings[-1].logit_change.value < 0, "a finder that looks for blue sees red sources less"
    assert {"control_mag_source_y", "treated_colour_lens_g_z"} <= {one.name for one in result.columns}
    assert type(result).from_json(result.to_json()).definition.instrument == "lsst-ugrizy"
    assert "mag_source_y" in (tmp_path / "probe.md").read_text()


def test_a_finder_of_another_field_gets_the_instrument_cut_to_it():
    moved = seen_by(load_definition("einstein-radius"), finder(("VIS",), 150, 15.0))
    assert (moved.instrument, moved.seen_by.band("VIS").pixels) == ("euclid-15arcsec", 150)
    assert why_no_scene(moved) is None
    assert type(moved).model_validate(moved.model_dump(mode="json")) == moved


def test_an_instrument_that_is_named_wins_and_is_kept_whole(tmp_path):
    own = replace(INSTRUMENTS["hsc"], name="mine")
    definition = seen_by(load_definition("arc-snr"), RUBIN, own)
    assert "needs band u" in why_not_applicable(definition, RUBIN)
    hsc = finder(tuple("grizy"), 64, 10.752)
    with torch.inference_mode():
        result = run_probe("arc-snr", hsc, 2, 1, tmp_path, ProbeOptions(instrument=own))
    again = type(result).from_json(result.to_json()).definition
    assert again.seen_by == own
    drawn = again.drawn("single", 1, 2)
    assert drawn.inputs == {"instrument mine": digest_of(own.to_json())}
    assert {c.name for c in drawn.columns} >= {"arc_snr_y", "mag_arc_g"}
    assert la.probe(hsc, "arc-snr", n=2, instrument="hsc").definition.instrument == "hsc"


def test_words_are_of_the_instruments_bands():
    hsc = finder(("g", "r", "i", "z"), 64, 10.752)
    doses = seen_by(load_definition("lens-colour"), hsc).doses
    assert doses.label == "change of the lens galaxy’s g − y [mag]"
    assert doses.phrase == "with the lens galaxy {dose} mag redder in g − y"
