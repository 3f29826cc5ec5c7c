"""The example notebooks run from top to bottom; their code is plain Python, so no notebook server is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert cells
    names: dict = {}
    for number, source in enumerate(cells, start=1):
        exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)
    if path.stem == "explain":  # what its text claims
        result = next(result for result in names["results"] if result.method == "integrated-gradients")
        positive = np.maximum(result.maps[0], 0)
        assert positive[names["mask"]].sum() / positive.sum() > 3 * names["mask"].mean()
        total = float(result.logit[0]) - names["black"]
        assert float(result.maps.sum()) == pytest.approx(total, rel=0.1)  # 50 steps of the path integral


def test_there_is_a_notebook():
    assert NOTEBOOKS
