"""Ctrl-C, wherever it falls, is one line and 130; a fault of ours that looks like it is not."""

import pytest

from lensaudit.cli import app


def through_numba() -> None:
    """What Ctrl-C is after numba: its C code finds an exception set, twice, and each time says so over it."""
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as ctrl_c:
            raise SystemError("<function _numba_unpickle> returned a result with an exception set") from ctrl_c
    except SystemError as inner:
        raise SystemError("CPUDispatcher(<function rotate>) returned a result with an exception set") from inner


def of_our_own() -> None:
    """A SystemError raised while a Ctrl-C is remembered, but not because of it."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemError("a true fault") from None


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


def test_a_true_fault_keeps_its_traceback(monkeypatch):
    command(monkeypatch, of_our_own)
    with pytest.raises(SystemError, match="a true fault"):
        app.main()
