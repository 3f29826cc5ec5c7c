"""House rules a syntax tree can show: nothing runs what it reads, errors are named, public things are described."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

Calls = list[tuple[str, ast.Call, str]]

MOST_PARAMETERS = 7
MOST_LINES = 400

# Functions whose parameters are not ours to choose, and whose they are.
BORROWED = {"lensaudit.explaining.occluding.recognise._batch_norm_function": "torch.nn.functional.batch_norm"}


@pytest.fixture(scope="module")
def calls(trees: dict[str, ast.Module]) -> Calls:
    """(module, call, dotted name of what is called) for all of lensaudit."""
    return [
        (module, node, dotted(node.func))
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a name with attributes; what a call or an index returns counts as ``…``."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "…"


def keyword(call: ast.Call, name: str) -> object:
    """Literal value of a keyword argument; None where it is absent or computed."""
    for item in call.keywords:
        if item.arg == name and isinstance(item.value, ast.Constant):
            return item.value.value
    return None


def test_torch_load_reads_weights_only(calls: Calls):
    for module, call, name in calls:
        if name == "torch.load":
            assert keyword(call, "weights_only") is True, f"{module}:{call.lineno}: say weights_only=True"


def test_nothing_runs_what_it_reads(calls: Calls):
    for module, call, name in calls:
        where = f"{module}:{call.lineno}"
        assert name not in {"eval", "exec"}, f"{where}: {name}()"
        assert name not in {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}, f"{where}: use yaml.safe_load"
        if name in {"np.load", "numpy.load"}:
            assert keyword(call, "allow_pickle") is not True, f"{where}: allow_pickle"


def test_no_global_seed(calls: Calls):
    seeds = {"np.random.seed", "numpy.random.seed", "random.seed", "torch.manual_seed", "seed_everything"}
    for module, call, name in calls:
        assert name not in seeds, f"{module}:{call.lineno}: pass a generator instead of {name}()"


def test_every_except_names_its_error(trees: dict[str, ast.Module]):
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{module}:{node.lineno}: bare except"


def test_every_template_escapes_what_it_shows(calls: Calls):
    made = [(module, call) for module, call, name in calls if name.endswith("Environment")]
    assert made
    for module, call in made:
        assert keyword(call, "autoescape") is True, f"{module}:{call.lineno}: say autoescape=True"


PRINTERS = {"typer.echo", "print", "Console", "rich.print", "sys.stdout.write", "sys.stderr.write"}
MAY_PRINT = {"lensaudit.cli.console", "lensaudit.cli.running", "lensaudit.cli.app", "lensaudit.own_warnings"}


def test_commands_print_through_the_console(calls: Calls):
    """So that no foreign word reaches the terminal raw; ``app`` and ``own_warnings`` make their one line printable."""
    raw = {f"{module}:{call.lineno}: {name}" for module, call, name in calls if name in PRINTERS}
    assert {place for place in raw if place.split(":")[0] not in MAY_PRINT} == set()


def test_no_function_takes_more_than_seven_parameters(trees: dict[str, ast.Module]):
    crowded = {
        f"{module}.{node.name}": n
        for module, tree in trees.items()
        if not module.startswith("lensaudit.cli")  # a command's parameters are the user's options
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (n := _parameters(node)) > MOST_PARAMETERS
    }
    assert crowded.keys() - BORROWED.keys() == set(), f"an object is missing in {crowded}"
    assert BORROWED.keys() <= crowded.keys(), "no longer needed in BORROWED"


def test_files_fit_in_the_head(repository: Path):
    long = {
        str(path.relative_to(repository)): n
        for path in (repository / "lensaudit").rglob("*.py")
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_modules_and_public_things_have_docstrings(trees: dict[str, ast.Module]):
    silent = [module for module, tree in trees.items() if ast.get_docstring(tree) is None]
    for module, name, node in _handed_on(trees):
        silent += [f"{module}.{name}"] if ast.get_docstring(node) is None else []
        if isinstance(node, ast.ClassDef):
            silent += [
                f"{module}.{name}.{method.name}" for method in _public_methods(node) if not ast.get_docstring(method)
            ]
    assert not silent, "no docstring:\n" + "\n".join(silent)


def test_what_a_room_lists_is_there(trees: dict[str, ast.Module]):
    for module, tree in trees.items():
        bound = _bound_names(tree)
        missing = [name for name in _listed(tree) if name not in bound]
        assert not missing, f"{module}.__all__ lists {missing}"


def _parameters(node: ast.FunctionDef) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def _handed_on(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str, ast.FunctionDef | ast.ClassDef]]:
    """Every function and class that a room's ``__init__`` imports from its own files, or defines."""
    for room, tree in trees.items():
        if room.count(".") != 1:
            continue
        yield from ((room, name, node) for name, node in _definitions(tree).items() if not name.startswith("_"))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "") in trees:
                defined = _definitions(trees[node.module or ""])
                yield from ((node.module, a.name, defined[a.name]) for a in node.names if a.name in defined)


def _definitions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _public_methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Methods a caller meets; an override of a framework's hook is documented by the framework."""
    if any(ast.unparse(base).split(".")[0] in {"nn", "torch"} for base in node.bases):
        return []
    return [item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]


def _listed(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _bound_names(tree: ast.Module) -> set[str]:
    names = set(_definitions(tree))
    for node in [*tree.body, *(inner for outer in tree.body if isinstance(outer, ast.If) for inner in outer.body)]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
    return names
