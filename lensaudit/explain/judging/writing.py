"""A judgement as files: table, JSON, page and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.explain.judging.judgement import JSON_FILE, Judgement
from lensaudit.explain.judging.page import markdown
from lensaudit.explain.judging.picture import compound_figure, randomisation_figure, scores_figure
from lensaudit.figures import save_figure
from lensaudit.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_FILE = "explanation-scores.md"


def write_judgement(judgement: Judgement, out: Path) -> tuple[str, ...]:
    """Write everything into `out` and name the files; the JSON last, and an older one first away.

    Raises
    ------
    MachineError
        The disk is full.
    """
    (out / JSON_FILE).unlink(missing_ok=True)
    drawn: dict[str, tuple[bool, Callable[[Judgement], Figure]]] = {
        "explanation-scores.png": (any(row.n for row in judgement.rows), scores_figure),
        "randomisation.png": (any(check.steps for check in judgement.checks), randomisation_figure),
        "compound-view.png": (any(view.n for view in judgement.views), compound_figure),
    }
    for name, (wanted, figure) in drawn.items():
        (out / name).unlink(missing_ok=True)
        if wanted:
            save_figure(out / name, figure(judgement), metadata={"Software": "lensaudit"})
    write_text(out / PAGE_FILE, f"# Explanations of {judgement.finder}\n\n{markdown([judgement])}")
    tables = judgement.write(out)
    return (*tables, PAGE_FILE, *(name for name, (wanted, _) in drawn.items() if wanted))
