"""``--dask ADDRESS`` of every command that has ``--workers``: what it spreads goes to a cluster instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

HELP = "Dask scheduler whose workers do what --workers would; they must see all files."

_OPTION = inspect.Parameter(
    "dask",
    inspect.Parameter.KEYWORD_ONLY,
    default="",
    annotation=Annotated[str, typer.Option("--dask", metavar="ADDRESS", help=HELP)],
)


def with_dask(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with ``--dask`` behind its ``--workers``; as it is where it has none, or both."""
    names = list(inspect.signature(command).parameters)
    if "workers" not in names or "dask" in names:
        return command
    parameters = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def spread_there(*, dask: str, **given: Any) -> Any:
        from lensaudit.spread import on_cluster

        with on_cluster(dask):
            return command(**given)

    place = names.index("workers") + 1
    keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    together = [*keyword[:place], _OPTION, *keyword[place:]]
    spread_there.__signature__ = inspect.Signature(together)  # type: ignore[attr-defined]
    spread_there.__annotations__ = {one.name: one.annotation for one in together}
    del spread_there.__wrapped__  # typer would read the annotations of the command itself
    return spread_there
