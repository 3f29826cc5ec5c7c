"""What the documents tell people to type exists: commands, options, make targets, linked files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_tree import APPLICATION, parse
from typer.exceptions import TyperException

from lensaudit.cli.app import COMMANDS

FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED_FILE = re.compile(r"`((?:lensaudit|tests|benchmarks|docs|models|probes)/[a-z0-9_/.-]+\.[a-z]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")


def documents(repository: Path) -> list[Path]:
    own = [repository / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    found = sorted(path for folder in ("docs", "models", "probes") for path in (repository / folder).rglob("*.md"))
    return own + [path for path in found if "_build" not in path.parts]


def typed(text: str) -> Iterator[list[str]]:
    """The words of every command line in the fenced shell blocks, comments off and continued lines joined."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                yield words


def test_every_command_line_in_the_documents_parses(repository: Path):
    wrong, seen = [], set()
    for path in documents(repository):
        for words in typed(path.read_text(encoding="utf-8")):
            if words[0] != "lensaudit":
                continue
            seen.add(words[1])
            try:
                parse(words)
            except TyperException as error:
                wrong.append(f"{path.name}: {' '.join(words)}\n    {error.format_message()}")
    assert not wrong, "\n".join(wrong)
    commands = APPLICATION.commands
    named = {name for name in (module.replace("_", "-") for module in COMMANDS) if not commands[name].hidden}
    assert named <= seen, f"no document shows: {sorted(named - seen)}"


@pytest.mark.parametrize(
    "line", ["lensaudit no-such-command", "lensaudit simulate --no-such-option 1", "lensaudit quickstart --n many"]
)
def test_a_wrong_command_line_is_seen(line):
    with pytest.raises(TyperException) as refused:
        parse(line)
    assert re.match(r"No such (command|option)|Invalid value for '--n'", refused.value.format_message())


def test_make_targets_in_the_documents_exist(repository: Path):
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in documents(repository):
        for words in typed(path.read_text(encoding="utf-8")):
            if words[0] == "make":
                assert set(words[1:]) <= targets, f"{path.name}: {' '.join(words)}"


def test_linked_files_exist(repository: Path):
    for path in documents(repository):
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_files_named_in_the_documents_exist(repository: Path):
    for path in documents(repository):
        for name in NAMED_FILE.findall(path.read_text(encoding="utf-8")):
            assert (repository / name).exists(), f"{path.name} names {name}"


def test_exit_codes_in_the_reference_are_those_of_the_code(repository: Path):
    from lensaudit import errors

    rows = re.findall(r"^\| (\d+) \|", (repository / "docs/reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(value for name, value in vars(errors).items() if name.startswith("EXIT_"))


def test_the_citation_and_the_release_notes_name_this_version(repository: Path):
    from lensaudit import __version__

    assert f"\nversion: {__version__}\n" in (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{__version__}] - " in (repository / "CHANGELOG.md").read_text(encoding="utf-8")
