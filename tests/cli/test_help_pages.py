"""Every help page ends with examples that parse, shows what is allowed, and fits 80 columns."""

from __future__ import annotations

from typing import Any

import pytest
from command_tree import is_group, parse, walk

PAGES = list(walk())
COMMANDS = [(words, one) for words, one in PAGES if not is_group(one)]

pytestmark = pytest.mark.usefixtures("built_once")


def examples_of(command: Any) -> list[str]:
    return [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_examples_parse(words, command):
    found = examples_of(command)
    assert found, "no examples"
    for line in found:
        assert line.startswith(f"lensaudit {' '.join(words)} ") or line == f"lensaudit {' '.join(words)}"
        assert len(line) <= 100
        parse(line)


def test_a_wrong_example_is_seen():
    from typer.exceptions import TyperException

    with pytest.raises(TyperException, match="No such option"):
        parse("lensaudit score ou66 runs/test --no-such-option")


def test_every_option_is_explained():
    silent = [
        f"{' '.join(words)}: {one.opts}"
        for words, command in COMMANDS
        for one in command.params
        if not getattr(one, "hidden", False) and not one.help
    ]
    assert not silent, silent


@pytest.mark.parametrize(("words", "command"), PAGES, ids=[" ".join(words) for words, _ in PAGES])
def test_help_fits_80_columns(words, command, lensaudit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = lensaudit(*words, "--help")
    assert (code, err) == (0, "")
    shown = [
        line for line in out.splitlines() if not line.strip().startswith("lensaudit ")
    ]  # examples are copied whole
    assert max(map(len, shown)) <= 80


def test_the_first_page_cuts_no_sentence(lensaudit):
    code, out, _ = lensaudit("--help")
    assert code == 0
    assert "..." not in out.replace("[ARGS]...", "")
    assert "score" in out
