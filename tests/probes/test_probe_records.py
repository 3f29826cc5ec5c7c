"""Results of real probes survive JSON, whatever does not exist in them; earlier files and other people's edits too."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from lensaudit.errors import DataError
from lensaudit.probes import ProbeAudit, ProbeResult, audited, run_probe
from lensaudit.probes.definition import load_definition
from lensaudit.report.probe_block import ProbesBlock
from lensaudit.report.probes import laid_out

from .conftest import SEED, Constant, formula, one_band

N = 4
OLD_AUDIT = Path(__file__).parents[1] / "report" / "audit-0.1.json"


def flux(bands):
    return 0.05 * (bands["VIS"].sum((1, 2)) - 60.0)


PROBES = {
    "doses and a crossing": "red-source",
    "a nuisance": "orientation",
    "a contaminant": "false-positive",
    "two populations, a rule, curves": "compound",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the probes find of a finder that adds up pixels."""
    out = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
        results = [run_probe(name, formula(flux, ("VIS", "J", "H")), N, SEED, out / name) for name in PROBES.values()]
    audited(results, {"recolour": "one band"}).write(out)
    return out


def words_of(record) -> dict:
    return json.loads(json.dumps(record.to_json(), allow_nan=False))


@pytest.mark.parametrize("name", PROBES.values(), ids=PROBES)
def test_a_result_is_read_as_it_was_written(folder: Path, name: str):
    on_disk = json.loads((folder / name / "probe.json").read_text(encoding="utf-8"))
    assert set(on_disk["findings"][0]["control"]) == {"found", "n", "value", "low", "high"}
    again = ProbeResult.from_json(on_disk)
    assert words_of(again) == on_disk
    assert again.definition == load_definition(name)
    read = ProbeResult.read(folder / name)
    assert [column.name for column in read.columns][:3] == ["pair_id", "population", "index"]
    assert read.column("logit_treated").dtype == np.float64
    assert len(read.every_dose[0].values) == len(read.definition.arms()) * len(read.column("index"))


@pytest.mark.usefixtures("no_figures")
def test_what_does_not_exist_is_nan_again(tmp_path):
    """No pair fulfils the rule, so that there is neither recall nor change, and the curve of every bin is empty."""
    rule = {"name": "bright", "above": {"arc_snr": 1e9}}
    definition = load_definition("compound").model_copy(update={"lens_rule": None})
    definition = type(definition).model_validate({**definition.model_dump(), "lens_rule": rule})
    result = run_probe(definition, one_band(Constant(3.0)), 2, SEED, tmp_path)
    again = ProbeResult.from_json(words_of(result))
    empty = next(one for one in again.findings if one.subset == "bright")
    assert (empty.n, empty.control.k, empty.verdict.word) == (0, 0, "not assessable")
    assert np.isnan([empty.control.value, empty.treated.high, empty.recall_change.low, empty.p_value]).all()
    assert words_of(again) == words_of(result)


@pytest.mark.usefixtures("no_figures")
def test_somebodys_own_edit_is_not_imported_to_read_a_result(tmp_path, monkeypatch):
    (tmp_path / "my_edits_of_records.py").write_text(
        "def brighter(images, strength, rng):\n    return {band: image + 1 for band, image in images.items()}\n"
    )
    own = load_definition("orientation").model_dump() | {"name": "own", "doses": None}
    own["edits"] = {"treated": {"edit": "my_edits_of_records:brighter", "level": "image"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(own))))
    monkeypatch.syspath_prepend(tmp_path)
    run_probe(tmp_path / "own.yaml", formula(flux), 2, SEED, tmp_path / "out")
    code = (
        "import sys; from lensaudit.probes import ProbeResult; from pathlib import Path; "
        f"found = ProbeResult.read(Path({str(tmp_path / 'out')!r})); "
        "sys.exit(found.definition.edits.treated[0].edit != 'my_edits_of_records:brighter' or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_audit_is_read_from_its_folder(folder: Path):
    read, on_disk = ProbeAudit.read(folder), json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert words_of(read.index) == on_disk
    assert {"lensaudit", "command", "seed"} <= set(on_disk["provenance"])
    assert on_disk["provenance"]["inputs"] == {"finder": read.results[0].finder.weights_hash}
    assert words_of(ProbeAudit.from_json(words_of(read))) == words_of(read)
    family = {finding.family for result in read.results for finding in result.findings}
    assert family == {sum(finding.n > 0 for result in read.results for finding in result.findings)}
    assert read.not_applicable == {"recolour": "one band"}


def test_an_audit_of_which_nothing_applies_survives():
    nothing = ProbeAudit((), (), {"recolour": "one band"})
    assert ProbeAudit.from_json(words_of(nothing)) == nothing
    assert words_of(nothing.index)["finder"] is None


def test_what_is_no_audit_of_probes_is_one_line(folder: Path, tmp_path):
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(DataError, match=r"audit\.json: .*format.*; run lensaudit probe all again$"):
        ProbeAudit.read(tmp_path)
    (tmp_path / "audit.json").write_bytes(OLD_AUDIT.read_bytes())
    with pytest.raises(DataError, match=r"audit\.json: is of lensaudit report, .* (lensaudit\S+)$") as refused:
        ProbeAudit.read(tmp_path)
    module, name = str(refused.value).split()[-1].rsplit(".", 1)
    assert getattr(import_module(module), name)(tmp_path).findings
    (tmp_path / "probe.json").write_text((folder / "compound" / "probe.json").read_text(encoding="utf-8"))
    (tmp_path / "pairs.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"pairs\.parquet: is no table of pairs .*; run the probe again$"):
        ProbeResult.read(tmp_path)


def test_the_block_of_an_audit_survives(folder: Path):
    titles = {name: load_definition(name).title for name in (*PROBES.values(), "recolour")}
    block = laid_out(ProbeAudit.read(folder), titles, "ou66", (N, SEED))
    again = ProbesBlock.from_json(words_of(block))
    assert words_of(again) == words_of(block)
    assert [one.probe for one in again.rows] == [one.probe for one in ProbeAudit.read(folder).ranked]
    assert [(one.probe, one.why) for one in again.not_applicable] == [("recolour", "one band")]


def test_a_block_of_an_earlier_version_is_read():
    """It says ``rate`` for a fraction, and nothing of the test."""
    old = json.loads(OLD_AUDIT.read_text(encoding="utf-8"))["probes"]
    assert "rate" in old["rows"][0]["control"]
    again = ProbesBlock.from_json(old)
    first = old["rows"][0]["control"]
    assert again.rows[0].control.value == pytest.approx(first["rate"], rel=1e-12)
    assert (again.rows[0].test, again.details[0].doses.physical) == ("", None)
    assert words_of(ProbesBlock.from_json(words_of(again))) == words_of(again)


def test_a_result_draws_its_doses_or_its_arms_from_its_numbers(folder: Path):
    """Also one that was read: every treated fraction is a point of the line, and nothing asks for torch or pixels."""
    dosed = ProbeResult.from_json(json.loads((folder / "red-source" / "probe.json").read_text(encoding="utf-8")))
    axes = dosed.plot()
    line = next(one for one in axes.lines if one.get_label() == "treated")
    assert line.get_ydata().tolist() == [one.treated.value for one in dosed.findings]
    assert line.get_xdata().tolist() == [one.dose for one in dosed.findings]
    crossing = dosed.response("lenses").crossing
    drawn = [one.get_xdata()[0] for one in axes.lines if one.get_label() == "tolerance crossed"]
    assert drawn == ([] if np.isnan(crossing) else [crossing])
    arms = ProbeResult.read(folder / "compound")
    points = [one for one in arms.plot(axes.figure.add_axes((0, 0, 1, 1))).lines if one.get_marker() == "o"]
    both = [value for one in arms.findings if one.n for value in (one.control.value, one.treated.value)]
    assert [float(one.get_xdata()[0]) for one in points] == both
