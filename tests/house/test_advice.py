"""What a message advises exists: every option it names is one of the commands that can say it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from command_tree import walk

from lensaudit.cli.app import COMMANDS

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"lensaudit ((?:[a-z][a-z0-9-]*)(?: [a-z][a-z0-9-]*)?)([^;,]*)")

SAID_BY = {
    "lensaudit.lensset.ingest": ("ingest",),
    "lensaudit.lensset.simulation": ("simulate",),
    "lensaudit.spread": ("simulate", "ingest", "probe"),
    "lensaudit.training": ("train", "cross-validate"),
    "lensaudit.clustering": ("cluster",),
    "lensaudit.ensembles": ("ensemble", "ensemble-map"),
    "lensaudit.evaluation.selection": ("selection",),
    "lensaudit.evaluation.visual_inspection": ("grades",),
    "lensaudit.explaining.dreaming": ("dream",),
    "lensaudit.explaining.judging": ("judge",),
    "lensaudit.explaining.kernels": ("kernels",),
    "lensaudit.explaining.occluding": ("occlusion",),
    "lensaudit.explaining.attribution": ("explain", "gradcam"),
    "lensaudit.probes.outside": ("probe export", "probe import-scores"),
    "lensaudit.probes": ("probe",),
    "lensaudit.planted_bias": ("planted-bias",),
    "lensaudit.realism_gate": ("realism",),
    "lensaudit.realism_gate.last_layer": ("embed",),
    "lensaudit.embedding": ("embed",),
    "lensaudit.report": ("report", "quickstart"),
    "lensaudit.comparing": ("compare",),
    "lensaudit.finders.pretrained": ("train", "cross-validate"),
}
"""Room or module → commands that can say what stands in it; others may be said by any command."""

OF_BOTH = tuple(f"lensaudit.finders.{name}" for name in ("finder", "field", "units", "refit"))
"""Modules whose messages every command with a finder and a set can say."""

READING = {"--field-of-view", "--resample", "--refit", "--device", "--threads"}

OTHERS = {
    "--help": "of every command",
    "--install-completion": "of lensaudit itself",
    "--version": "of lensaudit itself",
    "--saved-model": "of tf2onnx",
    "--output": "of tf2onnx",
    "--local-dir": "of huggingface_hub’s hf download",
}


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    """Name as typed → command or group."""
    return {" ".join(words): command for words, command in walk()}


def options_of(command: Any) -> set[str]:
    """Options a help page shows: hidden spellings are not advised."""
    return {
        name
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def below(commands: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The commands called so, or in groups called so."""
    return {full: one for full, one in commands.items() if any(f"{full} ".startswith(f"{name} ") for name in names)}


def test_every_option_in_a_message_is_one_of_its_command(trees, commands):
    wrong = []
    for module, line, text in messages(trees):
        own_command = tuple(
            name.replace("_", "-") for name, file in COMMANDS.items() if module == f"lensaudit.cli.{file}"
        )
        named = next((SAID_BY[room] for room in rooms(module) if room in SAID_BY), own_command)
        said_by = below(commands, named) or commands
        own, elsewhere = split(text, commands)
        known = set().union(*map(options_of, said_by.values()))
        wrong += [
            f"{module}:{line}: {name} is no option of {', '.join(said_by)}" for name in own - known - OTHERS.keys()
        ]
        for name, options in elsewhere:
            there = set().union(*map(options_of, below(commands, (name,)).values()))
            missing = options - there - OTHERS.keys()
            wrong += [f"{module}:{line}: lensaudit {name} has no {option}" for option in missing]
    assert not wrong, "\n".join(wrong)


def test_what_is_said_of_a_finder_and_a_set_holds_in_every_command_with_both(trees, commands):
    both = {name: one for name, one in commands.items() if has_both(one)}
    assert len(both) >= 14, sorted(both)
    advised = set()
    for module, _, text in messages(trees):
        if module in OF_BOTH:
            advised |= split(text, commands)[0]
    assert {"--field-of-view", "--resample", "--refit"} <= advised
    lacking = {name: missing for name, one in both.items() if (missing := (advised | READING) - options_of(one))}
    assert not lacking, lacking


def test_a_message_with_an_option_that_does_not_exist_is_seen(commands):
    own, elsewhere = split("give --no-such, or crop with lensaudit ingest fits --nothing X, or --refit", commands)
    assert own == {"--no-such", "--refit"}
    assert elsewhere == [("ingest fits", {"--nothing"})]


def has_both(command: Any) -> bool:
    """Whether it reads a finder and a set: by argument or option."""
    names = {parameter.name for parameter in command.params}
    return (
        bool(names & {"finder", "finders", "members"})
        and bool(names & {"lens_set", "sets", "data", "beside"})
        and not (
            names & {"embedding"}  # cluster reads a set to train on; of a finder it takes the clusters only
        )
    )


def rooms(module: str) -> list[str]:
    """The module, then its rooms, the nearest first."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 1, -1)]


def split(text: str, commands: dict[str, Any]) -> tuple[set[str], list[tuple[str, set[str]]]]:
    """Options that the command at hand is to be given, and those after the name of another command."""
    elsewhere = []
    for found in COMMAND.finditer(text):
        name = next((name for name in (found[1], found[1].split()[0]) if name in commands), None)
        if name is not None:
            elsewhere.append((name, set(OPTION.findall(found[2]))))
    named = COMMAND.sub("", text)
    return set(OPTION.findall(named)), [(name, options) for name, options in elsewhere if options]


def messages(trees: dict[str, ast.Module]) -> Iterator[tuple[str, int, str]]:
    """(module, line, text) of every string that may be shown: docstrings and option declarations aside."""
    for module, tree in trees.items():
        skipped = {id(node) for node in declared(tree)}
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
                skipped |= {id(part) for part in node.values}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if OPTION.search(text):
                yield module, node.lineno, text


def declared(tree: ast.Module) -> Iterator[ast.AST]:
    """Docstrings, and what stands inside a declaration of an option or an example."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"Option", "Argument", "examples"}:
            yield from ast.walk(node)
