"""What ``finder.yaml`` says beside the recipe: read into attributes, and written as it was read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from lensaudit.finders import builtin_recipes, read_record
from lensaudit.finders.facts import AsGiven, FinderMetrics, MeasuredFacts, MetricFacts, TrainingFacts
from lensaudit.finders.store import FINDER_FILE, FinderRecord

METRIC = {"value": 0.75, "low": None, "high": 0.9, "n": 8, "method": "exact", "status": ""}
METRICS = {
    "validation": {"threshold": 0.5, "n": 8, "recall": METRIC, "own": {"b": 1, "a": None}},
    "epochs": 3,
    "mixture": {"converged": True},
    "members": {"ou-h": {"n": 8, "auroc": METRIC}},
}
TRAINED = {"seed": 3, "set": "ab", "population": None, "n_training": 30, "pixel_scale_arcsec": {"VIS": 0.1}}


@pytest.mark.parametrize(("kind", "words"), [(FinderMetrics, METRICS), (TrainingFacts, TRAINED), (MetricFacts, METRIC)])
def test_facts_are_written_as_they_were_given(kind: type[AsGiven], words: dict[str, object]):
    """In their order too: ``finder.yaml`` keeps it."""
    found = kind.model_validate(words)
    assert json.dumps(found.to_json()) == json.dumps(words)
    assert kind.model_validate(found.to_json()) == found


def test_facts_have_attributes():
    found = FinderMetrics.model_validate(METRICS)
    assert found.validation == MeasuredFacts.model_validate(METRICS["validation"])
    assert (found.validation.recall.value, found.validation.recall.low, found.validation.auroc) == (0.75, None, None)
    assert found.members["ou-h"].auroc.n == 8
    assert (found.epochs, found.test) == (3, None)
    assert (bool(found), bool(FinderMetrics())) == (True, False)


@pytest.mark.parametrize("words", [{"epochs": "many"}, {"test": [1]}, {"test": {"recall": 0.5}}])
def test_facts_of_another_kind_are_refused(words):
    with pytest.raises(ValidationError):
        FinderMetrics.model_validate(words)


HANDED_OUT = [name for name, place in builtin_recipes().items() if (place / FINDER_FILE).is_file()]


@pytest.mark.parametrize("name", HANDED_OUT)
def test_the_record_of_every_finder_we_hand_out_is_written_as_it_lies_there(name: str):
    path: Path = builtin_recipes()[name] / FINDER_FILE
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = read_record(path.parent).model_dump(mode="json")
    for part in ("training_data", "metrics"):
        assert yaml.safe_dump(found[part], sort_keys=False) == yaml.safe_dump(said.get(part, {}), sort_keys=False)
    assert found["provenance"] == said["provenance"]


@pytest.mark.parametrize("name", HANDED_OUT)
def test_the_card_is_of_these_weights(name: str):
    folder = builtin_recipes()[name]
    assert read_record(folder).weights_hash in (folder / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in HANDED_OUT if name != "cae-bgm"])  # docs/clusters.md has that
def test_the_page_of_finders_has_what_the_record_measured(name: str):
    page = (Path(__file__).parents[2] / "docs" / "finders.md").read_text(encoding="utf-8")
    record = read_record(builtin_recipes()[name])
    measured = record.metrics.test or record.metrics.validation
    auroc = (measured.auroc or record.metrics.validation.auroc) if measured else None
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` | {record.parameters} |"))
    assert f"| {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}] |" in row


def test_a_record_that_says_nothing_of_its_making_is_written_so(tmp_path):
    said = yaml.safe_load((builtin_recipes()["ou66"] / FINDER_FILE).read_text(encoding="utf-8"))
    record = FinderRecord.model_validate({**said, "provenance": {}, "metrics": {}, "training_data": {}})
    words = record.model_dump(mode="json")
    assert (words["provenance"], words["metrics"], words["training_data"]) == ({}, {}, {})
    few = FinderRecord.model_validate({**said, "provenance": {"command": "made elsewhere", "host": "nova"}})
    assert asdict(few.provenance) == {
        "lensaudit": "", "command": "made elsewhere", "seed": None, "inputs": {}, "python": "", "packages": {},
    }  # fmt: skip
