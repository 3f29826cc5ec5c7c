"""``make fuzz``: its trials follow from their seed and reach every reader and every command that writes."""

from __future__ import annotations

from campaigns.fuzz import _BY_NAME, SCENARIOS, trials
from campaigns.hostile_cases import COMMANDS

N = 200


def test_trials_follow_from_their_seed_and_reach_every_case():
    names = [*_BY_NAME, "hostile words", "links in --out"]
    wanted = trials(N, 0, names, quick=True)
    assert wanted == trials(N, 0, names, quick=True) != trials(N, 1, names, quick=True)
    assert len(wanted) == N
    assert {trial.case for trial in wanted} == set(names)


def test_every_command_that_writes_is_in_the_campaign():
    """By the names of the application; those that only print write nothing."""
    from lensaudit.cli.app import COMMANDS as known

    begun = {text.split()[0] for text in COMMANDS}
    assert {name.replace("_", "-") for name in known} - begun <= {"check"}
    assert {scenario.command for scenario in SCENARIOS} == set(COMMANDS)
