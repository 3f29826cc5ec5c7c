"""Imports point one way, over the syntax trees, by the table in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

PICTURES_AND_COMMANDS = {"matplotlib", "typer", "rich", "jinja2"}
EXECUTES_WHAT_IT_READS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def imported(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import at any depth; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import; write lensaudit.… in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """Second part of a dotted name: ``lensaudit.scenes.light`` → ``scenes``; the package itself → ``""``."""
    return [*module.split("."), ""][1]


def import_order(architecture: str) -> dict[str, int]:
    """Room → rank, from the fenced line with arrows; rooms between commas share a rank, base files do not."""
    line = next(line for line in architecture.splitlines() if "→" in line and "|" in line)
    base, rooms = line.split("|")
    order = {name: rank for rank, name in enumerate(base.split())}
    for step in rooms.split("→"):
        rank = len(set(order.values()))
        order |= dict.fromkeys(re.split(r"[,\s]+", step.strip()), rank)
    return order


@pytest.fixture(scope="module")
def order(repository: Path) -> dict[str, int]:
    return import_order((repository / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def test_the_table_is_read_as_written():
    text = "```\nerrors files | scenes → explain, probes → cli\n```"
    assert import_order(text) == {"errors": 0, "files": 1, "scenes": 2, "explain": 3, "probes": 3, "cli": 4}


def test_the_table_names_every_room(trees: dict[str, ast.Module], order: dict[str, int]):
    rooms = {room_of(module) for module in trees} - {"", "__main__"}
    assert rooms == set(order)


def test_imports_point_leftwards(trees: dict[str, ast.Module], order: dict[str, int]):
    wrong = []
    for module, tree in trees.items():
        here = room_of(module)
        if here in {"", "__main__"}:
            continue
        for line, name in imported(tree, module):
            if not name.startswith("lensaudit."):
                continue
            there = room_of(name)
            if there in order and there != here and order[there] >= order[here]:
                wrong.append(f"{module}:{line} imports {name}")
    assert not wrong, "imports against the order of ARCHITECTURE.md:\n" + "\n".join(wrong)


def test_the_package_itself_imports_nothing_of_ours_but_for_type_checkers(trees: dict[str, ast.Module]):
    names = {name.split(".")[0] for _, name in imported(_as_run(trees["lensaudit"]), "lensaudit")}
    assert names == {"importlib", "typing"}


def test_no_module_imports_itself_in_a_circle(trees: dict[str, ast.Module]):
    run = trees | {"lensaudit": _as_run(trees["lensaudit"])}
    graph = {module: {_module_of(name, trees) for _, name in imported(tree, module)} for module, tree in run.items()}
    assert _circle(graph) is None


def test_what_is_imported_of_ours_exists(trees: dict[str, ast.Module]):
    """Imports inside functions too, which nothing else would try before a command reaches them."""
    wrong = []
    known = {module: _names_of(tree) for module, tree in trees.items()}
    for module, tree in trees.items():
        for line, name in imported(tree, module):
            home, _, attribute = name.rpartition(".")
            if home in known and name not in trees and not {attribute, "__getattr__"} & known[home]:
                wrong.append(f"{module}:{line}: {home} has no {attribute}")
    assert not wrong, "\n".join(wrong)


def test_every_name_that_is_handed_on_when_asked_for_is_there(trees: dict[str, ast.Module]):
    lazy = [module for module, tree in trees.items() if {"__getattr__", "__all__"} <= _names_of(tree)]
    assert "lensaudit.explaining" in lazy
    missing = [f"{module}.{name}" for module in lazy for name in _not_there(import_module(module))]
    assert not missing


def _not_there(package: ModuleType) -> Iterator[str]:
    for name in package.__all__:
        try:
            getattr(package, name)
        except (AttributeError, ImportError):
            yield name


def _names_of(tree: ast.Module) -> set[str]:
    """What a module defines or imports at its top, in conditions too."""
    found: set[str] = set()
    for node in (
        inner for top in tree.body for inner in (ast.walk(top) if isinstance(top, ast.If | ast.Try) else [top])
    ):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return found


def test_statistics_is_numbers_only(trees: dict[str, ast.Module]):
    allowed = {"numpy", "scipy", "lensaudit"} | set(sys.stdlib_module_names)
    for module, line, name in _imports_of(trees, "statistics"):
        assert name.split(".")[0] in allowed, f"{module}:{line} imports {name}"
        if name.startswith("lensaudit."):
            assert room_of(name) in {"statistics", "errors", "records"}, f"{module}:{line} imports {name}"


@pytest.mark.parametrize("room", ["errors", "files", "provenance", "statistics", "scenes", "imaging"])
def test_numbers_know_nothing_of_pictures_or_commands(trees: dict[str, ast.Module], room: str):
    for module, line, name in _imports_of(trees, room):
        assert name.split(".")[0] not in PICTURES_AND_COMMANDS, f"{module}:{line} imports {name}"


def test_nothing_imports_pyplot_or_a_pickle_reader(trees: dict[str, ast.Module]):
    for module, tree in trees.items():
        for line, name in imported(tree, module):
            assert "pyplot" not in name.split("."), f"{module}:{line}: use matplotlib.figure.Figure"
            assert name.split(".")[0] not in EXECUTES_WHAT_IT_READS, f"{module}:{line}: {name} can run what it reads"


def test_no_drawer_for_everything(trees: dict[str, ast.Module]):
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert not [module for module in trees if drawers & set(module.split("."))]


def _as_run(tree: ast.Module) -> ast.Module:
    """The module without what only type checkers read."""
    return ast.Module([node for node in tree.body if ast.unparse(node).split(":")[0] != "if TYPE_CHECKING"], [])


def _imports_of(trees: dict[str, ast.Module], room: str) -> Iterator[tuple[str, int, str]]:
    for module, tree in trees.items():
        if room_of(module) == room:
            yield from ((module, line, name) for line, name in imported(tree, module))


def _module_of(name: str, trees: dict[str, ast.Module]) -> str:
    """The module an imported name lives in: itself, or what it is an attribute of."""
    return name if name in trees else name.rpartition(".")[0]


def _circle(graph: dict[str, set[str]]) -> list[str] | None:
    """A circle of modules, each importing the next, or None."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for other in sorted(graph.get(module, set()) - {module}):
            if found := follow(other, [*path, module]):
                return found
        done.add(module)
        return None

    for start in graph:
        if found := follow(start, []):
            return found
    return None


def test_circles_are_seen():
    assert _circle({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


BAG = re.compile(r"\bdict\[str, Any\]|\bJson\b")
A_DOCUMENT = {"to_json", "from_json", "as_json", "kept_json", "sealed", "provenance", "selection_record"}
"""Functions that hand on a JSON document, written or parsed: by their names, or read by `lensaudit.documents`."""
BAGS = {
    "Checkpoint.identity": "what a training is of, compared as a whole and never read",
    "Checkpoint.refuse_other": "the same",
    "Keep.identity": "the same",
    "TrainingOptions.identity": "the same",
    "Clustered.record": "what clusters.json holds, printed as it is",
    "Part.lines": "lines of a part file as they were parsed",
    "Records.lines": "the same before they are written",
    "RecallMap.cells": "rows of a table",
    "Statement.summary": "printed as it is",
    "renamed": "a record's JSON of an earlier version, in today's names",
    "summary": "printed as it is (lensaudit quickstart --json)",
}


def test_no_mapping_of_anything_passes_between_rooms(trees: dict[str, ast.Module]):
    """In signatures and fields of what another room imports; JSON documents and `BAGS` are left."""
    found = {name: where for where, name in _bags(trees) if name.rpartition(".")[2] not in A_DOCUMENT}
    wrong = [f"{found[name]}: {name}; make it a record" for name in sorted(found.keys() - BAGS.keys())]
    assert not wrong, "\n".join(wrong)
    assert not BAGS.keys() - found.keys(), "these are records by now: take them off the list"


def test_a_mapping_between_rooms_is_noticed():
    one = ast.parse("def loose(a: int) -> dict[str, Any]: ...\nclass Bag:\n    facts: dict[str, Any]\n")
    other = ast.parse("from lensaudit.first.bags import Bag, loose")
    made = {"lensaudit.first.bags": one, "lensaudit.second.reader": other}
    assert [name for _, name in _bags(made)] == ["Bag.facts", "loose"]


def _bags(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """(module, name) of each function, method and field with a `BAG` in its type that another room imports."""
    taken = {
        (room_of(name), name.rpartition(".")[2])
        for module, tree in trees.items()
        for _, name in imported(tree, module)
        if name.startswith("lensaudit.") and room_of(name) != room_of(module)
    }
    for module, tree in sorted(trees.items()):
        for node in sorted((one for one in tree.body if hasattr(one, "name")), key=lambda one: one.name):
            if (room_of(module), node.name) not in taken:
                continue
            inner = node.body if isinstance(node, ast.ClassDef) else []
            named = {node.name: node, **{f"{node.name}.{_called(one)}": one for one in inner if _called(one)}}
            yield from ((module, name) for name, one in named.items() if any(map(BAG.search, _types_of(one))))


def _called(node: ast.stmt) -> str:
    """Name of a public method or field; empty for all else."""
    target = node.target if isinstance(node, ast.AnnAssign) else node
    name = str(getattr(target, "id", getattr(target, "name", "")))
    return "" if name.startswith("_") else name


def _types_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.annotation)]
    if not isinstance(node, ast.FunctionDef):
        return []
    given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return [ast.unparse(one) for one in (*(arg.annotation for arg in given), node.returns) if one is not None]
