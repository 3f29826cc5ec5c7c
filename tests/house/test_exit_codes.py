"""Each kind of failure leaves with its documented code and one line, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from lensaudit import errors
from lensaudit.cli import app

CODES = {
    errors.AuditFailed: 1,
    errors.UsageError: 2,
    errors.NoSuchFile: 2,
    errors.DataError: 3,
    errors.NoSuchData: 3,
    errors.MachineError: 4,
    errors.OutOfMemory: 4,
}


def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """Run ``main`` over an application that raises `error`: (exit code, what stderr shows)."""

    monkeypatch.setattr(app, "build", Mock(return_value=Mock(side_effect=error)))
    with pytest.raises(SystemExit) as left:
        app.main()
    shown = capsys.readouterr()
    assert shown.out == ""
    return left.value.code, shown.err


def assert_one_line(shown: str, *words: str) -> None:
    assert shown.startswith("lensaudit: ")
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    assert "Traceback" not in shown
    for word in words:
        assert word in shown


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_error_has_its_code_and_one_line(monkeypatch, capsys, kind, code):
    left, shown = leave(monkeypatch, capsys, kind("cutout.fits: band 'J' is missing;\n  ingest it with --bands VIS"))
    assert left == code
    assert_one_line(shown, "cutout.fits: band 'J' is missing; ingest it with --bands VIS")


def test_the_table_in_errors_names_every_error_and_its_code():
    named = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in named if issubclass(kind, errors.LensauditError) and kind is not errors.LensauditError]
    assert set(kinds) == set(CODES)
    for kind in kinds:
        assert kind.exit_code == CODES[kind]
        row = next(line for line in (errors.__doc__ or "").splitlines() if line.startswith(f"``{kind.__name__}``"))
        builtin = [f"``{base.__name__}``" for base in kind.__bases__ if not issubclass(base, errors.LensauditError)]
        assert row.split()[-1 - len(builtin) :] == [str(kind.exit_code), *builtin]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ("interrupted", "same command again")),
        (MemoryError(), 4, ("out of memory", "--batch")),
        (OSError(errno.ENOSPC, "No space left on device", "set/images"), 4, ("set/images", "disk is full")),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "set/images"), 4, ("set/images", "disk is full")),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, ("out", "permission", "--out")),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "set"), 2, ("set", "no such file")),
        (OSError(errno.EIO, "Input/output error", "set"), 3, ("set", "Input/output error")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error, code, words):
    left, shown = leave(monkeypatch, capsys, error)
    assert left == code
    assert_one_line(shown, *words)


def test_a_signal_at_the_very_end_does_not_hide_what_happened(monkeypatch, capsys):
    """As torchrun sends it where another process died."""

    @contextmanager
    def late():
        yield app.Stop()
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "stopped_by_signals", late)
    left, shown = leave(monkeypatch, capsys, errors.MachineError("a process died"))
    assert left == errors.EXIT_MACHINE
    assert_one_line(shown, "a process died")


def fault_of_ours(**_: object) -> None:
    from lensaudit.untrusted import path_within

    path_within(None)


def test_a_fault_of_ours_is_one_line_with_its_place_and_never_one(monkeypatch, capsys):
    monkeypatch.setattr(app, "build", lambda: fault_of_ours)
    monkeypatch.delenv(app.TRACEBACK, raising=False)
    with pytest.raises(SystemExit) as left:
        app.main()
    shown = capsys.readouterr().err
    assert left.value.code == errors.EXIT_INTERNAL
    assert_one_line(shown, "internal error: TypeError: ", "(lensaudit/untrusted.py:", "please report it")


def test_the_traceback_of_a_fault_is_shown_when_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(app, "build", lambda: fault_of_ours)
    monkeypatch.setenv(app.TRACEBACK, "1")
    with pytest.raises(SystemExit):
        app.main()
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.splitlines()[-1].startswith("lensaudit: internal error: TypeError")


@pytest.mark.parametrize("words", [["no-such-command"], ["--no-such-option"]], ids=" ".join)
def test_a_wrong_word_on_the_command_line_is_one_line_and_two(words):
    ran = subprocess.run([sys.executable, "-m", "lensaudit", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert_one_line(ran.stderr, words[0])


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_control_c_ends_with_130_and_sigterm_with_143(number, code, word):
    """A real signal to a real process in the middle of its work."""
    program = (
        "from lensaudit.cli import app\n"
        "def build():\n"
        "    def run(**_):\n"
        "        import time\n"
        "        print('working', flush=True)\n"
        "        time.sleep(60)\n"
        "    return run\n"
        "app.build = build\n"
        "app.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        os.kill(process.pid, number)
        _, shown = process.communicate(timeout=30)
    assert process.returncode == code
    assert_one_line(shown.decode(), word, "same command again")


def test_a_reader_that_had_enough_is_no_error():
    program = (
        "from lensaudit.cli import app\n"
        "def build():\n"
        "    def run(**_):\n"
        "        for i in range(100_000):\n"
        "            print(i)\n"
        "    return run\n"
        "app.build = build\n"
        "app.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def ran(redirection: str, text: str = "done θ_E ≥ 1″", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a command that prints `text` and fails leaves, run in a shell with its streams redirected."""
    program = (
        "from lensaudit.cli import app\n"
        "from lensaudit.errors import UsageError\n"
        "def build():\n"
        "    def run(**_):\n"
        f"        print({text!r})\n"
        "    return run\n"
        "app.build = build\n"
        "app.main()\n"
    )
    command = f'exec "$0" -c "$1" {redirection}'
    words = ["sh", "-c", command, sys.executable, program]
    return subprocess.run(words, capture_output=True, check=False, env=os.environ | environment)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system to refuse a write")
def test_standard_output_on_a_full_disk_is_one_line_and_four():
    left = ran("> /dev/full")
    assert left.returncode == errors.EXIT_MACHINE
    assert_one_line(left.stderr.decode(), "the disk is full")
    assert ran("> /dev/full 2> /dev/full").returncode == errors.EXIT_MACHINE


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_standard_output_or_error_is_no_error(redirection):
    left = ran(redirection)
    assert (left.returncode, left.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_an_encoding_without_our_letters_is_no_error(encoding):
    left = ran("", PYTHONIOENCODING=encoding)
    assert (left.returncode, left.stderr) == (0, b"")
    assert left.stdout.startswith(rb"done \u03b8_E \u2265 1\u2033")
