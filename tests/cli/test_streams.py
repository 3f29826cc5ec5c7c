"""What may reach standard output and error of a command."""

from __future__ import annotations

import contextlib
import sys
import warnings

import pytest
from hostile import EVERY

from lensaudit.cli import app, console
from lensaudit.cli.console import own_output
from lensaudit.errors import DataError, LensauditWarning
from lensaudit.own_warnings import own_warnings
from lensaudit.untrusted import printable

Warned = tuple[str, type[Warning], str]


def as_python_starts() -> contextlib.AbstractContextManager[None]:
    """Python's own filters, where pytest makes errors of warnings."""
    warnings.resetwarnings()
    return contextlib.nullcontext()


def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *warned: Warned) -> list[str]:
    """What a command shows of warnings, each (words, category, module that warns)."""
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings(), as_python_starts(), own_warnings():
        for words, category, module in warned:
            warnings.warn_explicit(words, category, f"/x/{module.replace('.', '/')}.py", 7, module)
    return capsys.readouterr().err.splitlines()


def test_libraries_warnings_that_nobody_can_act_on_are_silent(capsys, monkeypatch):
    silent = [
        ("`weights_norm` is deprecated", FutureWarning, "torch.nn.utils"),
        ("The pickle protocol 4 is used", UserWarning, "my_own"),
        ("non-ASCII characters in the header", UserWarning, "astropy.io.fits.card"),
        ("unclosed file <_io.BufferedReader name='a'>", ResourceWarning, "my_own"),
        ("Perplexity value 30 is too high", UserWarning, "openTSNE.affinity"),
    ]
    assert lines(capsys, monkeypatch, *silent) == []


def test_others_are_one_line_of_ours(capsys, monkeypatch):
    assert lines(
        capsys,
        monkeypatch,
        ("set: this disk has no locks", LensauditWarning, "lensaudit.files"),
        ("divide by zero\nencountered \x1b[31m", RuntimeWarning, "lensaudit.statistics.roc"),
        ("overflow", RuntimeWarning, "scipy.special._basic"),
        ("my own", UserWarning, "torches"),
    ) == [
        "lensaudit: warning: set: this disk has no locks",
        r"lensaudit: warning: RuntimeWarning of roc.py, line 7: divide by zero encountered \x1b[31m",
        "lensaudit: warning: RuntimeWarning of _basic.py, line 7: overflow",
        "lensaudit: warning: UserWarning of torches.py, line 7: my own",
    ]


def test_a_warning_of_astropy_does_not_come_through_its_own_log(capsys, monkeypatch):
    """Its import has it log its warnings to standard error, past what was asked for."""
    from astropy import log
    from astropy.io.fits.verify import VerifyWarning

    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings(), as_python_starts(), own_warnings():
        warnings.showwarning = log._showwarning
        warnings.warn_explicit("Card is too long", VerifyWarning, "/x/card.py", 7, "astropy.io.fits.card")
    assert capsys.readouterr().err == ""


def test_warnings_are_ours_only_while_a_command_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", [])
    before = warnings.showwarning
    with own_warnings():
        for _ in range(3):
            warnings.warn("said once", LensauditWarning, stacklevel=1)
    assert capsys.readouterr().err == "lensaudit: warning: said once\n"
    assert warnings.showwarning is before


@pytest.mark.parametrize("kind", EVERY)
def test_a_warning_and_a_refusal_show_foreign_words_and_do_not_act_on_them(monkeypatch, capsys, kind):
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setattr(app, "build", lambda: refuse)
    word = EVERY[kind]

    def refuse(**_: object) -> None:
        raise DataError(f"id {word} is there twice")

    with own_warnings():
        warnings.warn(f"column {word}", LensauditWarning, stacklevel=1)
    with pytest.raises(SystemExit):
        app.main()
    said = capsys.readouterr().err.encode("utf-8", "backslashreplace").decode()
    assert len(said.splitlines()) == 2
    assert all(line.isprintable() for line in said.splitlines())
    for line in said.splitlines():
        assert printable(" ".join(word.split()))[:200] in line


def test_who_asked_python_for_warnings_gets_them(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with own_warnings(), pytest.warns(LensauditWarning):
        warnings.warn("as told", LensauditWarning, stacklevel=1)


def test_only_commands_print_to_standard_output(capsys):
    import rich.console
    import typer

    text = "import typer, rich.console\ndef tell(): typer.echo('ours'); rich.console.Console().print('table')"
    ours = compile(text, console.__file__.replace("console.py", "finders.py"), "exec")
    names: dict = {"__name__": "lensaudit.cli.finders"}
    exec(ours, names)
    with own_output():
        names["tell"]()
        print("not ours")
        typer.echo("nor this")
        rich.console.Console().print("or that")
    assert capsys.readouterr() == ("ours\ntable\n", "not ours\nnor this\nor that\n")
