"""The probes' chapter with hosts: every probe stands beside itself on real pixels, corrected together, and says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import declare_finder
from lensaudit.probes import HostsAsked, ProbeAudit, audited
from lensaudit.probes.result import HostsUsed
from lensaudit.report.audit_file import read_audit, write_audit
from lensaudit.report.build import concluded
from lensaudit.report.options import AuditOptions, quiet
from lensaudit.report.probe_block import ProbesBlock
from lensaudit.report.probed import check_probes, probes_block, side_by_side
from lensaudit.report.probes import laid_out
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit
from tests.probes.conftest import Constant
from tests.report.answers import TITLES, N, probe_audit

USED = HostsUsed("q1", 40, 100, reused=False, psf_of_arc=False, sources=("populations",), notes=("3 hosts are stars",))


def on_hosts(drawn: ProbeAudit) -> ProbeAudit:
    """Three of the probes as if they had been asked on hosts, and one that cannot be."""
    kept = [one for one in drawn.results if one.definition.name in ("red-source", "arc-snr", "false-positive")]
    hosted = [replace(one, settings=replace(one.settings, hosts=USED)) for one in kept]
    return audited(hosted, {}, {"psf-rotation": "it changes the point-spread function"})


@pytest.fixture(scope="module")
def block() -> ProbesBlock:
    both = side_by_side(probe_audit(), on_hosts(probe_audit()))
    return laid_out(both, TITLES, "ou66", (N, 3), USED)


def test_each_probe_on_hosts_stands_below_itself(block):
    names = [row.probe for row in block.rows]
    assert [detail.probe for detail in block.details] == names
    for name in ("red-source", "arc-snr", "false-positive"):
        assert names.index(f"{name}-on-hosts") == names.index(name) + 1
    assert [row.hosts for row in block.rows].count("q1") == 3
    assert [one.probe for one in block.not_on_hosts] == ["psf-rotation"]


def test_both_are_corrected_together(block):
    alone = sum(len(one.findings) for one in probe_audit().results)
    assert block.n_findings == alone + sum(len(one.findings) for one in on_hosts(probe_audit()).results)
    before = next(one.finding.p_holm for one in probe_audit().ranked if one.probe == "red-source")
    assert next(row.p_holm for row in block.rows if row.probe == "red-source") > before


def test_findings_page_and_file_name_the_hosts(audit: Audit, block, tmp_path, undrawn):
    whole = concluded(replace(audit, probes=block), 0.1)
    named = [one for one in whole.findings if "on hosts" in one.title]
    assert len(named) == 3
    assert all("real pixels (hosts of q1)" in one.text for one in named)
    assert any("masses and arcs are simulated there too" in one for one in whole.limits)
    assert any(one.what.startswith("Probes on hosts: psf rotation") for one in whole.not_measured)
    write_audit(tmp_path, whole)
    assert read_audit(tmp_path).probes == block
    page = render_report(tmp_path).read_text().replace("\u00a0", " ")
    assert 'id="probe-red-source-on-hosts"' in page
    assert "real pixels: hosts of q1" in page
    assert "3 hosts are stars" in page
    assert "Student’s over hosts" not in page  # each host is used once
    again = replace(block, hosts=replace(block.hosts, reused=True))
    write_audit(tmp_path, replace(whole, probes=again))
    page = render_report(tmp_path).read_text().replace("\u00a0", " ")
    assert "on hosts, several of whose arcs share one, the wider of it and Student’s over hosts" in page
    assert "not on hosts" in page
    assert all(
        "lensaudit probe all" not in step.command or "on-hosts" not in step.command for step in whole.verdict.next
    )


def test_an_audit_of_before_holds_no_hosts(audit: Audit):
    words = audit.to_json()
    del words["options"]["hosts"]
    for name in ("hosts", "not_on_hosts"):
        del words["probes"][name]
    for row in (*words["probes"]["rows"], *words["probes"]["details"]):
        del row["hosts"]
    read = Audit.from_json(words)
    assert (read.probes, read.options) == (audit.probes, audit.options)


@pytest.fixture(scope="module")
def hosts_path(tmp_path_factory):
    hosts = [as_host(without_arc(a_lens(index)), name=f"h{index}") for index in range(3)]
    return write_hosts(tmp_path_factory.mktemp("hosts") / "q1", hosts).path


def test_the_probes_are_asked_on_both_and_kept(hosts_path, tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
    finder = declare_finder(Constant(1.0), bands=("VIS",), size=200, name="always")
    asked = AuditOptions(probe_n=3, probes=("arc-snr", "lens-light"), hosts=HostsAsked(hosts_path))
    made = probes_block(finder, tmp_path, asked, quiet)
    assert [(row.probe, row.n) for row in made.rows] == [("arc-snr", 3), ("arc-snr-on-hosts", 3), ("lens-light", 3)]
    assert [one.probe for one in made.not_on_hosts] == ["lens-light"]
    assert all((tmp_path / pair.array).is_file() for detail in made.details for pair in detail.pairs)
    monkeypatch.setattr("lensaudit.report.probed.run_audit", None)  # a second run takes what is there
    assert probes_block(finder, tmp_path, asked, quiet) == made


def test_hosts_that_cannot_be_asked_are_told_before_the_work(hosts_path):
    asked = HostsAsked(hosts_path)
    with pytest.raises(UsageError, match="--hosts: probes are asked on them, and they are switched off"):
        check_probes(AuditOptions(probe_n=0, hosts=asked))
    finder = declare_finder(Constant(1.0), bands=("i",), size=64, name="other")
    with pytest.raises(DataError, match="band"):
        check_probes(AuditOptions(probes=("arc-snr",), hosts=asked), finder)
