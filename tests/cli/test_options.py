"""Options are declared once: allowed is what the libraries allow, old spellings work, completion names things."""

from __future__ import annotations

import ast
import typing
from pathlib import Path
from typing import Any

import pytest
from command_tree import is_group, walk

from lensaudit.cli import options as opt
from lensaudit.cli.app import build
from lensaudit.errors import UsageError

COMMAND_LINE = Path(opt.__file__).parent


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    """Name as typed → command."""
    return {" ".join(words): command for words, command in walk() if not is_group(command)}


def allowed(commands: dict[str, Any], command: str, name: str) -> tuple[str, ...]:
    parameter = next(one for one in commands[command].params if one.name == name)
    annotation = parameter.type_descriptor.annotation
    literal = next((one for one in (annotation, *typing.get_args(annotation)) if typing.get_origin(one)), annotation)
    return typing.get_args(literal)


def test_choices_are_those_of_the_libraries(commands):
    from lensaudit.clustering.network import AUGMENTS
    from lensaudit.evaluation.calibration_fit import METHODS as CALIBRATIONS
    from lensaudit.explaining import METHODS
    from lensaudit.explaining.dreaming.settings import BOUNDS, OBJECTIVES, OPTIMISERS
    from lensaudit.explaining.judging.scores import FILLS, PARTS
    from lensaudit.explaining.occluding.occluder import ENGINES
    from lensaudit.finders import DEVICES
    from lensaudit.finders.pretrained import MODES
    from lensaudit.finders.scores_file import FORMATS
    from lensaudit.probes.outside.plan import FORMS
    from lensaudit.report.options import FAIL_ON
    from lensaudit.training.augment import AUGMENTATIONS, SCHEDULES
    from lensaudit.training.options import PRECISIONS
    from lensaudit.training.prepared import INPUTS

    assert tuple(METHODS) == opt.EXPLANATIONS
    assert allowed(commands, "score", "device") == DEVICES
    assert allowed(commands, "occlusion", "engine") == ENGINES
    assert allowed(commands, "judge", "fill") == FILLS
    assert allowed(commands, "calibrate", "method") == tuple(CALIBRATIONS)
    assert allowed(commands, "probe export", "form") == FORMS
    assert allowed(commands, "cluster", "augment") == AUGMENTS
    assert [allowed(commands, "dream", name) for name in ("optimiser", "bounds", "objective")] == [
        OPTIMISERS, BOUNDS, OBJECTIVES,
    ]  # fmt: skip
    assert [allowed(commands, "train", name) for name in ("schedule", "inputs", "precision", "body")] == [
        tuple(SCHEDULES), INPUTS, PRECISIONS, MODES,
    ]  # fmt: skip
    helps = {
        name: next(one.help for one in commands[command].params if one.name == name)
        for command, name in (("judge", "parts"), ("train", "augment"), ("score", "out"), ("report", "fail_on"))
    }
    assert all(part in helps["parts"] for part in PARTS)
    assert all(word in helps["fail_on"] for word in FAIL_ON)
    assert all(name in helps["augment"] for name in AUGMENTATIONS)
    assert all(ending in helps["out"] for ending in FORMATS if ending not in {".xml", ".pq"})


def test_a_wrong_choice_is_one_line_that_names_what_is_allowed(lensaudit):
    code, out, err = lensaudit("score", "ou66", "no-such-set", "--device", "gpu")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(word in err for word in ("--device", "'gpu'", "auto", "cpu", "cuda"))


def test_one_idea_has_one_option_and_one_declaration(commands):
    """No command has an option of a shared name that differs in type from the others'."""
    shown: dict[str, set[str]] = {}
    for command in commands.values():
        for one in command.params:
            for name in one.opts:
                if not getattr(one, "hidden", False):
                    shown.setdefault(name, set()).add(str(one.type_descriptor.annotation).replace(" | None", ""))
    shown["--method"].remove("typing.Literal['isotonic', 'beta', 'venn-abers']")  # of `calibrate`: another idea
    for name in ("--method", "--probe", "--id"):
        assert shown[name] == {"list[str]"}
    for name in ("--seed", "--n", "--first", "--top", "--workers", "--threads", "--batch", "--tolerance", "--device"):
        assert len(shown[name]) == 1, (name, shown[name])
    assert not {"--methods", "--probes", "--explanations", "--no-probe"} & shown.keys()


def test_every_command_that_prints_a_result_prints_json(commands):
    without = {name for name, one in commands.items() if "--json" not in {o for p in one.params for o in p.opts}}
    assert without == {"ci-template", "models card"}  # their result is a text, in a file


@pytest.mark.parametrize(
    ("repeated", "commas", "expected"),
    [
        ([], None, ()),
        (["a", "b"], None, ("a", "b")),
        ([], "a, b", ("a", "b")),
        (["b"], "a,b", ("b", "a")),
    ],
)
def test_old_lists_with_commas_still_count(repeated, commas, expected):
    assert opt.named(repeated, commas) == expected


def test_an_empty_list_is_refused():
    with pytest.raises(UsageError, match="--probe is empty"):
        opt.named([], " , ", "--probe")


def test_completion_names_finders_probes_and_methods():
    assert "ou66" in opt.finder_names("ou")
    assert "ou-tsne" in opt.finder_names("")
    assert "vit" not in opt.finder_names("vi"), "it has no weights"
    assert "vit" in opt.recipe_names("vi")
    assert opt.probe_names("red-") == ["red-source", "red-source-total-flux"]
    assert opt.probe_or_group_names("quick") == ["quick"]
    assert opt.method_names("guided") == ["guided-backprop", "guided-gradcam"]
    assert "compound-rings" in opt.population_names("comp")


def test_the_shell_completes_a_finder(monkeypatch, capsys):
    """As bash asks: the answer goes to standard output, without torch being imported."""
    monkeypatch.setenv("_LENSAUDIT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lensaudit score ou-j")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        build()(prog_name="lensaudit")
    assert capsys.readouterr().out.split() == ["ou-j", "ou-jyh"]


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(lensaudit, option):
    from lensaudit import __version__

    assert lensaudit(option) == (0, f"lensaudit {__version__}\n", "")


def test_zero_workers_are_one_per_processor():
    import os

    assert opt.processes(3) == 3
    assert 1 <= opt.processes(0) <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("score", "ou66", "x", "--top", "-3"), "'--top': -3 is not possible; give 0 or more"),
        (("evaluate", "ou66", "x", "--threshold", "1.5"), "'--threshold': 1.5 is not possible; give 0 to 1"),
        (("evaluate", "ou66", "x", "--threshold", "nan"), "'--threshold': nan is not possible; give 0 to 1"),
        (("score", "ou66", "x", "--batch", "many"), "'--batch': many is not possible; give 1 or more"),
        (("simulate", "euclid", "--n", "1.5", "--out", "x"), "'--n': 1.5 is not possible; give a whole number"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_range(lensaudit, words, line):
    left = lensaudit(*words)
    assert (left.code, left.err) == (2, f"lensaudit: Invalid value for {line} (see lensaudit {words[0]} --help)\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "ou66"], "Missing option '--data' (see lensaudit train --help)"),
        (["models", "import", "X.pt"], "Missing option '--as' (see lensaudit models import --help)"),
        (["occlusion"], "Missing argument 'FINDER' (see lensaudit occlusion --help)"),
        (["models", "shine"], "No such command 'shine' (see lensaudit models --help)"),
        (["shine"], "No such command 'shine' (see lensaudit --help)"),
    ],
)
def test_a_mistake_names_the_help_of_its_own_command(lensaudit, words, line):
    left = lensaudit(*words)
    assert (left.code, left.err) == (2, f"lensaudit: {line}\n")


def test_an_option_is_declared_once():
    """The same name with the same help in two places of the command line belongs into ``options.py``."""
    declared: dict[tuple[str, str], list[str]] = {}
    for path in sorted(COMMAND_LINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"typer.Option", "typer.Argument"}:
                says = next((ast.unparse(item.value) for item in node.keywords if item.arg == "help"), "")
                name = ast.unparse(node.args[0]) if node.args else "an argument"
                declared.setdefault((name, says), []).append(f"{path.name}:{node.lineno}")
    twice = {key: places for key, places in declared.items() if key[1] and len(places) > 1}
    assert not twice


OLD_OPTIONS = {
    ("compare", "--n"): ("4", "--first"),
    ("compare", "--methods"): ("saliency", "--method"),
    ("compare", "--probes"): ("compound", "--probe"),
    ("compare", "--explanations"): ("2", "--judge-n"),
    ("explain", "--methods"): ("saliency", "--method"),
    ("false-positives", "--n"): ("4", "--top"),
    ("judge", "--methods"): ("saliency", "--method"),
    ("quickstart", "--probes"): ("compound", "--probe"),
    ("report", "--probes"): ("compound", "--probe"),
    ("report", "--no-probe"): (None, "--probe none"),
    ("probe all", "--fail-on undecided"): (None, "inconclusive"),
    ("report", "--fail-on undecided"): (None, "inconclusive"),
}
"""(Command, what its option was called) → a value, and what it is called today; their own tests hold what they do."""


def test_all_old_options_are_known(commands):
    hidden = {
        (name, option.opts[0])
        for name, command in commands.items()
        for option in command.params
        if getattr(option, "hidden", False)
    }
    assert hidden == {place for place in OLD_OPTIONS if " " not in place[1]}


@pytest.mark.parametrize(("command", "old"), OLD_OPTIONS)
def test_an_old_option_goes_on_working_and_says_the_new_one(command, old, commands, capsys):
    value, new = OLD_OPTIONS[command, old]
    parsed(commands, command, *old.split(), *([] if value is None else [value]))
    assert capsys.readouterr().err.splitlines() == [f"{old} is now called {new}"]


OLD_NEGATIVES = {
    "train": ("quick", "restart"),
    "cross-validate": ("quick", "restart"),
    "cluster": ("pose-free", "ratios", "cut", "source-only", "restart"),
    "score": ("refit",),
    "evaluate": ("refit",),
}
"""Command → flags for which typer made a ``--no-…`` of its own until they were named."""


def parsed(commands: dict[str, Any], name: str, *words: str) -> dict[str, Any]:
    """What the function of a command is handed for these words, each argument that it requires being 9."""
    required = [one for one in commands[name].params if one.required]
    needed = [word for one in required for word in (*(one.opts[:1] if one.opts[0].startswith("-") else ()), "9")]
    return commands[name].make_context(name, [*needed, *words]).params


@pytest.mark.parametrize(("command", "flag"), [(name, flag) for name, flags in OLD_NEGATIVES.items() for flag in flags])
def test_an_old_negative_goes_on_working_and_says_what_to_write(command, flag, commands, capsys):
    field = flag.replace("-", "_")
    off, on = parsed(commands, command, f"--no-{flag}"), parsed(commands, command, f"--no-{flag}", f"--{flag}")
    assert [off[field], on[field]] == [False, True]
    assert not parsed(commands, command, f"--{flag}", f"--no-{flag}")[field], "the last one counts"
    line = f"--no-{flag} is what happens without --{flag}; leave both out"
    assert capsys.readouterr().err.splitlines() == [line] * 3


@pytest.mark.parametrize(
    ("words", "probe", "none"),
    [
        (["--probe"], [], False),
        (["--probe", "--json"], [], False),
        (["--no-probe", "--probe", "--json"], [], False),
        (["--probe", "--no-probe"], [], True),
        (["--probe", "compound", "--probe"], ["compound"], False),
    ],
)
def test_report_still_takes_probe_without_a_name(words, probe, none, commands, capsys):
    options = parsed(commands, "report", *words)
    assert (options["probe"], options["no_probe"], options["as_json"]) == (probe, none, "--json" in words)
    assert "--probe alone is now the default; leave it out, or name a probe" in capsys.readouterr().err.splitlines()


def test_an_option_that_never_had_a_negative_has_none(commands):
    with pytest.raises(Exception, match="--no-json"):
        parsed(commands, "train", "--no-json")
    with pytest.raises(Exception, match="--probe"):
        parsed(commands, "quickstart", "--probe")


def test_an_old_command_goes_on_working_and_says_the_new_one(lensaudit, tmp_path):
    code, _, err = lensaudit("bench", "planted", "--finders", 0, "--out", tmp_path / "p")
    assert code == 2
    assert err.splitlines()[0] == "lensaudit bench planted is now called lensaudit planted-bias"
