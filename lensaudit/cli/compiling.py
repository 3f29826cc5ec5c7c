"""``--compile`` of the commands that score: whether torch's compiler makes machine code of the module first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lensaudit.cli.console import say
from lensaudit.cli.groups import Group
from lensaudit.cli.options import Reading

if TYPE_CHECKING:
    import torch

    from lensaudit.finders import Finder
    from lensaudit.finders.compiling import Compiled

Compile = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        "--compile",
        help="Machine code of the network, by torch and a C++ compiler; auto: beyond 100 000 images if it is faster.",
    ),
]


@dataclass(frozen=True)
class Scoring(Reading):
    """How a finder reads sets, and whether its module is compiled where nothing but scores is asked of it."""

    compile: Compile = "auto"


SCORING: Any = Group(Scoring)
"""Takes the place of the options of `Scoring` in a command."""


def compiled_if_asked(
    finder: Finder, images: Callable[[], torch.Tensor], n: int, asked: Literal["auto", "on", "off"]
) -> Compiled | None:
    """What is called in place of the module, if anything; says in one line what came of trying.

    Parameters and errors as in `lensaudit.finders.compiling.chosen`.
    """
    from lensaudit.finders.compiling import chosen

    choice = chosen(finder, images, n, asked)
    if choice.line:
        say(choice.line, err=True)
    return choice.compiled
