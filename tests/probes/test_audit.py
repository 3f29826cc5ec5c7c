"""Audits of many probes: one Holm correction by hand, ranking, what does not apply, what the page says."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from lensaudit.errors import UsageError
from lensaudit.finders import declare_finder
from lensaudit.probes import (
    PairedScores,
    ProbeOptions,
    audited,
    builtin_probes,
    load_definition,
    run_audit,
    why_not_applicable,
    without_groups,
)
from lensaudit.probes.audit import audited_probes, group, meaning
from lensaudit.probes.finding import ALL_PAIRS, concluded, leading_finding, measure
from lensaudit.probes.response import Response
from lensaudit.probes.result import AuditedFinder, ProbeResult, ProbeSettings
from lensaudit.provenance import Provenance
from lensaudit.verdicts import BIAS, FALSE_POSITIVES, GAIN, SELECTION, TENTATIVE

from .conftest import SEED, Constant, formula, one_band

N = 200


def finding(lost, gained=0, n=N, dose=None, found=0.9):
    """A comparison in which so many of n pairs are lost and gained."""
    control, treated = np.arange(n) < found * n, np.arange(n) < found * n
    treated[:lost] = False
    treated[n - gained :] = True
    scores = PairedScores(np.where(control, 2.0, -2.0), np.where(treated, 2.0, -2.0), 0.5)
    return measure("lenses", ALL_PAIRS, scores, np.random.default_rng(0), dose)


def result(name, *findings):
    definition = load_definition(name)
    judged = concluded(findings, definition.tolerance, definition.nature)
    finder = AuditedFinder("toy", "test", "0" * 64, ("VIS",), "minmax", 0.5)
    settings = ProbeSettings(N, SEED, "physical", definition.tolerance)
    return ProbeResult(definition, settings, finder, judged, (), (), (), {}, Provenance.here(seed=SEED))


def test_holm_over_the_whole_audit_by_hand():
    """Sorted p times how many are left, and never less than the one before."""
    results = [
        result("noise-level", finding(29, 1, dose=1.5), finding(40, 2, dose=2.0)),
        result("lens-light", finding(42, 8, dose=0.5)),
        result("orientation", finding(23, 3, dose=1.0)),
    ]
    raw = [f.p_value for one in results for f in one.findings]
    assert len({round(p, 12) for p in raw}) == 4
    order, running, expected = np.argsort(raw), 0.0, {}
    for place, which in enumerate(order):
        running = max(running, min(1.0, raw[which] * (len(raw) - place)))
        expected[int(which)] = running
    judged = audited(results)
    corrected = [f.p_holm for one in judged.results for f in one.findings]
    assert corrected == pytest.approx([expected[k] for k in range(4)], rel=1e-12)
    alone = [f.p_holm for one in results for f in one.findings]
    assert any(many > few for many, few in zip(corrected, alone, strict=True))


def test_the_correction_may_take_a_verdict_back():
    """A loss that is shown alone is not shown among 26 probes without any effect."""
    loss = finding(9, 0, n=60)
    alone = result("off-centre", loss)
    assert alone.verdict.state is BIAS
    p = alone.findings[0].p_value
    assert p < 0.05 < 27 * p
    others = [result("off-centre", finding(0, 0)) for _ in range(26)]
    together = audited([alone, *others])
    assert not together.biased
    assert together.ranked[0].verdict.state is TENTATIVE


def test_the_gravest_and_largest_comes_first():
    audit = audited(
        [
            result("noise-level", finding(90, dose=2.0)),
            result("off-centre", finding(30, dose=1.0), finding(60, dose=2.0)),
            result("false-positive", finding(60)),
            result("lens-light", finding(0, dose=0.5)),
            result("red-source", finding(120, dose=1.0)),
        ],
        {"recolour": "one band"},
    )
    assert [one.probe for one in audit.ranked] == [
        "red-source", "off-centre", "false-positive", "noise-level", "lens-light"
    ]  # fmt: skip
    states = [one.verdict.state for one in audit.ranked]
    assert states[:4] == [BIAS, BIAS, FALSE_POSITIVES, SELECTION]
    assert audit.biased
    assert audit.leading == "red-source"
    assert audit.ranked[1].finding.dose == 2.0  # the larger of its two
    assert audit.ranked[1].effect == pytest.approx(-0.3)
    assert audit.ranked[2].effect == pytest.approx(0.6)  # of a contaminant, the share called a lens


def test_meaning_is_a_sentence_for_an_astronomer():
    audit = audited([result("red-source", finding(60, dose=0.5)), result("false-positive", finding(60))])
    red, contaminant = audit.ranked
    assert red.meaning == (  # no truth column was measured here, so the dose stands for itself
        "For lenses where the source’s colour is 0.5 of the way from blue to the lens galaxy’s, recall falls from 0.90 "
        "to 0.60 (n = 200 pairs): lenses of dusty or old sources will be missed."
    )
    assert "60\u202f% of 200 scenes without a lens are called one: such galaxies will fill" in contaminant.meaning
    calm = audited([result("lens-light", finding(0, dose=0.5))]).ranked[0]
    assert calm.meaning.endswith("recall goes from 0.90 to 0.90 (n = 200 pairs): equivalent within tolerance.")


def test_a_dose_is_told_in_physical_units():
    """The headline speaks of the sky: from where the loss exceeds the tolerance on, by the medians of the truth."""
    colours = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)  # the control and doses 0.25 to 1.25
    response = Response("lenses", 0.5, 0.4, 0.6, 1.0, {"colour_source_VIS_H": colours})
    lost = result("red-source", finding(10, dose=0.5), finding(90, dose=1.25))
    asked = replace(lost, responses=(response,))
    leading = leading_finding(asked.findings, "population")
    assert group(asked, leading) == "whose source is redder than VIS − H = 1.4"
    assert meaning(asked, leading).startswith("For lenses whose source has VIS − H = 2, recall falls")
    within = replace(asked, responses=(replace(response, crossing=np.nan),))
    assert group(within, leading) == "whose source has VIS − H = 2"
    small = replace(response, crossing=0.8, truth={"theta_e_arcsec": (1.4, 0.4, 0.6, 0.8, 1.0, 2.0, 3.0)})
    ring = replace(result("einstein-radius", finding(90, dose=0.4)), responses=(small,))
    assert group(ring, ring.findings[0]) == "with an Einstein radius below 0.8″"
    other_side = replace(ring, responses=(replace(small, crossing=2.0),))
    assert group(other_side, ring.findings[0]) == "with an Einstein radius of 0.4″"
    missing = replace(asked, responses=(replace(response, truth={"colour_source_VIS_H": (np.nan,) * 6}),))
    assert "1.25 of the way" in group(missing, leading)  # a single band has no colour


def test_an_audit_says_what_is_open_and_what_would_settle_it():
    audit = audited(
        [
            result("red-source", finding(20, 2, dose=1.25)),
            result("orientation", finding(9, 4, dose=1.0)),
            result("noise-level", finding(90, dose=2.0)),
            result("recolour", finding(0, found=0.0, dose=0.1)),
        ]
    )
    record = audit.index.to_json()
    assert record["summary"] == (
        "Of 4 probes with 200 pairs each, 1 measures a selection function (noise), 2 are inconclusive (red sources, "
        "rotated and mirrored), 1 is not assessable (zero points)."
    )
    needed = {one.probe: one.verdict.needed for one in audit.ranked}
    n = max(needed["red-source"], needed["orientation"])
    assert [step["command"] for step in record["next"]] == [
        f"lensaudit probe all test --probe red-source --probe orientation --n {n} --seed {SEED} --out runs/probes-{n}",
        "",
    ]
    assert "zero points: lower the finder's threshold" in record["next"][1]["why"]


def test_a_nuisance_may_not_even_gain():
    gain = result("orientation", finding(0, 60, dose=1.0, found=0.5))
    assert gain.verdict.state is BIAS
    assert "rises from 0.50 to 0.80" in meaning(gain, leading_finding(gain.findings, "nuisance"))
    assert result("off-centre", finding(0, 60, dose=1.0, found=0.5)).verdict.state is GAIN


@pytest.mark.usefixtures("no_figures")
def test_an_audit_writes_its_probes_and_goes_on(tmp_path):
    finder = formula(lambda bands: bands["VIS"].sum((1, 2)) - 60.0, ("VIS", "J"))
    names = ("orientation", "red-source", "band-swap", "false-positive")
    told = []
    audit = run_audit(finder, 2, SEED, tmp_path, names, progress=lambda *what: told.append(what))
    # J stands between Y and H, so that the swap leaves it where it is, and VIS is never swapped.
    assert list(audit.not_applicable) == ["band-swap"]
    assert "band-swap changes no pixel" in audit.not_applicable["band-swap"]
    held = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert held == json.loads(json.dumps(audit.index.to_json(), allow_nan=False))
    assert [one["probe"] for one in held["ranked"]] == [one.probe for one in audit.ranked]
    assert set(held["probes"]) == {"orientation", "red-source", "false-positive"}
    for name in held["probes"]:
        assert (tmp_path / name / "probe.json").is_file()
    page = (tmp_path / "audit.md").read_text(encoding="utf-8")
    assert "| band-swap | | not applicable |" in page
    assert "corrected after Holm over all findings of all probes" in page
    assert not re.search(r"\bnan\b", page.lower())
    assert told[-1] == ("false-positive: lenses", 2, 2)
    before = (tmp_path / "audit.json").read_bytes()
    run_audit(finder, 2, SEED, tmp_path, names)
    assert (tmp_path / "audit.json").read_bytes() == before


def test_an_audit_of_which_nothing_applies_is_refused(tmp_path):
    finder = declare_finder(Constant(-2.0), bands=("K",), size=45, name="2mass", field_of_view_arcsec=8.1)
    with pytest.raises(UsageError, match=r"no probe applies .*needs band K"):
        run_audit(finder, 2, SEED, tmp_path)


def test_reasons_why_a_probe_does_not_apply():
    one, two = one_band(Constant(-2.0)), formula(lambda bands: -2.0, ("VIS", "H"))
    small = declare_finder(Constant(-2.0), bands=("VIS",), size=100, name="small", field_of_view_arcsec=10.0)
    assert why_not_applicable(load_definition("recolour"), two) is None
    assert why_not_applicable(load_definition("psf-width"), one) is None
    assert "sees band VIS alone" in why_not_applicable(load_definition("recolour"), one)
    assert "needs 10″" in why_not_applicable(load_definition("psf-width"), small)
    colour = {name for name in builtin_probes() if load_definition(name).colour_only}
    assert colour == {"band-duplicate", "band-swap", "lens-colour", "recolour", "red-source"}


def test_an_audit_takes_the_built_in_probes_that_need_no_file():
    names = [one.name for one in audited_probes()]
    assert "psf-rotation" in names
    assert "psf-rotation-real" not in names
    assert [one.name for one in audited_probes(["psf-rotation-real"])] == ["psf-rotation-real"]
    with pytest.raises(UsageError, match="probe orientation is given twice"):
        audited_probes(["orientation", "psf-width", "orientation"])


def test_preprocessing_is_a_group_of_probes_that_edit_images_alone():
    group = without_groups(["preprocessing", "orientation"])
    assert group[-1] == "orientation"
    assert [one.removeprefix("preprocessing-") for one in group[:-1]] == [
        "8-bit", "jpeg", "pixel-scale", "range", "resampling", "zero-point",
    ]  # fmt: skip
    assert without_groups(["preprocessing-jpeg", "preprocessing"]).count("preprocessing-jpeg") == 1
    assert all(one.on_images and one.nature == "nuisance" for one in audited_probes(["preprocessing"]))


def test_wrong_options_are_those_of_a_probe(tmp_path):
    with pytest.raises(UsageError, match="--tolerance"):
        run_audit(one_band(Constant(-2.0)), 2, SEED, tmp_path, ("orientation",), ProbeOptions(tolerance=2.0))
