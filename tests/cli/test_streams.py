"""What may reach standard output and error of a command."""

from __future__ import annotations

import sys
import warnings

import pytest

from lensaudit.cli import streams
from lensaudit.cli.streams import own_output, own_warnings, show_warning
from lensaudit.errors import LensauditWarning

SITE = "/somewhere/site-packages"


def lines(capsys: pytest.CaptureFixture[str], *warned: tuple[str, type[Warning], str]) -> list[str]:
    for words, category, file in warned:
        show_warning(words, category, file, 7)
    return capsys.readouterr().err.splitlines()


def test_libraries_warnings_that_nobody_can_act_on_are_silent(capsys):
    silent = [
        ("`weights_norm` is deprecated", FutureWarning, f"{SITE}/torch/nn/utils.py"),
        ("The pickle protocol 4 is used", UserWarning, f"{SITE}/torch/serialization.py"),
        ("The dataloader does not have many workers", UserWarning, f"{SITE}/lightning/pytorch/trainer/data.py"),
        ("non-ASCII characters in the header", UserWarning, f"{SITE}/astropy/io/fits/card.py"),
        ("unclosed file <_io.BufferedReader name='a'>", ResourceWarning, "/home/me/work.py"),
        ("Perplexity value 30 is too high", UserWarning, f"{SITE}/openTSNE/affinity.py"),
    ]
    assert lines(capsys, *silent) == []


def test_others_are_one_line_of_ours(capsys):
    assert lines(
        capsys,
        ("set: this disk has no locks", LensauditWarning, "/x/lensaudit/files.py"),
        ("divide by zero\nencountered \x1b[31m", RuntimeWarning, "/x/lensaudit/statistics/auroc.py"),
        ("overflow", RuntimeWarning, f"{SITE}/scipy/special/_basic.py"),
        ("my own", UserWarning, "/home/me/torch/mine.py"),
    ) == [
        "lensaudit: warning: set: this disk has no locks",
        r"lensaudit: warning: RuntimeWarning of auroc.py, line 7: divide by zero encountered \x1b[31m",
        "lensaudit: warning: RuntimeWarning of _basic.py, line 7: overflow",
        "lensaudit: warning: UserWarning of mine.py, line 7: my own",
    ]


def test_warnings_are_ours_only_while_a_command_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", [])
    before = warnings.showwarning
    with own_warnings():
        for _ in range(3):
            warnings.warn("said once", LensauditWarning, stacklevel=1)
    assert capsys.readouterr().err == "lensaudit: warning: said once\n"
    assert warnings.showwarning is before


def test_who_asked_python_for_warnings_gets_them(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with own_warnings(), pytest.warns(LensauditWarning):
        warnings.warn("as told", LensauditWarning, stacklevel=1)


def test_only_commands_print_to_standard_output(capsys):
    import rich.console
    import typer

    text = "import typer, rich.console\ndef tell(): typer.echo('ours'); rich.console.Console().print('table')"
    ours = compile(text, streams.__file__.replace("streams.py", "score.py"), "exec")
    names: dict = {"__name__": "lensaudit.cli.score"}
    exec(ours, names)
    with own_output():
        names["tell"]()
        print("not ours")
        typer.echo("nor this")
        rich.console.Console().print("or that")
    assert capsys.readouterr() == ("ours\ntable\n", "not ours\nnor this\nor that\n")
