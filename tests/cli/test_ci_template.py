"""Jobs to begin from: YAML that parses, the script's command as it is run, and its exit code."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from lensaudit.files import write_text

VALUES = {"NEW": "runs/new", "BASELINE": "runs/old", "SET": "runs/test", "OUT": "gate"}


def command_of(words: str) -> list[str]:
    """The words of the command, variables replaced by VALUES."""
    for name, value in VALUES.items():
        words = words.replace(f'"${name}"', value)
    return shlex.split(words)[1:]


def written(lensaudit, kind: str, path: Path) -> str:
    done = lensaudit("ci-template", "--for", kind, "--out", path)
    assert done.code == 0, done.err
    assert lensaudit("ci-template", "--for", kind, "--out", path).code == 2
    return path.read_text(encoding="utf-8")


def test_jobs_are_yaml_that_runs_one_command_and_keeps_the_page(lensaudit, tmp_path):
    github = yaml.safe_load(written(lensaudit, "github", tmp_path / ".github" / "workflows" / "gate.yml"))
    steps = github["jobs"]["gate"]["steps"]
    commands = [step["run"] for step in steps if "compare" in step.get("run", "")]
    kept = next(step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert (kept["if"], "gate/compare.html" in kept["with"]["path"]) == ("always()", True)
    gitlab = yaml.safe_load(written(lensaudit, "gitlab", tmp_path / "gitlab.yml"))["finder-gate"]
    commands += [line for line in gitlab["script"] if "compare" in line]
    assert (gitlab["artifacts"]["when"], gitlab["retry"]["exit_codes"]) == ("always", [4])
    assert gitlab["variables"] == github["env"]
    assert set(github["env"]) == set(VALUES)
    assert len(commands) == 2
    assert command_of(commands[0]) == command_of(commands[1])


@pytest.mark.parametrize(("code", "said"), [(0, ""), (1, "worse than the one in use: see gate/compare.html"), (3, "")])
def test_the_script_ends_with_the_code_of_the_comparison(lensaudit, tmp_path, code, said):
    written(lensaudit, "shell", tmp_path / "gate.sh")
    write_text(tmp_path / "lensaudit", f'#!/bin/sh\nprintf "%s\\n" "$@" > asked\nexit {code}\n')
    (tmp_path / "lensaudit").chmod(0o755)
    given = {**os.environ, **VALUES, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "gate.sh"], cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert said in ran.stderr
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    github = yaml.safe_load(written(lensaudit, "github", tmp_path / "gate.yml"))
    assert asked == command_of(next(s["run"] for s in github["jobs"]["gate"]["steps"] if "compare" in s.get("run", "")))
    del given["SET"]
    assert subprocess.run(["sh", "gate.sh"], cwd=tmp_path, env=given, capture_output=True, check=False).returncode == 2
