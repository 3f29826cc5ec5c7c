"""``lensaudit models``: list, show, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table, say_text


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    models = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="List and show finders, import published weights."
    )
    models.command("list", epilog=opt.examples("lensaudit models list", "lensaudit models list --json"))(list_models)
    models.command("show", epilog=opt.examples("lensaudit models show ou66"))(show_model)
    models.command(
        "import",
        epilog=opt.examples("lensaudit models import OU_200_Weights.pt --as ou200 --out runs/ou200-published"),
    )(import_model)
    app.add_typer(models, name="models")


def list_models(as_json: opt.Json = False) -> None:
    """List the built-in finders, and which of them have weights."""
    from lensaudit.finders.catalogue import builtin_finders

    finders = builtin_finders()
    if as_json:
        say_json(finders)
        return
    say_table(
        ("name", "weights", "size", "stretch", "bands"),
        [
            (
                row["name"],
                "yes" if row["has_weights"] else "no",
                str(row["size"]),
                row["stretch"],
                " ".join(row["bands"]),
            )
            for row in finders
        ],
    )


def show_model(
    name: Annotated[
        str,
        typer.Argument(metavar="FINDER", help="Built-in name or a finder's folder.", autocompletion=opt.recipe_names),
    ],
    as_json: opt.Json = False,
) -> None:
    """Show what a finder takes as input, and its model card."""
    from lensaudit.finders.catalogue import describe

    facts = describe(name)
    if as_json:
        say_json(facts)
    else:
        say_text(_as_text(facts))


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="State dict written by torch.save.")],
    recipe_name: Annotated[
        str,
        typer.Option(
            "--as", metavar="RECIPE", help="Built-in recipe it belongs to, such as ou200.",
            autocompletion=opt.recipe_names,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new finder.")],
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Read published weights safely (nothing in the file is run) and write them as a finder."""
    from lensaudit.errors import UsageError
    from lensaudit.files import sha256
    from lensaudit.finders import STRETCHES, load_recipe, read_published, save_finder
    from lensaudit.finders.store import FINDER_FILE
    from lensaudit.provenance import provenance

    recipe = load_recipe(recipe_name)
    if (out / FINDER_FILE).exists() and not force:
        raise UsageError(f"{out}: holds a finder already; choose another --out, or add --force to replace it")
    finder = read_published(file, recipe)
    source = provenance(inputs={file.name: sha256(file)})
    record = save_finder(finder, out, origin=finder.origin, provenance=source)
    if as_json:
        say_json({"out": str(out), "finder": recipe.name, **record.model_dump(mode="json", exclude={"recipe"})})
        return
    say(f"{out}: {recipe.name}, {record.parameters} parameters, bands {', '.join(recipe.bands)}")
    say(f"  {finder.origin}")
    needed = [name for name in STRETCHES[recipe.stretch].fitted if name not in finder.figures]
    if needed:
        say(
            f"  the file has no {', '.join(needed)} for stretch {recipe.stretch}; use it as lensaudit score {out} SET "
            f"--refit"
        )


def _as_text(facts: dict[str, Any]) -> str:
    import yaml

    recipe = yaml.safe_dump(facts["recipe"], sort_keys=False, allow_unicode=True)
    return f"{recipe}\n{facts['card'] or facts['note']}".rstrip()
