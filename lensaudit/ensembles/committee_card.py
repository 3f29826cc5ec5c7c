"""The card of a committee: its members, how they were weighed, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lensaudit.display.numbers import decimal, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.finders import Finder, Recipe
from lensaudit.finders.committee import NATIVE
from lensaudit.finders.formats.copying import file_members
from lensaudit.finders.formats.declaration import read_declaration
from lensaudit.provenance import Provenance
from lensaudit.training.finish import METRIC_ROWS, metric_words
from lensaudit.untrusted import in_code, in_markdown


def committee_card(
    finder: Finder, origin: str, data: Mapping[str, Any], metrics: Mapping[str, Any], made: Provenance
) -> str:
    """Markdown of the card of a committee."""
    recipe = finder.recipe
    inputs = "one input for all" if recipe.stretch != NATIVE else "native pixels, which each prepares in its own way"
    files = {
        name: f"the file {in_markdown(read_declaration(one.declaration)[0].file)}"
        for name, one in file_members(finder.module).items()
        if one.declaration is not None
    }
    sections = {
        f"# {recipe.name}": [f"{in_markdown(origin)}."],
        "## What it takes and gives": [
            f"* {len(recipe.members)} members with {finder.parameters} parameters; {inputs}.",
            f"* Bands in this order: {', '.join(recipe.bands)}; {recipe.size}×{recipe.size} pixels over "
            f"{recipe.field_of_view_arcsec:g}″; {_scaling(recipe)}.",
            f"* One output, the log-odds; called a lens from p = {recipe.threshold:g}. `lensaudit score` adds how far "
            "the members are apart.",
            f"* Weights SHA-256 `{finder.weights_hash}`.",
        ],
        "## Members": [
            markdown_table(
                ("member", "architecture", "scaling", "threshold", "weights SHA-256"),
                (
                    (
                        one.name,
                        files.get(one.name, one.architecture),
                        in_markdown(one.scaling),
                        f"{one.threshold:g}",
                        f"`{data['members'][one.name][:16]}`",
                    )
                    for one in recipe.members
                ),
            )
        ],
        "## Fitted": _fit_words(data, metrics),
        "## Measured": _test_words(metrics),
        "## Limits": [
            "* Members of one training set share what that set lacks: that they agree does not make them right.",
            "* Run `lensaudit probe` and `lensaudit report` on it before using its scores for science.",
        ],
        "## Made by": [f"`{in_code(made.command)}`, lensaudit {made.lensaudit}."],
    }
    return "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


def _scaling(recipe: Recipe) -> str:
    if recipe.stretch == NATIVE:
        return "scaled by each member as it does alone"
    return f"preprocessing {in_markdown(recipe.scaling)}" if recipe.preprocessing else f"stretch `{recipe.stretch}`"


def _fit_words(data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    if "stack" not in metrics:
        return ["Nothing: the members count alike."]
    weights = metrics["stack"]["weights"]
    rows = [
        (name, with_interval(one["auroc"], one["low"], one["high"]), decimal(one["log_loss"], 4))
        for name, one in metrics["cross_fitted"].items()
    ]
    return [
        f"A logistic regression on the members' log-odds (ridge {data['ridge']:g} in units of their spread), on "
        f"{data['n_training']} images of set `{data['set'][:16]}`, {100 * data['training_lens_fraction']:.1f} % "
        f"lenses: {', '.join(f'{decimal(value)} {in_markdown(name)}' for name, value in weights.items())}, and "
        f"{decimal(metrics['stack']['bias'])}.",
        "",
        f"Cross-fitted: each image is scored by a stack fitted to the other {data['folds'] - 1} of {data['folds']} "
        "parts; the weights that are kept are fitted to all. AUROC with DeLong's 95 % interval; log loss in nats.",
        "",
        markdown_table(("", "AUROC", "log loss"), rows),
    ]


def _test_words(metrics: Mapping[str, Any]) -> list[str]:
    if "test" not in metrics:
        return ["No test set was measured."]
    test = metrics["test"]
    rows = [(label, metric_words(test[name])) for name, label in METRIC_ROWS.items()]
    return [
        markdown_table(("", f"test, {test['n_lenses']} + {test['n_non_lenses']}"), rows),
        "",
        f"Lenses + non-lenses in the head; 95 % intervals; calls at p ≥ {test['threshold']:g}; β = {test['beta']:g}.",
    ]
