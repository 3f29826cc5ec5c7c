"""The simulation of null audits, small: benchmarks/null_audits.py prints the large one into docs/null-audits.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[2] / "benchmarks" / "null_audits.py"
    spec = importlib.util.spec_from_file_location("null_audits", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["null_audits"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_arms_of_a_null_world_are_exchangeable(bench):
    """Control and treated logits have one distribution, and the recall is the one asked for."""
    world = bench.World(0.7, 1.0)
    control, treated = world.logits(np.random.default_rng(1), 40_000, 2)
    for logits in (control, *treated):
        assert np.mean(logits >= 0) == pytest.approx(0.7, abs=0.01)  # 4 standard errors of 40 000 draws
        assert np.std(logits) == pytest.approx(np.hypot(bench.SYSTEM_SIGMA, 1.0), rel=0.02)
    assert np.corrcoef(treated - control)[0, 1] == pytest.approx(0.75, abs=0.02)  # (1 + 0.5) / (1 + 1) of the variance


def test_null_audits_accuse_rarely_and_intervals_cover(bench, monkeypatch):
    probes = [p for p in bench.null_probes() if p.name in ("orientation", "red-source", "off-centre", "psf-width")]
    monkeypatch.setattr(bench, "null_probes", lambda: probes)
    monkeypatch.setattr(bench, "RESAMPLES", 100)
    tally = bench.tallied(bench.World(0.7, 1.0), 200, 15, seed=1)
    findings = sum(len(p.arms()) - 1 for p in probes)
    assert (tally.audits, tally.findings) == (15, 15 * findings)
    # Of 15 audits that accuse with 5 % at most, more than 4 happen once in 10⁴.
    assert binom.sf(4, 15, 0.05) < 1e-3
    assert tally.accused <= 4
    assert tally.resampled == 3 * findings
    # Doses of a probe share their control, so that the findings of 15 audits are worth some 60, and of 3 some 12:
    # 0.95 minus 4 · √(0.05 · 0.95 / those).
    for name, least in zip(bench.INTERVALS, (0.84, 0.70, 0.84), strict=True):
        covered, of = tally.coverage(name)
        assert covered / of >= least, name


def test_what_is_tolerated_is_no_accusation(bench, monkeypatch):
    """Finders that lose just the tolerance in every edit: by the former rule nearly every audit accused them."""
    probes = [p for p in bench.null_probes() if p.name in ("orientation", "red-source", "off-centre", "psf-width")]
    monkeypatch.setattr(bench, "null_probes", lambda: probes)
    world = bench.World(0.7, 1.0)
    control, treated = world.logits(np.random.default_rng(1), 40_000, 1, 0.1)
    assert np.mean(control >= 0) - np.mean(treated >= 0) == pytest.approx(0.1, abs=0.01)
    today, before = bench.accused_at_tolerance(world, 200, 20, seed=1)
    assert today <= 4  # more than 4 of 20 that accuse with 5 % at most happen 3 times in a thousand
    assert before > today


def test_a_real_loss_is_not_hidden_by_the_correction(bench, monkeypatch):
    """The same machinery with an effect planted in one probe finds it: the silence above is no deafness."""
    monkeypatch.setattr("lensaudit.probes.finding.RESAMPLES", 1)  # no verdict looks at the logits
    rng = np.random.default_rng(2)
    probes = [p for p in bench.null_probes() if p.name in ("off-centre", "psf-width", "lens-colour")]

    class Losing(bench.World):
        def logits(self, rng, n, doses, lost=0.0):
            control, treated = super().logits(rng, n, doses, lost)
            return control, treated - 3.0

    results = [bench._null_result(Losing(0.7, 0.3) if p.name == "off-centre" else bench.World(0.7, 0.3), 200, p, rng)
               for p in probes]  # fmt: skip
    audit = bench.audited(results)
    assert audit.leading == "off-centre"
