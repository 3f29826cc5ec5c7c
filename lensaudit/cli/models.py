"""``lensaudit models``: list, show, import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    models = typer.Typer(no_args_is_help=True, help="List and show finders, import published weights.")
    models.command("list")(list_models)
    models.command("show")(show_model)
    models.command("import")(import_model)
    app.add_typer(models, name="models")


def list_models(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """List the built-in finders, and which of them have weights."""
    from lensaudit.finders.catalogue import builtin_finders

    finders = builtin_finders()
    if as_json:
        typer.echo(json.dumps(finders, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("name", "architecture", "bands", "pixels", "stretch", "weights"):
        table.add_column(title, no_wrap=title == "name", overflow="fold")  # a name is what one copies
    for row in finders:
        weights = "yes" if row["has_weights"] else "no"
        bands, size = " ".join(row["bands"]), str(row["size"])
        table.add_row(row["name"], row["architecture"], bands, size, row["stretch"], weights)
    Console().print(table)


def show_model(
    name: str = typer.Argument(help="Built-in name or a finder's folder."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Show what a finder eats, and its model card."""
    from lensaudit.finders.catalogue import describe

    facts = describe(name)
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _as_text(facts))


def import_model(
    file: Path = typer.Argument(help="State dict written by torch.save."),
    recipe_name: str = typer.Option(..., "--as", metavar="NAME", help="Built-in recipe it belongs to, such as ou200."),
    out: Path = typer.Option(..., "--out", help="Folder of the new finder."),
    force: bool = typer.Option(False, "--force", help="Replace the finder that is in --out."),
) -> None:
    """Read published weights safely (nothing in the file is run) and write them as a finder."""
    from lensaudit.errors import UsageError
    from lensaudit.files import sha256
    from lensaudit.finders import load_recipe, read_published, save_finder
    from lensaudit.finders.store import FINDER_FILE
    from lensaudit.provenance import provenance

    recipe = load_recipe(recipe_name)
    if (out / FINDER_FILE).exists() and not force:
        raise UsageError(f"{out}: holds a finder already; choose another --out, or add --force to replace it")
    finder = read_published(file, recipe)
    source = provenance(inputs={file.name: sha256(file)})
    record = save_finder(finder, out, origin=finder.origin, provenance=source)
    typer.echo(f"{out}: {recipe.name}, {record.parameters} parameters, bands {', '.join(recipe.bands)}")


def _as_text(facts: dict[str, Any]) -> str:
    import yaml

    recipe = yaml.safe_dump(facts["recipe"], sort_keys=False, allow_unicode=True)
    return f"{recipe}\n{facts['card'] or facts['note']}".rstrip()
