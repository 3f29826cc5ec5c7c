"""The notebooks of the site run from top to bottom, as `make docs` runs them, and what their text claims is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def cells_of(path: Path) -> list[str]:
    """The code of a notebook, cell by cell; it is plain Python, so no notebook server is needed."""
    return CELL.findall(path.read_text(encoding="utf-8"))


def test_every_notebook_is_on_the_site_and_uses_the_front_door():
    listed = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert {path.stem for path in NOTEBOOKS} == {"audit", "explain"}
    assert not list(FOLDER.glob("*.ipynb")), "write it as Markdown: outputs are made by make docs and not kept"
    for path in NOTEBOOKS:
        assert f"\n{path.stem}\n" in listed
        code = "\n".join(cells_of(path))
        assert "import lensaudit as la\n" in code
        assert "from lensaudit" not in code


def test_the_audit_of_a_finder_takes_ten_lines_and_no_folder():
    first = [line for line in cells_of(FOLDER / "audit.md")[0].splitlines() if line]
    assert len(first) <= 10
    assert not any("out=" in line for line in first)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    for number, source in enumerate(cells_of(path), start=1):
        exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)
    if path.stem == "explain":  # what its text claims
        found, mask = names["found"], names["mask"]
        positive = np.maximum(found.maps[0], 0)
        assert positive[mask].sum() / positive.sum() > 3 * mask.mean()
        total = float(found.logit[0]) - names["black"]
        assert float(found.maps.sum()) == pytest.approx(total, rel=0.1)  # 50 steps of the path integral


def test_a_failing_notebook_fails_the_build():
    settings: dict[str, Any] = {}
    text = (FOLDER.parent / "conf.py").read_text(encoding="utf-8")
    exec("\n".join(line for line in text.splitlines() if re.match(r"nb_\w+ = [^P]*$", line)), settings)
    assert settings["nb_execution_raise_on_error"] is True
    assert settings["nb_execution_mode"] == "force"
    assert "nb_execution_excludepatterns" not in settings
