"""What finders there are, and what is known of one, without loading its weights."""

from __future__ import annotations

from os.path import lexists
from pathlib import Path
from typing import Any

from lensaudit.documents import read_text
from lensaudit.errors import UsageError
from lensaudit.finders.recipe import Recipe, builtin_finder_folder, builtin_recipes, load_recipe
from lensaudit.finders.store import CARD_FILE, FINDER_FILE, read_record


def builtin_finders() -> list[dict[str, Any]]:
    """One JSON-able row per built-in finder: name, architecture, bands, size, stretch, has_weights."""
    return [_row(load_recipe(str(folder)), folder) for folder in builtin_recipes().values()]


def describe(name: str) -> dict[str, Any]:
    """Recipe, and if it has weights record and card, of a built-in finder or a finder's folder; JSON-able.

    Raises
    ------
    UsageError
        There is no such finder, or it is the user's own code, which declares itself when loaded.
    DataError
        Its files do not fit together.
    """
    if ":" in name and not Path(name).is_dir():
        raise UsageError(f"finder {name}: is your own code and has no card; give a built-in name or a finder's folder")
    folder = Path(name) if Path(name).is_dir() else builtin_finder_folder(name)
    builtin = folder in builtin_recipes().values()
    if builtin and not (folder / FINDER_FILE).is_file():
        recipe = load_recipe(str(folder)).model_dump(mode="json")
        note = f"No weights yet; train them with lensaudit train {folder.name} --data SET --out DIR."
        return {"recipe": recipe, "record": None, "card": None, "note": note}
    record = read_record(folder)
    card = folder / CARD_FILE
    return {
        "recipe": record.recipe.model_dump(mode="json"),
        "record": record.model_dump(mode="json", exclude={"recipe"}),
        "card": read_text(card, "write it again in UTF-8, or remove it") if lexists(card) else None,
        "note": "No card.",
    }


def _row(recipe: Recipe, folder: Path) -> dict[str, Any]:
    if (folder / FINDER_FILE).is_file():
        recipe = read_record(folder).recipe  # what the weights eat, which may differ from what a new training would
    return {
        "name": recipe.name,
        "architecture": recipe.architecture,
        "bands": list(recipe.bands),
        "size": recipe.size,
        "stretch": recipe.stretch,
        "has_weights": (folder / FINDER_FILE).is_file(),
    }
