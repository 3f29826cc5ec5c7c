"""The kill campaign on commands that take a fraction of a second: sound ones pass, and each fault is seen."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from campaigns.kills import Campaign, Tally, shares

from lensaudit.cli import app
from lensaudit.files import working_in, write_json

PIECES = 12
Command = Callable[[], None]


def sound() -> None:
    """Writes pieces that are kept, and a result of them all."""
    with working_in(Path("out")) as out:
        for number in range(PIECES):
            path = out / "parts" / f"{number}.json"
            if not path.is_file():
                time.sleep(0.01)  # the work; it is here to be killed
                write_json(path, number**2)
        write_json(out / "result.json", [(out / "parts" / f"{number}.json").read_text() for number in range(PIECES)])


def different_after_a_kill() -> None:
    began_anew = not Path("out/parts").exists()
    sound()
    write_json(Path("out/anew.json"), began_anew)


def outside() -> None:
    sound()
    Path("beside").write_text("")


def untidy() -> None:
    Path("out").mkdir(exist_ok=True)
    (Path("out") / f".{time.monotonic_ns()}.partial").write_text("")
    sound()


def with_an_orphan() -> None:
    subprocess.Popen(["sh", "-c", "trap '' INT TERM; sleep 3"])
    sound()


def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, trials: int = 4) -> Tally:
    monkeypatch.setattr(app, "build", lambda: lambda standalone_mode: command())
    found, tally = Campaign(tmp_path, random.Random(3)), Tally()
    wanted, seconds = found.undisturbed(["fake"])
    for _ in range(trials):
        found.trial(["fake"], wanted, max(seconds, 0.1), tally)
    return tally


@pytest.fixture(autouse=True)
def only_forks(monkeypatch):
    monkeypatch.setattr("campaigns.kills.ALONE", 10**9)
    monkeypatch.setattr("campaigns.kills.PATIENCE", 2.0)


def test_a_sound_command_ends_equal_after_every_kill(tmp_path, monkeypatch):
    tally = campaign(tmp_path, monkeypatch, sound, trials=8)
    assert tally.faults == []
    assert tally.equal == tally.trials == 8
    assert tally.kills.total() >= 5
    assert len(tally.kills) == 3  # each of the signals


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (different_after_a_kill, "differs: out/anew.json"),
        (outside, "outside --out: beside"),
        (untidy, "temporary files left"),
    ],
    ids=["different", "outside", "untidy"],
)
def test_what_is_not_the_same_afterwards_is_seen(tmp_path, monkeypatch, command, says):
    assert says in "\n".join(campaign(tmp_path, monkeypatch, command).faults)


def test_processes_left_behind_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("campaigns.kills.PATIENCE", 0.3)
    assert "processes left after SIG" in "\n".join(campaign(tmp_path, monkeypatch, with_an_orphan, trials=6).faults)


def test_the_kills_are_spread_evenly():
    assert shares(7, ["a", "b", "c"]) == {"a": 3, "b": 2, "c": 2}
