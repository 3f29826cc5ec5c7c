"""The model card: what a reader must know before trusting a finder, in Markdown, from the recorded facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lensaudit.finders.units import unit_clause
from lensaudit.untrusted import in_markdown


def finder_card(record: Mapping[str, Any]) -> str:
    """Card of a finder from the content of its ``finder.yaml``; what is not recorded is said to be missing."""
    recipe = record["recipe"]
    origin = record["origin"].rstrip(".")
    bands = ", ".join(recipe["bands"])
    unit = unit_clause(recipe["stretch"], recipe["bands"], recipe.get("pixel_unit", {}))
    lines = [
        f"# {recipe['name']}",
        "",
        f"{in_markdown(origin[:1].upper() + origin[1:])}.",
        "",
        "## What it takes and gives",
        f"* Architecture `{recipe['architecture']}`, {record['parameters']} parameters.",
        f"* Bands in this order: {bands}; {recipe['size']}×{recipe['size']} pixels over "
        f"{recipe['field_of_view_arcsec']:g}″; stretch `{recipe['stretch']}`{unit}.",
        f"* {recipe['outputs']} output(s); p(lens) from output {recipe['lens_index']}; "
        f"called a lens from p = {recipe['threshold']:g}.",
        f"* Weights SHA-256 `{record['weights_hash']}`.",
        "",
        "## Training data",
        *_facts(record["training_data"], "Not recorded."),
        "",
        "## Measured",
        *_facts(record["metrics"], "Nothing was measured when these weights were written."),
        "",
        "## Limits",
        "* It knows the kinds of lenses of its training set only. Run `lensaudit probe` and `lensaudit report` on it "
        "before using its scores for science.",
        "* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare.",
        "",
    ]
    return "\n".join(lines)


def _facts(facts: Mapping[str, Any], otherwise: str) -> list[str]:
    named = {name.replace("_", " "): _shown(value) for name, value in facts.items()}
    return [f"* {in_markdown(name)}: {in_markdown(value)}" for name, value in named.items()] or [otherwise]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
