"""A model card holds the numbers of its audit, its header is YAML, and an audit of other weights is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from lensaudit.errors import DataError
from lensaudit.files import sha256
from lensaudit.finders import read_record
from lensaudit.finders.facts import CalibrationFacts, FinderMetrics
from lensaudit.report.audit_file import read_audit
from lensaudit.report.model_card import CardFacts, model_card
from lensaudit.report.schema import Audit

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> Path:
    return REPOSITORY / "reports/example-ou66"


@pytest.fixture(scope="module")
def audit(example: Path) -> Audit:
    return read_audit(example)


def facts(audit: Audit, **more: object) -> CardFacts:
    return replace(CardFacts(audit.finder.weights_hash, "ef" * 32, "ou66"), **more)  # type: ignore[arg-type]


def header_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_command_writes_the_card_of_a_shipped_finder(lensaudit, example, audit, tmp_path):
    out = tmp_path / "README.md"
    words = ("models", "card", "ou66", "--audit", example, "--out", out, "--license", "mit")
    done = lensaudit(*words)
    assert done.code == 0, done.err
    card = out.read_text(encoding="utf-8")
    header = header_of(card)
    assert (header["license"], header["library_name"], header["pipeline_tag"]) == (
        "mit", "lensaudit", "image-classification",
    )  # fmt: skip
    [result] = header["model-index"][0]["results"]
    assert result["dataset"]["revision"] == audit.set.content_hash
    area = audit.performance.metric("auroc")
    assert {"type": "roc_auc", "value": round(area.value, 6), "name": "AUROC"} in result["metrics"]
    for hash_ in (audit.finder.weights_hash, audit.set.content_hash, sha256(example / "audit.json")):
        assert f"`{hash_}`" in card
    assert "| n training | 45000 |" in card
    assert "| Red sources | **bias** | change of recall −0.123 [−0.173 to −0.077] | 300 | p = 0.045 |" in card
    rows = sum(len(curve.bins) for curve in audit.selection.curves)
    rows += len(audit.selection.lens_kinds.rows) + len(audit.selection.non_lens_kinds.rows)
    part = card.split("## Recall by subgroup")[1].split("## Biases")[0]
    assert part.count("\n| ") == rows + 2
    assert card.count("\n* Not measured: ") == len(audit.not_measured)
    again = lensaudit(*words)
    assert (again.code, "is already there" in again.err or "is there already" in again.err) == (2, True)


def test_an_audit_of_other_weights_is_refused(lensaudit, example, audit, tmp_path):
    out = tmp_path / "card.md"
    done = lensaudit("models", "card", "ou200", "--audit", example, "--out", out)
    assert done.code == 3
    assert done.err.count("\n") == 1
    assert f"weights {audit.finder.weights_hash[:16]}" in done.err
    assert not out.exists()
    with pytest.raises(DataError, match="audit this finder"):
        model_card(audit, facts(audit, weights_hash="00" * 32))


def test_foreign_words_are_words_and_tables_stay_tables(audit):
    name = "a | <b>finder</b>\n---\n# x"
    odd = replace(audit, finder=replace(audit.finder, name=name), set=replace(audit.set, name="set|`x`"))
    card = model_card(odd, facts(audit))
    assert header_of(card)["model-index"][0]["name"].startswith("a | <b>finder</b>")
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2])
    assert [token.type for token in tokens].count("html_block") == 0
    assert [(token.type, token.tag) for token in tokens].count(("heading_open", "h1")) == 1
    assert "<b>" not in card.split("---\n", 2)[2].replace("\\<b>", "")


def test_what_is_not_known_is_said(audit):
    bare = replace(audit, probes=None, selection=None, selection_function=None, known=(), findings=())
    card = model_card(bare, facts(audit))
    assert "No probe was run: nothing is known" in card
    assert "Not measured: the set has no labels." in card
    assert "License: not stated." in card
    assert "of these non-lenses above it" in card
    record = read_record(REPOSITORY / "models/ou66")
    found = CalibrationFacts(method="isotonic", prevalence=0.001, n_lenses=40, n_non_lenses=90, set="ab" * 32)
    metrics = FinderMetrics.model_validate({"calibration": found})
    calibrated = record.model_copy(update={"metrics": metrics})
    card = model_card(audit, facts(audit, record=calibrated))
    assert "* isotonic, for a fraction of 0.001 lenses, on 40 lenses and 90 non-lenses of set `abababababababab" in card
