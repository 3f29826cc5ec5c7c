"""The chapter of the probes, the selection function and the certificate: numbers of the JSON, words, exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import lensaudit.display
from lensaudit.display.numbers import count, decimal, interval, percent
from lensaudit.errors import DataError, UsageError
from lensaudit.probes import QUICK_PROBES
from lensaudit.report.audit_file import certificate_block, write_audit
from lensaudit.report.build import concluded
from lensaudit.report.findings import not_measured
from lensaudit.report.options import AuditOptions
from lensaudit.report.probe_block import ProbeRow
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit, LabelledMetric
from lensaudit.report.verdict import verdict
from lensaudit.statistics import Confusion
from lensaudit.verdicts import STATES, state_of
from tests.report.answers import LOST, REFUSED, N

TEMPLATE = Path(lensaudit.display.__file__).parent / "template"
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def source(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the audit, its line plots left empty."""
    folder = tmp_path_factory.mktemp("page")
    write_audit(folder, audit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lensaudit.display.figures.svg_bytes", lambda figure: b"")
        return render_report(folder).read_text(encoding="utf-8").replace("\u00a0", " ")


def with_rows(audit: Audit, *rows: ProbeRow) -> Audit:
    """The audit, had the probes these rows and no detail."""
    assert audit.probes is not None
    return concluded(replace(audit, probes=replace(audit.probes, rows=rows, details=())), 0.1)


def cells(source: str, start: str) -> list[list[str]]:
    """Text of the cells of each row of the table that follows `start`."""
    table = source[source.index(start) : source.index("</table>", source.index(start))]
    body = table[table.index("<tbody>") :]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.S)
    return [[_text(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)] for row in rows]


def _text(cell: str) -> str:
    text = re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()
    return text.replace("&#39;", "'").replace("&lt;", "<").replace("θ E", "θ_E")


def test_every_verdict_word_has_its_definition(source: str):
    css = (TEMPLATE / "page.css").read_text(encoding="utf-8")
    for state in STATES:
        assert state.definition.replace("<", "&lt;") in source
        assert f'<span class="badge {state.css}">{state.word}</span>' in source
        assert f".badge.{state.css}" in css


def test_the_table_holds_the_numbers_of_the_json_gravest_first(audit: Audit, source: str):
    rows = cells(source, 'class="probes"')
    stored = audit.probes.rows
    assert [row.verdict for row in stored] == sorted(
        (row.verdict for row in stored), key=lambda word: state_of(word).gravity
    )
    assert {row.probe for row in stored} == set(LOST)
    for shown, row in zip(rows, stored, strict=False):
        effect = row.effect
        assert shown[0] == row.verdict
        assert shown[1] == f"{row.title} {row.nature}"
        assert shown[3].startswith(decimal(effect.value))
        assert interval(effect.low, effect.high) in shown[3]
        assert shown[4] == str(row.n) == str(N)
    refused = rows[len(stored) :]
    assert [(row[0], row[1]) for row in refused] == [("not applicable", "Colour of the lens galaxy")]
    assert refused[0][2].lower() == f"{REFUSED['lens-colour']}.".lower()


def test_verdicts_are_those_of_what_was_planted(audit: Audit):
    found = {row.probe: row.verdict for row in audit.probes.rows}
    assert found == {
        "red-source": "bias",
        "arc-snr": "selection function",
        "psf-rotation": "equivalent within tolerance",
        "off-centre": "inconclusive",
        "compound": "equivalent within tolerance",
        "false-positive": "false positives",
    }


def test_an_inconclusive_probe_says_how_many_would_settle_it(audit: Audit, source: str):
    row = next(row for row in audit.probes.rows if row.probe == "off-centre")
    assert row.needed > N
    assert f"about {row.needed} pairs would settle it" in row.sentence
    assert f"About {count(row.needed)} pairs would settle it." in source
    others = [one for one in audit.probes.rows if one.verdict != "inconclusive"]
    assert {one.needed for one in others} == {None}


def test_a_probe_in_full_has_every_strength_with_its_interval(audit: Audit, source: str):
    detail = next(one for one in audit.probes.details if one.probe == "red-source")
    article = source[source.index('id="probe-red-source"') :]
    rows = cells(article, 'class="numbers"')
    assert len(rows) == len(detail.groups) == 5
    for shown, group in zip(rows, detail.groups, strict=True):
        treated = group.treated
        assert shown[0].endswith(f"n = {treated.n} pairs")
        assert shown[2].startswith(f"{percent(treated.value)} ({treated.k} of {treated.n};")
        assert shown[3].startswith(decimal(group.recall_change.value))
    crossing = detail.responses[0]
    assert crossing.low <= crossing.crossing <= crossing.high
    truth = cells(article, 'class="bins truth"')
    assert [float(cell) for cell in truth[0][1:]] == list(crossing.truth[0].values)
    assert "100 scenes “single”" in article


def test_probes_without_an_effect_are_folded(audit: Audit, source: str):
    for detail in audit.probes.details:
        assert f'<{"article" if detail.open else "details"} class="probe" id="probe-{detail.probe}">' in source


def test_published_recalls_stay_beside_the_compound_probe(source: str):
    part = source[source.index('id="probe-compound"') :]
    assert "0.6291" in part
    assert "Wilde et al. 2022, MNRAS 512, 3464" in part


def test_the_verdict_takes_the_probes_into_account(audit: Audit):
    said = audit.verdict
    assert said.level == "bias"
    assert "and loses, above all, lenses whose source is redder than VIS − H = " in said.headline
    assert "; 1 of 6 probes is inconclusive with 100 pairs each, the likeliest loss: lenses more" in said.headline
    assert said.sentences[0].startswith(
        "Of 6 probes with 100 pairs each, 1 shows a bias (red sources), 1 shows false positives (lensing switched "
        "off), 1 measures a selection function (fainter arcs), 1 is inconclusive (off-centre lenses), 2 are equivalent "
        "within tolerance (PSF rotation, compound lenses). 100 pairs each are fewer than the 277 that exclude a loss "
        "of 0.05"
    )
    assert "train with more lenses whose source is redder" in said.next[0].why
    needed = next(row.needed for row in audit.probes.rows if row.probe == "off-centre")
    assert said.next[1].command == (
        f"lensaudit probe all ou66 --probe off-centre --n {needed} --seed 3 --out runs/probes-{needed}"
    )


def test_the_headline_never_flatters(audit: Audit):
    """An all-clear only where every probe that applies is settled, and every comparison within the set too."""
    assert audit.probes is not None
    audit = replace(audit, selection=None)
    calm = [
        replace(row, verdict="equivalent within tolerance", needed=None)
        for row in audit.probes.rows
        if row.nature != "contaminant"
    ]
    for word, wanted in (
        ("equivalent within tolerance", "clear"),
        ("gain", "clear"),
        ("selection function", "clear"),
        ("inconclusive", "inconclusive"),
        ("tentative", "tentative"),
        ("not assessable", "not assessable"),
        ("bias", "bias"),
    ):
        said = with_rows(audit, replace(calm[0], verdict=word), *calm[1:]).verdict
        assert said.level == wanted
        assert ("no loss beyond" in said.headline or "no other loss" in said.headline) == (wanted == "clear")
        assert ("of 5 probes" in said.headline) == (wanted in ("inconclusive", "tentative", "not assessable"))
    said = verdict(replace(audit, probes=None), ())
    assert said.level == "inconclusive"
    assert "was not measured" in said.headline
    assert "without --probe none" in said.next[0].why


def test_few_lenses_carry_their_number_and_interval(audit: Audit):
    """Issue 11, A.1: three real lenses were "finds 100 % of lenses; no kind of lens is shown to be lost"."""
    assert audit.probes is not None
    recall = LabelledMetric("recall", 1.0, 0.4385, 1.0, 3, method="")
    found = Confusion(tp=3, fn=0, fp=0, tn=0)
    few = replace(audit.performance, n_lenses=3, n_non_lenses=0, confusion=found, metrics=(recall,))
    audit = replace(audit, selection=None, selection_function=None, performance=few)
    rows = [replace(row, verdict="inconclusive", needed=280, n=20) for row in audit.probes.rows if row.n]
    said = with_rows(audit, *rows).verdict
    assert said.headline.startswith(
        "ou66 finds 3 of 3 lenses (95 % interval 44–100\u202f%); 6 of 6 probes are inconclusive"
    )
    assert "--n 280" in said.next[0].command
    said = with_rows(audit, replace(rows[0], verdict="tentative"), *rows[1:]).verdict
    assert "; 5 of 6 probes are inconclusive and 1 is tentative with 20 pairs each" in said.headline
    said = with_rows(audit, replace(rows[0], n=6), *rows[1:]).verdict  # on hosts without an arc, say
    assert "; 6 of 6 probes are inconclusive with 6 to 20 pairs" in said.headline
    said = with_rows(audit, *(replace(row, verdict="tentative") for row in rows)).verdict
    assert "; 6 of 6 probes are tentative with 20 pairs each" in said.headline


def test_what_was_not_asked_is_said(audit: Audit):
    missing = {gap.what: gap.why for gap in audit.not_measured}
    assert any("companions" in what and "--probe all" in why for what, why in missing.items())
    assert any("switched off" in gap.why for gap in not_measured(replace(audit, probes=None)))


def test_a_finder_no_probe_applies_to_has_reasons(audit: Audit, write_folder):
    page = render_report(write_folder(with_rows(audit))).read_text(encoding="utf-8")
    assert "No probe applies to this finder" in page
    assert "sees band VIS alone" in page


def test_the_selection_function_shows_its_cells_and_marks_small_ones(audit: Audit, source: str):
    function = audit.selection_function
    assert function is not None
    first = function.maps[0]
    drawn = first.cells()
    assert sum(cell["n"] for cell in drawn) == 200 - first.n_outside
    shown = [cell for row in cells(source, "Every cell with its interval: arc S/N")[:-1] for cell in row[1:]]
    assert len(shown) == len(drawn)
    for text, cell in zip(shown, drawn, strict=True):
        assert text.endswith("*") == cell["few"]
        assert text.startswith(percent(cell["recall"]) if cell["n"] else "0*")
    medians = cells(source, 'class="bins medians"')
    assert len(medians) == len({row.parameter.name for row in function.medians})


def test_without_truth_there_is_no_selection_function(audit: Audit, write_folder):
    page = render_report(write_folder(replace(audit, selection_function=None))).read_text(encoding="utf-8")
    assert 'id="selection-function"' not in page


def test_the_certificate_shows_planted_and_detected(audit: Audit, source: str):
    rows = cells(source, "Planted × detected")
    assert [row[1:3] for row in rows] == [["6", "6"], ["6", "5"], ["20", "1"]]
    assert [row[0] for row in rows[:2]] == ["red sources red", f"psf angle, in {percent(0.5)} of the training images"]
    assert audit.certificate.command in source
    assert "planted in part of the images takes hold in part" in source


def test_an_absent_certificate_says_how_to_measure_it(
    audit: Audit, write_folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("lensaudit.report.audit_file.builtin_folder", lambda name: tmp_path / name)
    block = certificate_block()
    assert block.to_json() == {"measured": False, "command": "lensaudit planted-bias"}
    page = render_report(write_folder(replace(audit, certificate=block))).read_text(encoding="utf-8")
    assert "was not measured on this installation" in page
    assert "<code>lensaudit planted-bias</code>" in page


def test_a_certificate_is_read_and_checked(tmp_path: Path, audit: Audit):
    path = tmp_path / "planted.json"
    path.write_text(json.dumps({**audit.certificate.to_json(), "format": "x"}), encoding="utf-8")
    assert certificate_block(path) == audit.certificate
    first = audit.certificate.probes[0]
    told = {**audit.certificate.to_json(), "doses": {first: "angle [deg]; at 30"}}
    path.write_text(json.dumps(told), encoding="utf-8")
    assert certificate_block(path).probes == (f"{first} (angle [deg]; at 30)", *audit.certificate.probes[1:])
    path.write_text('{"planted": []}', encoding="utf-8")
    with pytest.raises(DataError, match=r"planted\.json"):
        certificate_block(path)
    with pytest.raises(UsageError, match="no such file"):
        certificate_block(tmp_path / "nowhere.json")


def test_names_of_probes():
    assert AuditOptions(probes=("all",)).probes == ()
    assert AuditOptions(probes=("quick",)).probes == QUICK_PROBES
    assert AuditOptions(probes=("compound", "arc-snr")).probes == ("compound", "arc-snr")


def test_sentences_are_typeset(audit: Audit):
    assert audit.probes is not None
    said = " ".join(f"{row.sentence} {row.meaning} {row.group}" for row in audit.probes.rows)
    for typed in ("-0", "0%", "all pairs", "'"):
        assert typed not in said
    assert "−0." in said
    assert "Compound lenses (compound arcs)" in said


def test_fail_on_bias_is_exit_code_one_after_the_page(audit: Audit, tmp_path: Path, monkeypatch, capsys):
    from lensaudit.cli.app import main

    write_audit(tmp_path, concluded(replace(audit, selection=None, selection_function=None), 0.1))
    monkeypatch.setattr("sys.argv", ["lensaudit", "report", "--from", str(tmp_path), "--fail-on", "bias"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert (tmp_path / "index.html").is_file()
    assert "Red sources" in capsys.readouterr().err
