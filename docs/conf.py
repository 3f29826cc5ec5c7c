"""The documentation site: ``make docs`` builds it into ``docs/_build``, warnings as errors."""

from __future__ import annotations

import os
from pathlib import Path

import lensaudit
from lensaudit.probes import builtin_probes, load_definition

project = "lensaudit"
author = "the lensaudit authors"
version = release = lensaudit.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build"]
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "pydata_sphinx_theme"
html_title = f"lensaudit {version}"
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
}
html_show_sourcelink = False

default_role = "literal"  # names in our docstrings stand in single backticks
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # each build runs every notebook: what they use is the package, not their text
nb_execution_timeout = -1
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # where ipywidgets are missing, libraries say so
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

NATURES = {
    "population": "Such lenses exist; the finder must not lose them",
    "nuisance": "Nothing about the lens changes; the score must not either",
    "difficulty": "Losing some is natural: the selection function",
    "contaminant": "No lens is there; the finder must refuse it",
}


def probes_table() -> str:
    """Every built-in probe by what a fair finder would do, from the definitions themselves."""
    lines = []
    for nature, words in NATURES.items():
        rows = [one for one in map(load_definition, builtin_probes()) if one.nature == nature]
        lines += [f"## {words}", "", "| question | probe |", "| --- | --- |"]
        lines += [f"| {one.question} | `{one.name}` |" for one in sorted(rows, key=lambda one: one.name)]
        lines.append("")
    return "\n".join(lines)


_generated = Path(__file__).parent / "_build" / "generated"
_generated.mkdir(parents=True, exist_ok=True)
(_generated / "probes.md").write_text(probes_table(), encoding="utf-8")
