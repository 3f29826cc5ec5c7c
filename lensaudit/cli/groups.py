"""Options that belong together: declared once, as a function of them, and taken by a command as the one value it makes.

A command has a parameter whose default is a `Group`; `with_options` puts the group's options in its place, in the order
in which they are declared.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any


class Group:
    """Options, and the function that makes one value of what is given for them.

    Parameters
    ----------
    make
        Takes the options as keywords.
    options
        Those it takes; by default its own parameters.
    """

    def __init__(self, make: Callable[..., Any], options: Sequence[inspect.Parameter] | None = None) -> None:
        self.make = make
        self._options = options

    @property
    def options(self) -> Sequence[inspect.Parameter]:
        """Keyword-only parameters, as typer reads them."""
        if self._options is None:
            self._options = options_of(self.make)
        return self._options


def options_of(make: Callable[..., Any], unresolved: Mapping[str, Any] | None = None) -> list[inspect.Parameter]:
    """The parameters of a function as options; those it hands on as ``**keywords`` are left out.

    Parameters
    ----------
    unresolved
        Names in its annotations that are imported only for type checking.
    """
    names: dict[str, Any] = {}
    for part in reversed(getattr(make, "__mro__", (make,))):  # a class has options of those it is derived from
        names |= vars(sys.modules[part.__module__])
    hints = typing.get_type_hints(make, names | dict(unresolved or {}), include_extras=True)
    return [
        one.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in inspect.signature(make).parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of its groups in place of the parameters that take their values."""
    groups = {
        name: one.default
        for name, one in inspect.signature(command).parameters.items()
        if isinstance(one.default, Group)
    }
    if not groups:
        return command
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        own = groups[one.name].options if one.name in groups else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += own

    @wraps(command)
    def taken(**given: Any) -> Any:
        made = {
            name: group.make(**{one.name: given.pop(one.name) for one in group.options})
            for name, group in groups.items()
        }
        return command(**given, **made)

    taken.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    taken.__annotations__ = {one.name: one.annotation for one in parameters}
    del taken.__wrapped__  # typer would read the annotations of the command itself
    return taken
