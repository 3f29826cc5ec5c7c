"""The chapter of the probes, the selection function and the certificate: numbers of the JSON, words, exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lensaudit.errors import AuditFailed, DataError, UsageError
from lensaudit.probes.verdict import WORDS
from lensaudit.report.audit_file import write_audit
from lensaudit.report.certificate import certificate_block
from lensaudit.report.findings import find
from lensaudit.report.limits import not_measured
from lensaudit.report.numbers import count, decimal, interval, percent
from lensaudit.report.options import QUICK_PROBES, probe_names
from lensaudit.report.outcome import fail_where, summary
from lensaudit.report.probe_rows import typeset
from lensaudit.report.probe_words import VERDICTS
from lensaudit.report.render import render_report
from lensaudit.report.verdict import probe_sentences, verdict
from tests.report.made_up_probes import LOST, REFUSED, N

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def source(audit: dict, write_folder) -> str:
    """The page of the made-up audit."""
    return render_report(write_folder(audit)).read_text(encoding="utf-8")


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
    assert tuple(word for word, _ in VERDICTS) == WORDS
    for _, meaning in VERDICTS:
        assert meaning.replace("<", "&lt;") in source


def test_the_table_holds_the_numbers_of_the_json_gravest_first(audit: dict, source: str):
    rows = cells(source, 'class="probes"')
    stored = audit["probes"]["rows"]
    assert [row["verdict"] for row in stored] == sorted((row["verdict"] for row in stored), key=WORDS.index)
    assert {row["probe"] for row in stored} == set(LOST)
    for shown, row in zip(rows, stored, strict=False):
        effect = row["effect"]
        assert shown[0] == row["verdict"]
        assert shown[1] == f"{row['title']} {row['nature']}"
        assert shown[3].startswith(decimal(effect["value"]))
        assert interval(effect["low"], effect["high"]) in shown[3]
        assert shown[4] == str(row["n"]) == str(N)
    refused = rows[len(stored) :]
    assert [(row[0], row[1]) for row in refused] == [("not applicable", "Colour of the lens galaxy")]
    assert refused[0][2].lower() == f"{REFUSED['lens-colour']}.".lower()


def test_verdicts_are_those_of_what_was_planted(audit: dict):
    found = {row["probe"]: row["verdict"] for row in audit["probes"]["rows"]}
    assert found == {
        "red-source": "bias",
        "arc-snr": "selection function",
        "psf-rotation": "no effect shown",
        "off-centre": "too few to tell",
        "compound": "no effect shown",
        "false-positive": "false positives",
    }


def test_too_few_says_how_many_would_tell(audit: dict, source: str):
    row = next(row for row in audit["probes"]["rows"] if row["probe"] == "off-centre")
    assert row["needed"] > N
    assert str(row["needed"]) in row["sentence"]
    assert f"About {count(row['needed'])} pairs would tell." in source
    others = [one for one in audit["probes"]["rows"] if one["verdict"] != "too few to tell"]
    assert {one["needed"] for one in others} == {None}


def test_a_probe_in_full_has_every_strength_with_its_interval(audit: dict, source: str):
    detail = next(one for one in audit["probes"]["details"] if one["probe"] == "red-source")
    article = source[source.index('id="probe-red-source"') :]
    rows = cells(article, 'class="numbers"')
    assert len(rows) == len(detail["groups"]) == 5
    for shown, group in zip(rows, detail["groups"], strict=True):
        treated = group["treated"]
        assert shown[0].endswith(f"n = {treated['n']} pairs")
        assert shown[2].startswith(f"{percent(treated['rate'])} ({treated['k']} of {treated['n']};")
        assert shown[3].startswith(decimal(group["recall_change"]["value"]))
    crossing = detail["responses"][0]
    assert crossing["low"] <= crossing["crossing"] <= crossing["high"]
    truth = cells(article, 'class="bins truth"')
    assert [float(cell) for cell in truth[0][1:]] == crossing["truth"][0]["values"]
    assert "100 scenes “single”" in article


def test_probes_without_an_effect_are_folded(audit: dict, source: str):
    for detail in audit["probes"]["details"]:
        assert f'<{"article" if detail["open"] else "details"} class="probe" id="probe-{detail["probe"]}">' in source


def test_published_recalls_stay_beside_the_compound_probe(source: str):
    part = source[source.index('id="probe-compound"') :]
    assert "0.6291" in part
    assert "Wilde et al. 2022, MNRAS 512, 3464" in part


def test_the_verdict_takes_the_probes_into_account(audit: dict):
    said = verdict(audit)
    assert "source's colour" in said["headline"].replace("’", "'")
    assert said["sentences"][1].startswith("1 of 6 probes shows a bias: where the source’s colour")
    assert "lensing switched off 50" in said["sentences"][2]
    few = [{**row, "verdict": "too few to tell"} for row in audit["probes"]["rows"]]
    assert probe_sentences({"rows": few}) == ["All 6 probes have too few pairs to tell."]
    assert probe_sentences({"rows": [few[0], {**few[1], "verdict": "no effect shown"}]}) == [
        "None of 2 probes shows a bias; 1 has too few pairs to tell."
    ]
    assert probe_sentences(None) == []


def test_a_bias_of_a_probe_alone_fails(audit: dict):
    audit["selection"] = None
    audit["findings"] = find(audit, 0.1)
    assert [f["verdict"] for f in audit["findings"]] == ["bias", "false positives"]
    with pytest.raises(AuditFailed, match="Red sources"):
        fail_where(audit, "bias")
    audit["probes"]["rows"] = [row for row in audit["probes"]["rows"] if row["verdict"] != "bias"]
    audit["findings"] = find(audit, 0.1)
    fail_where(audit, "bias")
    assert len(summary(audit, Path("x"))["probes"]) == len(LOST) - 1


def test_what_was_not_asked_is_said(audit: dict):
    missing = {gap["what"]: gap["why"] for gap in not_measured(audit)}
    assert any("companions" in what and "--probes all" in why for what, why in missing.items())
    audit["probes"] = None
    assert any("switched off" in gap["why"] for gap in not_measured(audit))


def test_a_finder_no_probe_applies_to_has_reasons(audit: dict, write_folder):
    audit["probes"].update(rows=[], details=[])
    audit["findings"] = find(audit, 0.1)
    page = render_report(write_folder(audit)).read_text(encoding="utf-8")
    assert "No probe applies to this finder" in page
    assert "sees band VIS alone" in page


def test_the_selection_function_shows_its_cells_and_marks_small_ones(audit: dict, source: str):
    function = audit["selection_function"]
    first = function["maps"][0]
    assert sum(cell["n"] for cell in first["cells"]) == first["n"] == 200 - first["n_outside"]
    shown = [cell for row in cells(source, "Every cell with its interval: arc S/N")[:-1] for cell in row[1:]]
    assert len(shown) == len(first["cells"])
    for text, cell in zip(shown, first["cells"], strict=True):
        assert text.endswith("*") == cell["few"]
        assert text.startswith(percent(cell["recall"]) if cell["n"] else "0*")
    medians = cells(source, 'class="bins medians"')
    assert len(medians) == len({row["label"] for row in function["medians"]})


def test_without_truth_there_is_no_selection_function(audit: dict, write_folder):
    audit["selection_function"] = None
    page = render_report(write_folder(audit)).read_text(encoding="utf-8")
    assert 'id="selection-function"' not in page


def test_the_certificate_shows_planted_and_detected(audit: dict, source: str):
    rows = cells(source, "Planted × detected")
    assert [row[1:3] for row in rows] == [["6", "6"], ["6", "5"], ["20", "1"]]
    assert audit["certificate"]["command"] in source


def test_an_absent_certificate_says_how_to_measure_it(
    audit: dict, write_folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("lensaudit.report.certificate.builtin_folder", lambda name: tmp_path / name)
    block = certificate_block()
    assert block == {"measured": False, "command": "lensaudit bench planted"}
    audit["certificate"] = block
    page = render_report(write_folder(audit)).read_text(encoding="utf-8")
    assert "was not measured on this installation" in page
    assert "<code>lensaudit bench planted</code>" in page


def test_a_certificate_is_read_and_checked(tmp_path: Path, audit: dict):
    path = tmp_path / "planted.json"
    path.write_text(json.dumps({**audit["certificate"], "format": "x"}), encoding="utf-8")
    assert certificate_block(path) == audit["certificate"]
    path.write_text('{"planted": []}', encoding="utf-8")
    with pytest.raises(DataError, match=r"planted\.json"):
        certificate_block(path)
    with pytest.raises(UsageError, match="no such file"):
        certificate_block(tmp_path / "nowhere.json")


def test_names_of_probes():
    assert probe_names("all") == ()
    assert probe_names("quick") == QUICK_PROBES
    assert probe_names("compound, arc-snr") == ("compound", "arc-snr")


def test_sentences_are_typeset():
    assert typeset("X (rings, all pairs), recall goes -0.1 of 10%") == "X (double rings), recall goes −0.1 of 10\u202f%"
    assert typeset("Lensing switched off (lenses, all pairs), psf-2") == "Lensing switched off, psf-2"


def test_fail_on_bias_is_exit_code_one_after_the_page(audit: dict, tmp_path: Path, monkeypatch, capsys):
    from lensaudit.cli.app import main

    audit["selection"] = audit["selection_function"] = None
    audit["findings"] = find(audit, 0.1)
    write_audit(tmp_path, audit)
    monkeypatch.setattr("sys.argv", ["lensaudit", "report", "--from", str(tmp_path), "--fail-on", "bias"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert (tmp_path / "index.html").is_file()
    assert "Red sources" in capsys.readouterr().err
