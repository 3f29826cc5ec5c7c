"""What is seen is made in one room: nobody else saves figures, stretches pixels, makes templates or names a policy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest


def elsewhere(trees: dict[str, ast.Module]) -> Iterator[tuple[str, ast.AST]]:
    """(module, node) of everything outside of ``lensaudit.display``."""
    for module, tree in trees.items():
        if not module.startswith("lensaudit.display"):
            yield from ((module, node) for node in ast.walk(tree))


def called(node: ast.AST) -> str:
    """Last part of the name of what is called; empty for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


@pytest.mark.parametrize("name", ["Figure", "savefig", "Environment", "FileSystemLoader", "rc_context"])
def test_only_display_calls(trees: dict[str, ast.Module], name: str):
    wrong = [f"{module}:{node.lineno}" for module, node in elsewhere(trees) if called(node) == name]
    assert not wrong, f"{name} is called outside of lensaudit.display: {wrong}"


PIPELINE = "lensaudit.finders.preprocessing"
"""Steps that a recipe declares are astropy's by name; nobody sees what they make."""


def test_only_display_stretches_pixels(trees: dict[str, ast.Module]):
    shown = [(module, node) for module, node in elsewhere(trees) if not module.startswith(PIPELINE)]
    wrong = [
        f"{module}:{node.lineno}"
        for module, node in shown
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("astropy.visualization")
    ]
    wrong += [f"{module}:{node.lineno}" for module, node in shown if called(node) == "make_lupton_rgb"]
    assert not wrong, f"show pixels by lensaudit.display.images: {wrong}"


def test_only_display_names_a_policy_and_colours(trees: dict[str, ast.Module]):
    wrong = []
    for module, node in elsewhere(trees):
        words = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if "default-src" in words or re.fullmatch(r"#[0-9a-fA-F]{6}", words):
            wrong.append(f"{module}:{node.lineno}: {words[:40]}")
    assert not wrong, f"take it from lensaudit.display: {wrong}"


def test_only_display_types_tables_of_markdown(trees: dict[str, ast.Module]):
    wrong = [
        f"{module}:{node.lineno}"
        for module, node in elsewhere(trees)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and ("| ---" in node.value or node.value == "---")
        if module != "lensaudit.verdicts"  # stands left of it, and has the one table of the documents
    ]
    assert not wrong, f"write tables by lensaudit.display.page.table: {wrong}"


def test_every_figure_is_made_in_the_style(trees: dict[str, ast.Module]):
    """Style is taken when a figure is made: a function that makes one is `styled`, or is called by one that is."""
    makers = {"new_figure", "row_of_axes"}
    bare = [
        f"{module}.{node.name}"
        for module, node in elsewhere(trees)
        if isinstance(node, ast.FunctionDef)
        and module != "lensaudit.report.plots"  # drawn by pictures_of, styled
        and any(called(inner) in makers for inner in ast.walk(node))
        and "styled" not in [getattr(one, "id", "") for one in node.decorator_list]
    ]
    assert not bare


def test_the_room_needs_no_torch(trees: dict[str, ast.Module]):
    for module, tree in trees.items():
        if module.startswith("lensaudit.display"):
            for node in ast.walk(tree):
                names = [alias.name for alias in getattr(node, "names", []) if isinstance(node, ast.Import)]
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.split(".")[0] for name in names} & {"torch", "lightning", "captum"}, module


def test_templates_have_one_shell(repository: Path):
    pages = [path for path in (repository / "lensaudit").rglob("*.j2") if "<html" in path.read_text(encoding="utf-8")]
    assert [path.name for path in pages] == ["shell.html.j2"]
