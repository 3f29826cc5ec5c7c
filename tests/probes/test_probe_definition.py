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


@pytest.mark.parametrize("name", builtin_probes())
def test_every_builtin_probe_says_what_it_asks(name):
    one = load_definition(name)
    control, *treated = one.arms()
    assert all(arm.steps != control.steps for arm in treated)
    assert one.question.endswith("?")
    assert one.meaning.rstrip().endswith(".")
    assert (treated[-1].label == 0) == (one.nature == "contaminant")
    assert one.consequence
    if one.doses:
        assert [arm.dose for arm in treated] == list(one.doses.values)
        assert all(step.strength is not None for arm in treated for step in arm.steps)
        if one.doses.control is not None:
            assert one.doses.control not in one.doses.values
            assert one.doses.control in {step.strength for step in control.steps}  # where the control stands


def test_published_recalls_are_those_of_the_paper(definition):
    """Wilde et al. 2022, Table 5: typed here a second time."""
    recall = definition.published.recall
    assert recall["OU-66"] == {"arcs": 0.6291, "rings": 0.4742}
    assert recall["OU-200"] == {"arcs": 0.7505, "rings": 0.5567}
    assert len(recall) == 7


def test_modes_name_real_populations(definition):
    assert definition.mode(None)[0] == "physical"
    assert definition.mode("faithful")[1].stretch == "sqrt-together"


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
        ({"edits": {"treated": {"edit": "identity", "power": 2}}}, "power"),
        ({"edits": {"treated": "identity", "third": "identity"}}, "third"),
        ({"edits": {"treated": {"edit": "source-colour", "level": "pixel"}}}, "level"),
        ({"doses": {"label": "x", "phrase": "at {dose}", "values": [1.0]}}, "every treated step has a strength"),
        ({"doses": {"label": "x", "phrase": "at {dose}", "values": [1.0, 1.0]}}, "values must differ"),
        ({"doses": {"label": "x", "phrase": "at some dose", "values": [1.0]}}, "phrase needs {dose} in it"),
        ({"doses": {"label": "x", "phrase": "at {dose}", "values": []}}, "doses.values"),
        ({"edits": {"treated": "unlensed"}}, "takes the lensing away, so it is a contaminant"),
        ({"nature": "contaminant"}, "leaves a lens a lens"),
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
