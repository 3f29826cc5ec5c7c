"""Options of ``lensaudit compare`` with a baseline: what a new finder is compared with, and what is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.groups import Group
from lensaudit.errors import UsageError
from lensaudit.verdicts import REGRESSION_LADDER

WORDS = tuple(state.word for state in REGRESSION_LADDER)


def _known(word: str) -> str:
    if word and word not in WORDS:
        raise UsageError(f"--fail-on {word}: give {', '.join(WORDS[:-1])} or {WORDS[-1]}")
    return word


@dataclass(frozen=True)
class AgainstBaseline:
    """The baseline, the verdict on which the command fails, and what is accepted; the help of each says what it is."""

    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", metavar="FINDER", autocompletion=opt.finder_names,
            help="Earlier finder: is any other worse than it anywhere, group by group on the same images?",
        ),
    ] = ""  # fmt: skip
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on", metavar="VERDICT", callback=_known,
            help=f"Exit code 1 at this verdict against the baseline or a graver one: {', '.join(WORDS)}.",
        ),
    ] = ""  # fmt: skip
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", metavar="LOSS", help="Loss against the baseline that is accepted, of a fraction."),
    ] = 0.05
    auroc_tolerance: Annotated[
        float, typer.Option("--auroc-tolerance", metavar="LOSS", help="The same of an AUROC.")
    ] = 0.01
    fpr: Annotated[
        float, typer.Option("--fpr", metavar="RATE", help="Rate at which recall is compared with the baseline's.")
    ] = 0.01
    by: Annotated[
        list[str],
        typer.Option(
            "--by", metavar="COLUMN",
            help="Column of the catalogue that makes groups; repeat it for more. Default: Einstein radius, S/N of the "
            "arc, size, magnitude and colour of the source, magnitude of the lens; kinds always.",
        ),
    ] = ()  # type: ignore[assignment]  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """Fields of `lensaudit.comparing.CompareOptions`.

        Raises
        ------
        UsageError
            ``--fail-on`` without a baseline.
        """
        if self.fail_on and not self.baseline:
            raise UsageError(f"--fail-on {self.fail_on}: asks for a baseline; name it with --baseline FINDER")
        names = ("baseline", "tolerance", "auroc_tolerance", "fpr")
        return {name: getattr(self, name) for name in names} | {
            "baseline": self.baseline.rstrip("/"),
            "by": tuple(self.by),
        }


BASELINE: Any = Group(AgainstBaseline)
"""Takes the place of these options in the command."""
