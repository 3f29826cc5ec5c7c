"""100 trials of ``make fuzz``: no traceback, no hang, nothing outside ``--out``, nothing wrong is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns.fuzz import _BY_NAME, SCENARIOS, trials
from campaigns.hostile_cases import COMMANDS

N = 100


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute or two of two idle cores
def test_trials_have_no_fault():
    """In a process of its own: its forks must not have pytest's threads, and user's modules leave no bytecode there."""
    words = [sys.executable, "-m", "campaigns.fuzz", "--n", str(N), "--jobs", "2", "--quick"]
    repository = Path(__file__).parents[2]
    path = os.pathsep.join([str(repository), str(repository / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert done.stdout.startswith(f"{N} trials in ")


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
    assert {name.replace("_", "-") for name in known} - begun <= {
        "check",
        "bench",
    }  # bench: the old name of planted-bias
    assert {scenario.command for scenario in SCENARIOS} == set(COMMANDS)
