"""How far simulated probes carry over, in a report: the sentence, the number beside every probe, the gate."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import lensaudit as la
from lensaudit.errors import AuditFailed, DataError, NoSuchFile, UsageError
from lensaudit.lensset.header import Source
from lensaudit.realism_gate import Realism
from lensaudit.report.audit_file import read_audit
from lensaudit.report.build import concluded
from lensaudit.report.options import AuditOptions
from lensaudit.report.realism import check_realism, fail_where_far
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit
from tests.realism_gate.toys import drawn_set, toy_finder

SHORT = {"probe_n": 0, "occlusion_n": 0, "maps_n": 0, "judge_n": 0, "dream_steps": 0, "kernels": False, "embed": False}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory):
    """A simulated set and one of the sky with twice the noise."""
    folder = tmp_path_factory.mktemp("toys")
    sky = drawn_set(folder / "sky", 40, 1, noise=2.0)
    return toy_finder(), sky, drawn_set(folder / "simulated", 50, 2, population="lsst")


@pytest.fixture(scope="module")
def measured(toys) -> Realism:
    return la.realism(*toys).record


def beside(audit: Audit, realism: Realism) -> Audit:
    return concluded(replace(audit, realism=realism), 0.1)


def test_the_sentence_opens_the_limits_and_stands_on_the_page(audit, measured, write_folder):
    with_it = beside(audit, measured)
    assert with_it.limits[0] == measured.sentence
    folder = write_folder(with_it)
    assert read_audit(folder).realism.to_json() == measured.to_json()
    page = render_report(folder).read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert measured.sentence in words
    assert 'id="realism"' in page
    assert page.count(measured.beside) == 2 * len(audit.probes.rows)  # in the table and in full, for every probe


@pytest.mark.usefixtures("undrawn")
def test_probes_of_real_pixels_do_not_carry_the_number(audit, measured, write_folder):
    rows, details = audit.probes.rows, audit.probes.details
    on_hosts = replace(
        audit.probes,
        rows=(replace(rows[0], hosts="sky"), *rows[1:]),
        details=(replace(details[0], hosts="sky"), *details[1:]),
    )
    page = render_report(write_folder(beside(replace(audit, probes=on_hosts), measured))).read_text(encoding="utf-8")
    assert page.count(measured.beside) == 2 * (len(rows) - 1)


@pytest.mark.usefixtures("undrawn")
def test_an_audit_without_it_opens_and_says_what_is_missing(audit, write_folder):
    words = json.loads(json.dumps(audit.to_json()))
    del words["realism"]
    assert Audit.from_json(words).realism is None
    page = render_report(write_folder(audit)).read_text(encoding="utf-8")
    assert 'id="realism"' not in page
    assert any("--realism SET" in one.why for one in audit.not_measured)


def test_the_gate_fails_where_the_whole_interval_lies_above_the_limit(audit, measured):
    far = replace(measured, layer=replace(measured.layer, auroc=0.85, low=0.8, high=0.9))
    with pytest.raises(AuditFailed, match=r"^--fail-on realism \(AUROC above 0\.75\): Real and simulated"):
        fail_where_far(beside(audit, far))
    fail_where_far(beside(audit, far), limit=0.85)
    fail_where_far(beside(audit, replace(far, layer=replace(far.layer, low=0.7))))
    with pytest.raises(UsageError, match="give it --realism"):
        fail_where_far(audit)


def test_a_real_set_is_measured_and_kept(toys, tmp_path):
    finder, sky, simulated = toys
    found = la.audit(finder, simulated, out=tmp_path / "audit", realism=sky.path, **SHORT)
    record = found.record.realism
    assert record.simulated.content_hash == simulated.content_hash
    assert (tmp_path / "audit/realism/index.html").is_file()
    written = (tmp_path / "audit/realism/realism.json").stat().st_mtime_ns
    again = la.audit(finder, simulated, out=tmp_path / "audit", realism=sky.path, **SHORT)
    assert again.record.realism.to_json() == record.to_json()
    assert (tmp_path / "audit/realism/realism.json").stat().st_mtime_ns == written
    other = la.audit(finder, simulated, out=tmp_path / "other", realism=tmp_path / "audit/realism", **SHORT)
    assert other.record.realism.to_json() == record.to_json()


def test_an_injected_set_is_compared_and_its_number_is_none_of_drawn_scenes(toys, audit, measured, tmp_path):
    finder, sky, _ = toys
    injected = drawn_set(tmp_path / "injected", 50, 2, source=Source(layout="injected"))
    assert injected.injected
    check_realism(finder, injected, AuditOptions(realism=sky.path))
    drawn = beside(audit, measured)
    assert drawn.carried == measured.beside
    of_it = replace(measured.simulated, content_hash=audit.set.content_hash)
    assert beside(audit, replace(measured, simulated=of_it)).carried == measured.beside  # the set is simulated itself
    on_sky = replace(audit, set=replace(audit.set, simulated=False))
    of_the_set = beside(on_sky, replace(measured, simulated=of_it)).carried
    assert of_the_set.startswith("drawn scenes; the set’s own AUROC real against injected 0.")


def test_what_is_no_result_is_refused_before_the_work(toys, tmp_path):
    finder, sky, simulated = toys
    with pytest.raises(NoSuchFile, match=r"realism \S*nowhere: no realism.json"):
        la.audit(finder, simulated, out=tmp_path / "a", realism=tmp_path / "nowhere", **SHORT)
    with pytest.raises(UsageError, match="neither simulated nor injected"):
        la.audit(finder, sky, out=tmp_path / "a", realism=simulated.path, **SHORT)
    with pytest.raises(UsageError, match="is the audited set itself"):
        la.audit(finder, simulated, out=tmp_path / "a", realism=simulated.path, **SHORT)
    la.realism(finder, sky, simulated, out=tmp_path / "gate")
    from torch import nn

    from tests.realism_gate.toys import BANDS, SIDE

    other = toy_finder(nn.Sequential(nn.Flatten(), nn.Linear(len(BANDS) * SIDE**2, 1)))
    with pytest.raises(DataError, match="is of another finder"):
        la.audit(other, simulated, out=tmp_path / "a", realism=tmp_path / "gate", **SHORT)
    assert not (tmp_path / "a" / "scores.parquet").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_command_fails_on_it(audit, measured, write_folder, lensaudit):
    far = replace(measured, layer=replace(measured.layer, auroc=0.85, low=0.8, high=0.9))
    folder = write_folder(beside(audit, far))
    done = lensaudit("report", "--from", folder, "--fail-on", "realism")
    assert done.code == 1
    assert far.sentence in done.out
    assert lensaudit("report", "--from", folder, "--fail-on", "realism", "--realism-limit", "0.9").code == 0
    none = write_folder(audit)
    assert lensaudit("report", "--from", none, "--fail-on", "realism").code == 2
    early = lensaudit("report", "ou66", "--set", "x", "--out", "y", "--fail-on", "realism")
    assert (early.code, "needs --realism" in early.err) == (2, True)
    assert not Path("y").exists()
