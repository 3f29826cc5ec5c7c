"""What git holds: no big files, no machine's own paths, no package index, skips with reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

LARGEST_BYTES = 8_000_000

# Written in pieces so that this file does not hold what it forbids.
HOMES = "|".join(["work", "root", "home", "Users", "opt", "mnt"])
MACHINE_PATH = re.compile(rf"(?<![\w.~*\]])/(?:{HOMES})/[\w.-]+")
INDEX = re.compile("|".join(["index" + "-url", "find" + "-links", "files.python" + "hosted"]))


def texts(tracked: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in tracked:
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            yield path, data.decode("utf-8", errors="replace")


def test_no_file_is_big(tracked: list[Path]):
    big = {str(path): path.stat().st_size for path in tracked if path.stat().st_size > LARGEST_BYTES}
    assert not big


def test_no_file_holds_a_machine_s_own_path(tracked: list[Path], repository: Path):
    found = []
    for path, text in texts(tracked):
        for number, line in enumerate(text.splitlines(), 1):
            if hit := MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(repository)}:{number}: {hit.group()}")
    assert not found, "\n".join(found)


def test_no_binary_file_holds_one_either(tracked: list[Path], repository: Path):
    """Commands in the metadata of a Parquet or an image; what is compressed is not seen."""
    in_bytes = re.compile(MACHINE_PATH.pattern.encode())
    plain = {path for path, _ in texts(tracked)}
    binary = {path.relative_to(repository): path.read_bytes() for path in tracked if path not in plain}
    assert binary
    assert not {str(path): hit.group() for path, data in binary.items() if (hit := in_bytes.search(data))}


def test_machine_paths_are_seen():
    root = "/" + "home"
    assert MACHINE_PATH.search(f'"{root}/ada/set"')
    assert MACHINE_PATH.search(f"out={root}/ada")
    assert not MACHINE_PATH.search(f"https://example.org{root}/ada")
    assert not MACHINE_PATH.search("light/work/flow".replace("light", "frame"))


def test_no_package_index_is_named(tracked: list[Path]):
    named = [str(path) for path, text in texts(tracked) if INDEX.search(text)]
    assert not named


def test_every_skip_and_expected_failure_says_why(repository: Path):
    silent = []
    for path in sorted((repository / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not _gives_a_reason(node):
                silent.append(f"{path.relative_to(repository)}:{node.lineno}")
    assert not silent, "no reason given:\n" + "\n".join(silent)


def test_a_silent_skip_is_seen():
    nodes = ast.walk(ast.parse("pytest.skip()\npytest.mark.skipif(x)\npytest.mark.xfail(reason='')\n"))
    assert sum(not _gives_a_reason(node) for node in nodes) == 3
    nodes = ast.walk(ast.parse("pytest.skip('why')\npytest.mark.skipif(x, reason=WHY)\npytest.mark.slow\n"))
    assert all(_gives_a_reason(node) for node in nodes)


def _gives_a_reason(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.skip":
        return False  # a test that never runs is no test; say with skipif what it needs
    if not isinstance(node, ast.Call):
        return True
    name = ast.unparse(node.func)
    if name in {"pytest.skip", "pytest.xfail"}:
        return _said(node.args[0] if node.args else _reason(node))
    if name in {"pytest.mark.skipif", "pytest.mark.xfail"}:
        return _said(_reason(node))
    return True


def _reason(node: ast.Call) -> ast.expr | None:
    return next((item.value for item in node.keywords if item.arg == "reason"), None)


def _said(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and not value.value)


# What a user calls theirs in an example, and a place that is filled in.
NAMED_BY_USERS = {"mine.py", "lensaudit/finders/architectures/NAME.py"}
PYTHON_FILE = re.compile(r"(?<![\w./-])[\w./-]*\w\.py\b")


def test_files_that_documents_and_docstrings_name_are_there(tracked: list[Path], repository: Path):
    """Paths, or names alone; the changelog and the committed reports tell of their own time."""
    there = {str(path.relative_to(repository)) for path in tracked}
    gone = []
    for name in sorted(there):
        if not name.endswith(".md") and not (name.startswith(("lensaudit/", "benchmarks/")) and name.endswith(".py")):
            continue
        if name == "CHANGELOG.md" or name.startswith("reports/"):
            continue
        for number, line in enumerate((repository / name).read_text(encoding="utf-8").splitlines(), 1):
            for found in PYTHON_FILE.findall(line):
                path = found.removeprefix("./").split("../")[-1]
                if path not in there | NAMED_BY_USERS and not any(one.endswith(f"/{path}") for one in there):
                    gone.append(f"{name}:{number}: {found}")
    assert not gone, "\n".join(gone)


def test_the_workflow_and_the_hooks_run_what_is_there(repository: Path):
    workflow = yaml.safe_load((repository / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"].split() for source in config["repos"] for hook in source["hooks"]]
    named = [word for entry in entries for word in entry if "/" in word and not word.startswith(".venv/")]
    assert named
    assert [word for word in named if not (repository / word).is_file()] == []
    ran = (repository / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"make --no-print-directory (\w+)", ran) == ["test", "lint", "docs"]
