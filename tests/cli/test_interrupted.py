"""Ctrl-C, wherever it falls, is one line and 130; a fault of ours that looks like it is not."""

import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from lensaudit import starting
from lensaudit.cli import app
from lensaudit.cli.signals import never_lost
from lensaudit.errors import MachineError


def through_numba() -> None:
    """What Ctrl-C is after numba: its C code finds an exception set, twice, and each time says so over it."""
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as ctrl_c:
            raise SystemError("<function _numba_unpickle> returned a result with an exception set") from ctrl_c
    except SystemError as inner:
        raise SystemError("CPUDispatcher(<function rotate>) returned a result with an exception set") from inner


def of_our_own() -> Exception:
    """A SystemError raised while a Ctrl-C is remembered, but not because of it."""
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemError("a true fault") from None
    except SystemError as fault:
        return fault.with_traceback(None)


def plain() -> None:
    raise KeyboardInterrupt


def command(monkeypatch: pytest.MonkeyPatch, body) -> None:
    monkeypatch.setattr(app, "build", lambda: lambda standalone_mode: body())


@pytest.mark.parametrize("body", [plain, through_numba], ids=["plain", "through-numba"])
def test_ctrl_c_is_one_line_and_130(monkeypatch, capsys, body):
    command(monkeypatch, body)
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 130
    assert capsys.readouterr().err == ("lensaudit: interrupted; run the same command again to go on where it stopped\n")


def test_a_true_fault_is_not_taken_for_ctrl_c(monkeypatch, capsys):
    monkeypatch.setattr(app, "build", Mock(return_value=Mock(side_effect=of_our_own())))
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 70
    assert "internal error: SystemError: a true fault" in capsys.readouterr().err


def test_what_fails_after_a_signal_is_the_signal(monkeypatch, capsys):
    """A worker that the same SIGTERM ended, say, before it could be told to leave."""

    def body() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise MachineError("a worker process died") from None

    before = signal.getsignal(signal.SIGTERM)
    command(monkeypatch, body)
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 143
    assert capsys.readouterr().err == "lensaudit: terminated; run the same command again to go on where it stopped\n"
    assert signal.getsignal(signal.SIGTERM) is before


def drop_a_generator() -> None:
    """As of `training.batches`: Ctrl-C comes while a generator that was not read to its end is finalised."""

    def batches():
        try:
            yield 1
        finally:
            raise KeyboardInterrupt

    reader = batches()
    next(reader)
    del reader


def long_command() -> None:
    drop_a_generator()
    time.sleep(30)  # what is left of it, had the Ctrl-C been lost


def test_ctrl_c_in_a_finaliser_is_raised_again(monkeypatch, capsys):
    command(monkeypatch, long_command)
    began = time.monotonic()
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 130
    assert time.monotonic() - began < 20
    assert capsys.readouterr().err == "lensaudit: interrupted; run the same command again to go on where it stopped\n"


def test_a_command_that_ends_first_is_not_interrupted_afterwards():
    with never_lost():
        drop_a_generator()
    try:
        for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
            timer.join()  # called off, it ends at once; else it presses first
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came after the command")


def test_other_faults_in_finalisers_are_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    fault = SimpleNamespace(exc_type=ValueError)
    with never_lost():
        sys.unraisablehook(fault)
    assert told == [fault]
    assert sys.unraisablehook == told.append


STARTING = """
import sys, signal
from lensaudit import starting
class Importing:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            signal.raise_signal({number})  # falls into the first line of this very import
            print("went on", flush=True)
sys.meta_path.insert(0, Importing())
sys.argv = ["lensaudit", "models", "list"]
from lensaudit.__main__ import main
main()
"""


@pytest.mark.parametrize("name", ["lensaudit.cli", "typer", "dataclasses", "lensaudit.cli.report"])
@pytest.mark.parametrize(("number", "word", "code"), [(2, "interrupted", 130), (15, "terminated", 143)])
def test_a_signal_during_imports_is_one_line(name: str, number: int, word: str, code: int):
    script = STARTING.format(name=name, number=number)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"lensaudit: {word}; run the same command again to go on where it stopped\n"


def test_both_ways_to_start_answer_signals_first():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["scripts"] == {"lensaudit": "lensaudit.__main__:main"}
    script = "import lensaudit.__main__, sys; print(sorted({'typer', 'lensaudit.cli', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        starting.answer_signals()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is starting.leave
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, handler)
