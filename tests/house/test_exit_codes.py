"""Each kind of failure leaves with its documented code and one line, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from lensaudit import errors
from lensaudit.cli import app

CODES = {errors.AuditFailed: 1, errors.UsageError: 2, errors.DataError: 3, errors.MachineError: 4}


def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """Run ``main`` over an application that raises `error`: (exit code, what stderr shows)."""

    def build():
        def run(**_):
            raise error

        return run

    monkeypatch.setattr(app, "build", build)
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
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.LensauditError]
    assert set(kinds) == set(CODES)
    for kind in kinds:
        assert kind.exit_code == CODES[kind]
        row = next(line for line in (errors.__doc__ or "").splitlines() if line.startswith(f"``{kind.__name__}``"))
        assert row.split()[-1] == str(kind.exit_code)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), 4, ("torchvision", "pip uninstall")),
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


def test_our_own_bug_keeps_its_traceback(monkeypatch):
    def build():
        def run(**_):
            raise AssertionError("an invariant of ours")

        return run

    monkeypatch.setattr(app, "build", build)
    with pytest.raises(AssertionError, match="an invariant of ours"):
        app.main()


@pytest.mark.parametrize("words", [["no-such-command"], ["--no-such-option"]], ids=" ".join)
def test_a_wrong_word_on_the_command_line_is_one_line_and_two(words):
    ran = subprocess.run([sys.executable, "-m", "lensaudit", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert_one_line(ran.stderr, words[0])


def test_control_c_ends_with_130():
    """A real SIGINT to a real process in the middle of its work."""
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
        os.kill(process.pid, signal.SIGINT)
        _, shown = process.communicate(timeout=30)
    assert process.returncode == 130
    assert_one_line(shown.decode(), "interrupted")


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
