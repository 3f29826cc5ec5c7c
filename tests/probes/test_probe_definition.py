"""Probe definitions: the built-in one, and one line for each thing that can be wrong in a user's own."""

from __future__ import annotations

import pytest
import yaml

from lensaudit.errors import UsageError
from lensaudit.probes import builtin_probes, load_definition


@pytest.fixture
def written(tmp_path, definition):
    """Write the compound definition with some fields changed; returns its path."""

    def write(**changes):
        value = definition.model_dump() | changes
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(value), encoding="utf-8")
        return path

    return write


def test_every_builtin_probe_loads_under_its_own_name():
    assert "compound" in builtin_probes()
    for name in builtin_probes():
        assert load_definition(name).name == name


def test_published_recalls_are_those_of_the_paper(definition):
    """Wilde et al. 2022, Table 5: typed here a second time."""
    recall = definition.published.recall
    assert recall["OU-66"] == {"arcs": 0.6291, "rings": 0.4742}
    assert recall["OU-200"] == {"arcs": 0.7505, "rings": 0.5567}
    assert len(recall) == 7


def test_modes_name_real_populations(definition):
    assert definition.mode(None)[0] == "physical"
    assert definition.mode("faithful")[1].stretch == "sqrt-minmax"


def test_a_written_definition_is_read_back(written, definition):
    assert load_definition(written()) == definition


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"edits": {"control": "nothing"}}, "edit 'nothing' is unknown"),
        ({"tolerance": 1.5}, "tolerance"),
        ({"nature": "bad"}, "nature"),
        ({"default_mode": "other"}, "default_mode 'other'"),
        ({"curves": {"theta_e_arcsec": {"label": "x", "edges": [1.0, 1.0]}}}, "bin edges must rise"),
        ({"modes": {"physical": {"populations": {"arcs": "stars"}}}}, "population 'stars' is unknown"),
        ({"modes": {"physical": {"populations": {"arcs": "compound-arcs"}, "stretch": "log"}}}, "stretch 'log'"),
    ],
)
def test_a_wrong_field_is_named(written, changes, words):
    path = written(**changes)
    with pytest.raises(UsageError, match=words) as error:
        load_definition(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "", "3", "- a"])
def test_what_is_no_definition_is_one_line(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        load_definition(path)
    assert "\n" not in str(error.value)


def test_unknown_names_list_what_is_allowed(tmp_path):
    with pytest.raises(UsageError, match=r"allowed: .*compound"):
        load_definition("compond")
    with pytest.raises(UsageError, match="no such file"):
        load_definition(tmp_path / "missing.yaml")


def test_unknown_mode_lists_the_modes(definition):
    with pytest.raises(UsageError, match="allowed: physical, faithful"):
        definition.mode("real")
