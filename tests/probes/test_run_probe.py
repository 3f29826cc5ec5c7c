"""The whole probe on toy finders: verdicts, files, page, refusals."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import declare_finder
from lensaudit.imaging import EUCLID, render
from lensaudit.probes import (
    ProbeOptions,
    load_definition,
    run_probe,
)
from lensaudit.probes.definition import Mode
from lensaudit.scenes import draw_scene
from lensaudit.verdicts import BIAS, EQUIVALENT, FALSE_POSITIVES, INCONCLUSIVE, NOT_ASSESSABLE

from .conftest import SEED, Constant, content, formula, one_band, rendered, scaled

PAIRS = 8
POPULATIONS = {"arcs": "compound-arcs", "rings": "compound-rings"}
LOOSE = ProbeOptions(tolerance=0.35)  # a tolerance that `PAIRS` pairs can show: 3.84 / (8 + 3.84) = 0.32


def flux(bands):
    """Half of the rings are found, and some arcs."""
    return 0.05 * (bands["VIS"].sum((1, 2)) - 100.0)


def run(finder, out, options=LOOSE):
    return run_probe("compound", finder, PAIRS, SEED, out, options)


def over_all_pairs(result):
    return {finding.population: finding for finding in result.findings if finding.subset == "all pairs"}


def images(population, arm):
    """VIS of one arm, rendered apart."""
    return np.stack([rendered("compound", index, population)[arm].images["VIS"] for index in range(PAIRS)])


@pytest.fixture(scope="module")
def flux_out(tmp_path_factory):
    return tmp_path_factory.mktemp("flux") / "out"


@pytest.fixture(scope="module")
def flux_result(flux_out):
    return run(formula(flux, name="flux"), flux_out)


@pytest.mark.parametrize("label", POPULATIONS)
def test_finder_of_total_flux_changes_as_the_flux_does(flux_result, label):
    """Logits and recalls from images rendered apart, without finder or probe."""
    control, treated = (flux({"VIS": images(POPULATIONS[label], arm).astype(float)}) for arm in (0, 1))
    found = over_all_pairs(flux_result)[label]
    assert found.control.k == np.sum(control >= 0)
    assert found.treated.k == np.sum(treated >= 0)
    change = (treated - control).mean()
    assert found.logit_change.value == pytest.approx(change, rel=1e-9)  # the same sums
    assert found.logit_change.low <= change <= found.logit_change.high


def test_the_threshold_cuts_the_sample(flux_result):
    """Or the recalls above would be empty tests."""
    found = over_all_pairs(flux_result).values()
    assert 0 < sum(f.treated.k for f in found) < 2 * PAIRS


@pytest.mark.usefixtures("no_figures")
def test_planted_blindness_to_compounds_is_found(tmp_path):
    known = np.concatenate([images(population, 1).sum((1, 2), dtype=float) for population in POPULATIONS.values()])

    def blind(bands):
        total = bands["VIS"].sum((1, 2))
        return np.where((np.abs(total[:, None] - known) < 1e-6).any(1), -4.0, 4.0)

    result = run(formula(blind, name="blind"), tmp_path, ProbeOptions(tolerance=0.02))  # p = 2 · 0.51⁸ of each
    assert result.verdict.state is BIAS
    for found in over_all_pairs(result).values():
        assert (found.control.value, found.treated.value, found.verdict.state) == (1.0, 0.0, BIAS)
        assert found.lost == PAIRS
        assert found.p_holm < 0.05
        assert found.logit_change.value == pytest.approx(-8)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("logit", "options", "state", "sentence"),
    [
        (2.0, LOOSE, EQUIVALENT, "no loss beyond the tolerated 0.35."),
        (2.0, ProbeOptions(), INCONCLUSIVE, "pairs would settle it"),
        (-2.0, LOOSE, NOT_ASSESSABLE, "finds 0 of 8 control lenses"),
    ],
)
def test_constant_finder_shows_exactly_no_effect(tmp_path, logit, options, state, sentence):
    result = run(one_band(Constant(logit), "fair"), tmp_path, options)
    assert result.verdict.state is state
    assert sentence in result.verdict.sentence
    for found in over_all_pairs(result).values():
        assert (found.recall_change.value, found.logit_change.value, found.p_value) == (0, 0, 1)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("answer", "tolerance", "state"),
    [
        ("all", 0.1, FALSE_POSITIVES),  # Wilson of 8 of 8 begins at 0.68
        ("none", 0.35, NOT_ASSESSABLE),  # a finder that finds nothing refuses contaminants for no reason
        ("none", 0.1, NOT_ASSESSABLE),
    ],
)
def test_a_contaminant_is_judged_by_what_is_called_a_lens(tmp_path, answer, tolerance, state):
    """Whatever the control: here all its lenses are found, or none."""
    finder = one_band(Constant(2.0 if answer == "all" else -2.0))
    result = run_probe("false-positive", finder, PAIRS, SEED, tmp_path, ProbeOptions(tolerance=tolerance))
    assert result.verdict.state is state
    assert result.findings[0].treated.k == (PAIRS if answer == "all" else 0)


def test_json_on_disk_is_the_result(flux_result, flux_out):
    held = json.loads((flux_out / "probe.json").read_text(encoding="utf-8"))
    assert held == json.loads(json.dumps(flux_result.to_json(), allow_nan=False))
    assert held["format"] == "lensaudit-probe/2"
    assert held["finder"]["weights_hash"] == flux_result.finder.weights_hash
    assert held["provenance"]["seed"] == SEED
    assert held["published"]["caption"] == "published, on the authors’ images"
    assert held["doses"] is None
    assert held["settings"] == {
        "n": PAIRS, "seed": SEED, "mode": "physical", "tolerance": 0.35, "lens_set": None, "hosts": None
    }  # fmt: skip
    assert {f["population"] for f in held["findings"]} == set(POPULATIONS)
    for name in held["figures"].values():
        assert (flux_out / name).read_bytes().startswith(b"\x89PNG")
        assert (flux_out / name).stat().st_size < 1.5e6


def test_parquet_holds_what_the_numbers_were_made_of(flux_result, flux_out):
    table = pq.read_table(flux_out / "pairs.parquet")
    rows = table.to_pydict()
    assert table.num_rows == 2 * PAIRS
    assert table.schema.field("treated_theta_e_arcsec").metadata[b"unit"] == b"arcsec"
    for label, found in over_all_pairs(flux_result).items():
        here = np.array(rows["population"]) == label
        assert np.sum(np.array(rows["p_treated"])[here] >= 0.5) == found.treated.k
        both = np.ones(2 * PAIRS, dtype=bool)
        for arm in ("control", "treated"):
            both &= np.array(rows[f"{arm}_magnification"]) > 1.6
            both &= np.array(rows[f"{arm}_n_arc_pixels"]) > 20
        ruled = next(f for f in flux_result.findings if f.population == label and f.subset == "wilde2022")
        assert ruled.n == np.sum(both & here) == flux_result.rule_counts[label]["both"]
        assert ruled.control.k == np.sum((np.array(rows["p_control"]) >= 0.5)[both & here])
    doses = pq.read_table(flux_out / "doses.parquet").to_pydict()
    assert len(doses["arm"]) == 4 * PAIRS
    treated = [logit for logit, arm in zip(doses["logit"], doses["arm"], strict=True) if arm == 1]
    assert treated == rows["logit_treated"]


def test_curves_hold_every_pair(flux_result):
    for curve in flux_result.curves:
        assert sum(one.control.n for one in curve.bins) + curve.outside == PAIRS
    assert {curve.column for curve in flux_result.curves} == {"theta_e_arcsec", "arc_snr"}


def test_page_says_what_differs_and_what_is_published(flux_result, flux_out):
    page = (flux_out / "probe.md").read_text(encoding="utf-8")
    assert "other images than ours" in page
    assert "| OU-66 | 0.6291 | 0.4742 |" in page
    assert flux_result.mode_note in page
    assert "without-far-source (control) and identity (treated)" in page
    assert not re.search(r"\bnan\b", page.lower())


def test_the_same_run_writes_the_same_bytes(flux_result, flux_out, tmp_path):
    run(formula(flux, name="flux"), tmp_path)
    assert content(tmp_path) == content(flux_out)
    top = [path.name for path in flux_out.iterdir() if path.is_file()]
    assert sorted(top) == sorted(
        ["probe.json", "probe.md", "pairs.parquet", "doses.parquet", *flux_result.figures.values()]
    )


def test_a_page_of_doses_says_where_the_tolerance_is_left(tmp_path):
    """With figures: the broken line and the gallery are drawn from the same numbers."""
    finder = formula(lambda bands: 0.2 * (bands["VIS"][:, 90:110, 90:110].sum((1, 2)) - 3.0))
    result = run_probe("arc-snr", finder, 4, SEED, tmp_path, ProbeOptions(tolerance=0.5))
    page = (tmp_path / "probe.md").read_text(encoding="utf-8")
    assert "## Along the strength" in page
    assert "| median over the systems | control | 0.5 | 1 | 1.5 | 2 | 3 |" in page
    assert "at no dose is the measured loss above" in page or "the loss exceeds the tolerated 0.5 from dose" in page
    assert not re.search(r"\bnan\b", page.lower())
    assert set(result.figures) == {"recall", "doses", "effect", "pairs"}
    mags = result.responses[0].truth["mag_source_VIS"]
    assert np.diff(mags) == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0])  # what a dose means


@pytest.mark.usefixtures("no_figures")
def test_faithful_mode_stretches_both_arms_and_says_how_its_control_differs(tmp_path):
    finder = declare_finder(_Mean(), bands=("VIS",), size=200, name="mean")
    result = run_probe("compound", finder, 2, SEED, tmp_path, ProbeOptions(mode="faithful"))
    assert result.finder.stretch == "sqrt-together"  # of one band it is sqrt-minmax
    assert "the two arms then differ in more than the far source" in (tmp_path / "probe.md").read_text("utf-8")
    treated = np.stack(
        [render(draw_scene("compound-rings-faithful", SEED, index), EUCLID).images["VIS"] for index in range(2)]
    )
    expected = scaled(np.sqrt(np.clip(treated, 0, 10_000))).mean((1, 2))
    assert result.column("logit_treated")[2:] == pytest.approx(expected, abs=1e-5)  # float32
    undone = run_probe("compound", finder, 2, SEED, tmp_path, ProbeOptions(mode="faithful", stretch="minmax"))
    assert undone.finder.stretch == "minmax"
    assert undone.column("logit_treated")[2:] == pytest.approx(scaled(treated).mean((1, 2)), abs=1e-5)


class _Mean(Constant):
    def __init__(self):
        super().__init__(0.0)

    def forward(self, x):
        return x.double().mean((1, 2, 3))


@pytest.mark.usefixtures("no_figures")
def test_lenses_of_a_set_are_counted_and_named(tmp_path, small_set):
    finder = formula(flux, ("VIS", "H"))
    result = run_probe("background-offset", finder, 500, SEED, tmp_path, ProbeOptions(lens_set=small_set))
    assert result.settings.n == result.findings[0].n < 10  # as many lenses as it holds, not as many as were asked for
    assert result.settings.lens_set == "small"
    page = (tmp_path / "probe.md").read_text(encoding="utf-8")
    assert "The lenses of the set small, whose images were edited" in page
    assert f"{result.settings.n} pairs of each population" in page
    assert "small" in result.provenance.inputs
    offsets = [found.logit_change.value for found in result.findings]
    assert offsets == sorted(offsets)  # the logit is a flux, and the doses rise
    assert offsets[0] < 0 < offsets[-1]


def test_a_set_is_refused_by_a_probe_of_scenes(tmp_path, small_set):
    with pytest.raises(UsageError, match=r"'red-source' edits scenes, .* holds images"):
        run_probe("red-source", formula(flux, ("VIS", "H")), 2, SEED, tmp_path / "o", ProbeOptions(lens_set=small_set))
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def kernel_file(tmp_path_factory):
    """A kernel with a tail to one side, so that a turn is seen."""
    from astropy.io import fits

    x = np.arange(21) - 10
    spot = np.exp(-(x[:, None] ** 2 + x**2) / 8.0) + 0.3 * np.exp(-(x[:, None] ** 2 + (x - 4) ** 2) / 8.0)
    path = tmp_path_factory.mktemp("kernel") / "kernel.fits"
    hdu = fits.ImageHDU(spot.astype(np.float32), name="VIS_PSF")
    hdu.header["PIXSCALE"] = 0.1
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


@pytest.mark.usefixtures("no_figures")
def test_a_kernel_from_a_file_is_turned(tmp_path, kernel_file):
    """The light's centroid follows the kernel's tail: right at 0°, left at 180°."""
    x = (np.arange(200) - 99.5)[60:140]  # the middle, so that galaxies of the field do not cross the frame's edge
    finder = formula(lambda bands: bands["VIS"][:, 60:140, 60:140].sum(1) @ x)
    plain = {"modes": {"plain": Mode(populations={"lenses": "plain"})}, "default_mode": "plain"}
    probe = load_definition("psf-rotation-real").model_copy(update=plain)
    result = run_probe(probe, finder, 2, SEED, tmp_path, ProbeOptions(psf=kernel_file))
    change = {found.dose: found.logit_change.value for found in result.findings}
    light = np.array([rendered("orientation", k, "plain")[0].noiseless["VIS"][60:140, 60:140].sum() for k in range(2)])
    spot = 4 * 0.3 / 1.3  # pixels by which the tail moves the kernel's centroid
    assert change[180.0] == pytest.approx(-2 * spot * light.mean(), rel=0.1)  # edges of kernel and window
    assert change[90.0] == pytest.approx(-spot * light.mean(), rel=0.1)
    assert "kernel.fits" in result.provenance.inputs


def test_a_kernel_is_asked_for_and_refused_where_it_says_nothing(tmp_path, kernel_file):
    out, finder = tmp_path / "out", formula(flux)
    for probe, psf, words in (
        ("psf-rotation-real", None, "needs a kernel; give a FITS file by --psf FILE"),
        ("psf-rotation-real", tmp_path / "nowhere.fits", "no such file"),
        ("psf-rotation", kernel_file, "probe 'psf-rotation' takes no kernel"),
    ):
        with pytest.raises(UsageError, match=words):
            run_probe(probe, finder, 2, SEED, out, ProbeOptions(psf=psf))
    assert not out.exists()
    with pytest.raises(DataError, match="no extension 'H_PSF'"):
        run_probe("psf-rotation-real", finder, 2, SEED, out, ProbeOptions(psf=kernel_file, psf_extension="H_PSF"))


@pytest.mark.parametrize(
    ("probe", "bands", "field", "words"),
    [
        ("compound", ("g",), 8.1, "finder 'odd' needs band g, and the probe renders euclid"),
        ("red-source", ("VIS",), 20.0, "sees band VIS alone, and the probe changes colours only"),
        ("recolour", ("H",), 20.0, "sees band H alone, and the probe changes colours only"),
    ],
)
def test_a_finder_that_cannot_be_asked_is_told_why(tmp_path, probe, bands, field, words):
    finder = declare_finder(Constant(0.0), bands=bands, size=45, name="odd", field_of_view_arcsec=field)
    with pytest.raises(UsageError, match=f"not applicable: .*{words}"):
        run_probe(probe, finder, PAIRS, SEED, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_change_of_flux_is_no_change_of_colour_alone():
    """A finder of one band can be asked about red sources of fixed total flux."""
    assert load_definition("red-source").colour_only
    assert not load_definition("red-source-total-flux").colour_only
    assert load_definition("orientation").on_images
    assert not load_definition("red-source").on_images


@pytest.mark.parametrize(
    ("n", "seed", "options", "words"),
    [
        (1, 0, ProbeOptions(), "--n 1"),
        (9, -1, ProbeOptions(), "--seed -1"),
        (9, 0, ProbeOptions(mode="real"), "--mode 'real'.*physical, faithful"),
        (9, 0, ProbeOptions(tolerance=0.0), "--tolerance 0.0"),
        (9, 0, ProbeOptions(workers=0), "--workers 0"),
        (9, 0, ProbeOptions(stretch="log"), "--stretch 'log'.*minmax"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, n, seed, options, words):
    with pytest.raises(UsageError, match=words):
        run_probe("compound", one_band(Constant(0.0)), n, seed, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_no_truth_is_named_before_rendering(tmp_path, definition):
    rule = definition.lens_rule.model_copy(update={"above": {"beauty": 1.0}})
    with pytest.raises(UsageError, match=r"truth column 'beauty'; allowed: .*magnification"):
        run_probe(definition.model_copy(update={"lens_rule": rule}), one_band(Constant(0.0)), 2, 0, tmp_path)
