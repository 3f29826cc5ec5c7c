"""What the commands around probes print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.cli.console import say, say_table
from lensaudit.verdicts import Step, fail_words

if TYPE_CHECKING:
    from lensaudit.probes import ProbeAudit, ProbeResult
    from lensaudit.report.schema import Headline


def check_fail_on(word: str | None) -> None:
    """Refuse what --fail-on does not know."""
    from lensaudit.errors import UsageError

    if word is not None and word not in fail_words():
        raise UsageError(f"--fail-on '{word}' is unknown; allowed: {', '.join(fail_words())}")


def fail_where(words: Sequence[str], fail_on: str | None) -> None:
    """End with exit code 1 where a verdict is the one the user chose to fail on, or a graver one."""
    from lensaudit.errors import EXIT_AUDIT_FAILED
    from lensaudit.verdicts import failing

    if fail_on is not None and failing(words, fail_on):
        raise typer.Exit(EXIT_AUDIT_FAILED)


def say_verdict(verdict: Headline) -> None:
    """The verdict of a report: headline, sentences, and what to do next; an earlier version's has no next steps."""
    say(verdict.headline)
    say(*(f"  {sentence}" for sentence in verdict.sentences))
    say_next(verdict.next)


def say_next(steps: Sequence[Step]) -> None:
    """What to do next, each command on a line of its own so that it can be copied."""
    for step in steps:
        say(f"next: {step.why}{':' if step.command else ''}")
        if step.command:
            say(f"  {step.command}")


def print_audit(audit: ProbeAudit, out: Path) -> None:
    """The leading finding of every probe, and where the rest is."""
    from lensaudit.verdicts import in_short

    rows = [(one.verdict.word, one.probe, one.meaning) for one in audit.ranked]
    rows += [("not applicable", name, why) for name, why in audit.not_applicable.items()]
    say_table(("verdict", "probe", "what it means"), rows)
    say(in_short(audit.answers))
    say_next(audit.next_steps())
    say(f"written to {out}")


def print_result(result: ProbeResult, out: Path) -> None:
    """The findings of one probe, its verdict, and where the rest is."""
    from lensaudit.probes import FINDINGS_HEAD, findings_rows

    say(f"{result.definition.title}: {result.finder.name}")
    rows = findings_rows(result.findings)
    if len(rows) > 2:
        each = zip(result.findings, rows, strict=True)
        cells = [[one.which, *(cell.replace(" [", "\n[") for cell in row[3:])] for one, row in each]
        say_table(("pairs", *FINDINGS_HEAD[3:]), cells, split=True)
    else:
        say_table(("", *(f"pairs {k}" for k in range(1, 1 + len(rows)))), zip(FINDINGS_HEAD, *rows, strict=True))
    say(f"{result.verdict.word}: {result.verdict.sentence}", f"written to {out}")
